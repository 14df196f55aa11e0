"""One quantizer's parameters for a weight that several calls share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def share_weight_quantizers(network: Any) -> None:
    """Let all quantizers of one weight have the same parameters, in place.

    A head that works on every level of a pyramid is one module with several calls, and NNCF 2.0.0 gives its weight a
    quantizer for each call. In PyTorch they all run, one on the other's result; what is exported is the last one on the
    bare weight (``BaseQuantizer.forward`` returns its input unquantized while it is traced). With ranges that training
    moves apart the two differ by a level in a tenth of the weights. With the same range a quantizer changes nothing
    that has been quantized, and both are one quantizer.

    Args:
        network: An ``NNCFNetwork``, with its quantizers initialised or restored, its weights not necessarily loaded.
    """
    for module in network.modules():
        for first, *others in _weight_quantizers(module).values():
            shared = {name: parameter for name, parameter in first._parameters.items() if parameter.requires_grad}
            for other in others:
                other._parameters.update(shared)


@contextmanager
def quantized_once(network: Any) -> Iterator[None]:
    """Within the block, export a shared weight behind one of its quantizers, which are all the same.

    With the saturation fix of NNCF 2.0.0, of target_device CPU and ANY, each quantizer's clamp makes a constant, so
    that the last alone is exported; without, all of them are, one on the other's result
    (torch/quantization/layers.py, _prepare_export_quantization).
    """
    kept = [(module.pre_ops._modules, dict(module.pre_ops._modules)) for module in network.modules()
            if getattr(module, "pre_ops", None)]
    surplus = {id(quantizer) for module in network.modules()
               for _, *others in _weight_quantizers(module).values() for quantizer in others}
    try:
        for operations, _ in kept:
            for key in [key for key, update in operations.items() if id(getattr(update, "op", None)) in surplus]:
                del operations[key]
        yield
    finally:
        for operations, all_of_them in kept:
            operations.clear()
            operations.update(all_of_them)


def _weight_quantizers(module: Any) -> dict[tuple[Any, ...], list[Any]]:
    """Return the quantizers before a module's calls, those together that quantize the same parameter alike."""
    found: dict[tuple[Any, ...], list[Any]] = {}
    if not getattr(module, "pre_ops", None):
        # So with every module of a plain detector, which is exported without NNCF.
        return found
    from nncf.torch.quantization.layers import BaseQuantizer

    for update in module.pre_ops.values():
        quantizer = getattr(update, "op", None)
        if isinstance(quantizer, BaseQuantizer):
            kind = (update._param_name, type(quantizer), quantizer.num_bits, quantizer.per_channel)
            found.setdefault(kind, []).append(quantizer)
    return found
