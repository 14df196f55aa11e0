"""What NNCF traces of a detector: its adapter's patches are applied, and the operators that NNCF lacks registered."""

import contextlib
import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from core.compression.standardised import register_standardised_convolutions
from core.detectors.graph import untraced
from core.detectors.patches import AS_PARENT, LAYER_FUNCTIONS, LAYERS, OPERATOR, UNTRACED, Patch
from core.detectors.registry import families, find_adapter
from core.detectors.stand_ins import install_stand_ins

TRACING_FAULTS = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, AssertionError)
"""What tracing an unknown head's post-processing can raise; other errors are raised again where it is left out."""


def keep_out_of_graph(detector: Any, postprocessing: bool = False) -> None:
    """Patch ``detector``'s parts as its adapter says, for one value of ``nncf_compress_postprocessing``."""
    _register_opaque_operators()
    _register_group_norm_fusion()
    _register_pruning_operators()
    register_standardised_convolutions()
    install_stand_ins()
    adapter = find_adapter(detector)
    for function in (*adapter.untraced_functions, *LAYER_FUNCTIONS):
        owner, called = importlib.import_module(function.module), function.name
        setattr(owner, called, _patched(getattr(owner, called), function.action, called))
    for module in detector.modules():
        classes = {kind.__name__ for kind in type(module).__mro__}
        for patch in (*adapter.patches, *LAYERS):
            if patch.owner in classes and patch.but_not not in classes and postprocessing in patch.postprocessing:
                _apply(patch, module)


def postprocessing_obstacle(detector: Any) -> str:
    """Return why a detector's post-processing cannot be part of NNCF's graph, empty where nothing is known."""
    return find_adapter(detector).obstacle


def tracing_forward(detector: Any, postprocessing: bool) -> Callable[..., Any]:
    """Return the forward function that NNCF traces; see ``Adapter.traced_forward``."""
    return find_adapter(detector).traced_forward(detector, postprocessing)


def _apply(patch: Patch, module: Any) -> None:
    if patch.action == AS_PARENT:
        module.__class__ = type(module).__mro__[1]
        return
    *path, name = patch.method.split(".")
    owner = functools.reduce(lambda part, step: getattr(part, step, None), path, module)
    method = getattr(owner, name, None)
    if method is None:
        return
    if patch.function is not None:
        wrapped: Callable[..., Any] = functools.partial(patch.function, module)
    else:
        wrapped = _patched(method, patch.action, patch.owner)
    # Straight into the instance: nn.Module would look for a parameter or a submodule.
    object.__setattr__(owner, name, wrapped)


def _patched(function: Callable[..., Any], action: str, name: str) -> Callable[..., Any]:
    from nncf.torch import register_operator

    if hasattr(function, "_patched_for_nncf"):
        return function

    def run(*args: Any, **kwargs: Any) -> Any:
        with untraced():
            return function(*_plain(args), **_plain(kwargs))

    operator = register_operator(name)(lambda *args, **kwargs: function(*args, **kwargs))
    patched = functools.wraps(function)(run if action == UNTRACED else operator)
    patched._patched_for_nncf = True
    return patched


