"""What NNCF may see of a detector: one table of patches, and the forward function that is traced."""

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

UNTRACED = "untraced"
OPERATOR = "operator"

ALWAYS = (True, False)
WITH_POSTPROCESSING = (True,)
WITHOUT_POSTPROCESSING = (False,)

_TRAINING_ONLY = "runs in training only; its operators would shift the numbers by which NNCF finds its quantizers"
_TRACED_MASKS = 100
_COORDINATES = "works on coordinates and indices, which 8 bits cannot hold"


@dataclass(frozen=True)
class Patch:
    """One method that NNCF must not trace as it is.

    NNCF places a quantizer on an operator by its address (scope, name, call number), so what runs outside the graph
    must do so in training, testing and tracing alike.

    Attributes:
        owner: Class, with its subclasses, whose instances within a detector are patched.
        method: Dotted path from the instance to the method.
        reason: Why.
        action: ``UNTRACED`` keeps all of it out of the graph, ``OPERATOR`` makes it one operator of the graph, which
            NNCF neither quantizes inside nor prunes through.
        postprocessing: The values of ``nncf_compress_postprocessing`` it applies to.
        but_not: Subclass of ``owner`` that is left alone.
    """

    owner: str
    method: str
    reason: str
    action: str = UNTRACED
    postprocessing: tuple[bool, ...] = ALWAYS
    but_not: str = ""


PATCHES: tuple[Patch, ...] = (
    Patch("BaseDenseHead", "loss", _TRAINING_ONLY),
    Patch("BaseDenseHead", "get_bboxes", "the whole of post-processing", postprocessing=WITHOUT_POSTPROCESSING),
    Patch("BaseDenseHead", "prior_generator.grid_priors", _COORDINATES, postprocessing=WITH_POSTPROCESSING),
    Patch("BaseDenseHead", "bbox_coder.decode", _COORDINATES, postprocessing=WITH_POSTPROCESSING),
    Patch("BaseDenseHead", "_bbox_post_process", _COORDINATES, postprocessing=WITH_POSTPROCESSING),
    Patch("YOLOXHead", "_bbox_decode", _COORDINATES, postprocessing=WITH_POSTPROCESSING),
    Patch("YOLOXHead", "_bboxes_nms", _COORDINATES, postprocessing=WITH_POSTPROCESSING),
    Patch("BaseDenseHead", "onnx_export", _COORDINATES, but_not="RPNHead"),
    Patch("Scale", "forward", "the learned factor on box distances in FCOS and ATSS: " + _COORDINATES, action=OPERATOR),
    Patch("L2Norm", "forward", "its arithmetic on a plain parameter loses the trace, so that the layer after it got no "
          "quantizer and the one before it was pruned by itself", action=OPERATOR),
    Patch("BaseRoIExtractor", "forward", "which levels it reads depends on the proposals, and RoIAlign loses the trace",
          action=OPERATOR),
    Patch("BaseRoIHead", "bbox_assigner.assign", _TRAINING_ONLY),
    Patch("BaseRoIHead", "bbox_sampler.sample", _TRAINING_ONLY),
    Patch("BBoxHead", "loss", _TRAINING_ONLY),
    Patch("BBoxHead", "get_targets", _TRAINING_ONLY),
    Patch("BBoxHead", "get_bboxes", "the whole of post-processing", postprocessing=WITHOUT_POSTPROCESSING),
    Patch("BBoxHead", "bbox_coder.decode", _COORDINATES, postprocessing=WITH_POSTPROCESSING),
    Patch("BBoxHead", "onnx_export", _COORDINATES),
    Patch("FCNMaskHead", "loss", _TRAINING_ONLY),
    Patch("FCNMaskHead", "get_targets", _TRAINING_ONLY),
    Patch("FCNMaskHead", "get_seg_masks", "pastes masks into images of any size, " + _COORDINATES),
    Patch("FCNMaskHead", "onnx_export", _COORDINATES),
)

# Functions that MMDetection's heads call by these names, for the same reasons.
UNTRACED_FUNCTIONS: tuple[tuple[str, str, str], ...] = (
    ("mmdet.models.dense_heads.base_dense_head", "filter_scores_and_topk", _COORDINATES),
    ("mmdet.models.roi_heads.standard_roi_head", "bbox2roi", _COORDINATES),
    ("mmdet.models.roi_heads.test_mixins", "bbox2roi", _COORDINATES),
    ("mmdet.models.roi_heads.bbox_heads.bbox_head", "multiclass_nms", _COORDINATES),
)

# Heads whose post-processing cannot be traced without quantizing coordinates.
INSEPARABLE: dict[str, str] = {
    "YOLOV3Head": "boxes and scores leave one convolution in one tensor, so a quantizer on the scores would quantize "
                  "the coordinates too",
}

# Detectors that join maps of neighbouring strides, which only meet where the sides are multiples of the coarsest.
INPUT_DIVISORS: dict[str, int] = {"YOLOX": 32, "YOLOV3": 32}


@contextmanager
def untraced() -> Iterator[None]:
    """Run a block outside NNCF's graph, and leave tracing as it was even when the block raises.

    NNCF 2.0.0's own ``no_nncf_trace`` has no ``finally``: after an exception nothing is quantized any more.
    """
    # Plain detectors are exported through here too, with NNCF installed or not.
    module = sys.modules.get("nncf.torch.dynamic_graph.context")
    context = module.get_current_context() if module is not None else None
    if context is None or not context.is_tracing:
        yield
        return
    context.disable_tracing()
    try:
        yield
    finally:
        context.enable_tracing()