def _register_opaque_operators() -> None:
    """Register ``Tensor.detach``, with which MMDetection's post-processing starts, and the OPERATOR patches' operators.

    A quantizer that a layer after such an operator needs must stay behind it: OpenVINO runs none of them in int8.
    """
    from nncf.common.quantization.quantizer_propagation.structs import QuantizationTrait
    from nncf.torch.dynamic_graph.patch_pytorch import patch_namespace_by_patchspec
    from nncf.torch.dynamic_graph.trace_functions import ForwardTraceOnly
    from nncf.torch.dynamic_graph.trace_tensor import TracedTensor
    from nncf.torch.graph.operator_metatypes import PT_OPERATOR_METATYPES, PTOperatorMetatype, PTPatchSpec
    from nncf.torch.quantization.default_quantization import DEFAULT_PT_QUANT_TRAIT_TO_OP_DICT

    if "DetachMetatype" in PT_OPERATOR_METATYPES.registry_dict:
        return

    @PT_OPERATOR_METATYPES.register()
    class DetachMetatype(PTOperatorMetatype):
        name = "detach"
        torch_tensor_patch_spec = PTPatchSpec([name], ForwardTraceOnly())

    @PT_OPERATOR_METATYPES.register()
    class OpaqueMetatype(PTOperatorMetatype):
        name = "opaque"
        external_op_names = sorted({patch.owner for patches in (LAYERS, *(adapter.patches for adapter in families()))
                                    for patch in patches if patch.action == OPERATOR}
                                   | {function.name for function in LAYER_FUNCTIONS})

    patch_namespace_by_patchspec(TracedTensor, DetachMetatype.torch_tensor_patch_spec)
    DEFAULT_PT_QUANT_TRAIT_TO_OP_DICT[QuantizationTrait.NON_QUANTIZABLE].append(OpaqueMetatype)


def _register_group_norm_fusion() -> None:
    """Let a quantizer stay behind a group norm's ReLU, as NNCF 2.0.0 has it of a batch norm's.

    It would go before the ReLU, where OpenVINO cannot use it: the next convolution, as in the heads of FCOS and ATSS,
    would run in FP32.
    """
    from nncf.common.graph.patterns import GraphPattern
    from nncf.torch.graph.pattern_operations import GROUP_NORMALIZATION_OPERATIONS, RELU_OPERATIONS
    from nncf.torch.hardware.fused_patterns import PT_HW_FUSED_PATTERNS

    group_norm, relu = GraphPattern(), GraphPattern()
    group_norm.add_node(**GROUP_NORMALIZATION_OPERATIONS)
    relu.add_node(**RELU_OPERATIONS)
    # It raises where the name is known, as for the second detector of a process.
    with contextlib.suppress(KeyError):
        PT_HW_FUSED_PATTERNS.register(group_norm + relu, "GROUP_NORM + RELU")


def _register_pruning_operators() -> None:
    """Let pruning follow channels through operators that NNCF 2.0.0 takes for dead ends, though they work by channel.

    LeakyReLU is all of YOLOv3; interpolation is the way down an FPN.
    """
    from nncf.torch.graph.operator_metatypes import InterpolateMetatype, LeakyRELUMetatype
    from nncf.torch.pruning.export_helpers import PT_PRUNING_OPERATOR_METATYPES, PTIdentityMaskForwardOps

    for metatype in (LeakyRELUMetatype, InterpolateMetatype):
        if metatype not in PTIdentityMaskForwardOps.subtypes:
            PTIdentityMaskForwardOps.subtypes.append(metatype)
            for name in metatype.get_all_aliases():
                PT_PRUNING_OPERATOR_METATYPES._op_name_to_op_class[name] = PTIdentityMaskForwardOps


def dummy_forward(size: Sequence[int]) -> Callable[[Any], Any]:
    """Return the forward pass by which NNCF traces a model: over a zero image of this size, [N, 3, H, W].

    Fixed numbers: tracing must not depend on, or move, the random generators.
    """
    import torch
    from nncf.torch import nncf_model_input
    from nncf.torch.dynamic_graph.io_handling import wrap_nncf_model_outputs_with_objwalk

    def run(model: Any) -> Any:
        image = nncf_model_input(torch.zeros(tuple(size), device=next(model.parameters()).device))
        return wrap_nncf_model_outputs_with_objwalk(model(image))

    return run


def _plain(value: Any) -> Any:
    """Return ``value`` with NNCF's traced tensors as ordinary ones: some mmdet operators refuse the subclass."""
    import torch
    from nncf.torch.dynamic_graph.trace_tensor import TracedTensor

    if isinstance(value, TracedTensor):
        # Not value.as_subclass: TracedTensor overrides it to return itself.
        return torch.Tensor.as_subclass(value, torch.Tensor)
    if isinstance(value, dict):
        return type(value)((key, _plain(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(_plain(item) for item in value)
    return value