def keep_out_of_graph(detector: Any, postprocessing: bool = False) -> None:
    """Patch ``detector``'s parts by the table, for one value of ``nncf_compress_postprocessing``."""
    _teach_operators()
    _teach_fusing()
    _teach_pruning()
    for module_name, function_name, _ in UNTRACED_FUNCTIONS:
        module = importlib.import_module(module_name)
        setattr(module, function_name, _untraced(getattr(module, function_name)))
    for module in detector.modules():
        classes = {kind.__name__ for kind in type(module).__mro__}
        for patch in PATCHES:
            if patch.owner in classes and patch.but_not not in classes and postprocessing in patch.postprocessing:
                _apply(patch, module)


def postprocessing_obstacle(detector: Any) -> str:
    """Return why a detector's post-processing cannot be part of NNCF's graph, empty where nothing is known."""
    for module in detector.modules():
        for kind in type(module).__mro__:
            if kind.__name__ in INSEPARABLE:
                return f"{kind.__name__}: {INSEPARABLE[kind.__name__]}"
    return ""


def _apply(patch: Patch, module: Any) -> None:
    *path, name = patch.method.split(".")
    owner = functools.reduce(lambda part, step: getattr(part, step, None), path, module)
    method = getattr(owner, name, None)
    if method is None:
        return
    wrapped = _untraced(method) if patch.action == UNTRACED else _as_operator(method, patch.owner)
    # Straight into the instance: nn.Module would look for a parameter or a submodule.
    object.__setattr__(owner, name, wrapped)


def _untraced(function: Callable[..., Any]) -> Callable[..., Any]:
    if hasattr(function, "_patched_for_nncf"):
        return function

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with untraced():
            return function(*_plain(args), **_plain(kwargs))

    run._patched_for_nncf = True  # type: ignore[attr-defined]
    return run


def _as_operator(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    from nncf.torch import register_operator

    if hasattr(function, "_patched_for_nncf"):
        return function
    run = functools.wraps(function)(register_operator(name)(lambda *args, **kwargs: function(*args, **kwargs)))
    run._patched_for_nncf = True
    return run


def _teach_operators() -> None:
    """Tell NNCF of ``Tensor.detach``, with which MMDetection's post-processing begins, and of the OPERATOR patches.

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
        external_op_names = [patch.owner for patch in PATCHES if patch.action == OPERATOR]

    patch_namespace_by_patchspec(TracedTensor, DetachMetatype.torch_tensor_patch_spec)
    DEFAULT_PT_QUANT_TRAIT_TO_OP_DICT[QuantizationTrait.NON_QUANTIZABLE].append(OpaqueMetatype)


def _teach_fusing() -> None:
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


def _teach_pruning() -> None:
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


@contextmanager
def forward_as(detector: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """Let ``detector(...)`` call ``forward`` within the block."""
    object.__setattr__(detector, "forward", forward)
    try:
        yield
    finally:
        object.__delattr__(detector, "forward")


def tracing_forward(detector: Any, postprocessing: bool) -> Callable[..., Any]:
    """Return the forward function that NNCF traces: ``forward(img, **ignored)`` with ``img`` [N, 3, H, W].

    Args:
        detector: A single-stage or two-stage MMDetection detector.
        postprocessing: Go on through box decoding and non-maximum suppression instead of ending at the raw heads.
    """
    def single_stage(img: Any, **kwargs: Any) -> Any:
        outputs = detector.bbox_head(detector.extract_feat(img))
        if not postprocessing:
            return outputs
        return detector.bbox_head.get_bboxes(*outputs, img_metas=image_metas(img), rescale=False)

    def two_stage(img: Any, **kwargs: Any) -> Any:
        features, metas, head = detector.extract_feat(img), image_metas(img), detector.roi_head
        proposal_outputs = detector.rpn_head(features)
        # Real proposals: the random ones of mmdet's forward_dummy are no boxes and would be traced themselves.
        proposals = detector.rpn_head.get_bboxes(*proposal_outputs, img_metas=metas)
        rois = standard_roi_head.bbox2roi(proposals)
        if postprocessing:
            outputs = [head.simple_test_bboxes(features, metas, proposals, head.test_cfg)]
        else:
            found = head._bbox_forward(features, rois)
            outputs = [proposal_outputs, found["cls_score"], found["bbox_pred"]]
        if head.with_mask:
            outputs.append(head._mask_forward(features, rois[:_TRACED_MASKS])["mask_pred"])
        return outputs

    if not hasattr(detector, "roi_head"):
        return single_stage
    from mmdet.models.roi_heads import standard_roi_head

    return two_stage


def image_metas(img: Any) -> list[dict[str, Any]]:
    """Return the meta data that MMDetection's heads want for a batch of unscaled images [N, 3, H, W]."""
    import numpy as np

    height, width = (int(side) for side in img.shape[-2:])
    shape: tuple[int, int, int] = (height, width, 3)
    return [{"img_shape": shape, "ori_shape": shape, "pad_shape": shape, "scale_factor": np.ones(4, dtype=np.float32),
             "flip": False, "filename": "", "batch_input_shape": (height, width)} for _ in range(img.shape[0])]
