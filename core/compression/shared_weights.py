"""One quantizer's parameters for a weight that several calls share."""

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


def _weight_quantizers(module: Any) -> dict[tuple[Any, ...], list[Any]]:
    """Return the quantizers before a module's calls, those together that quantize the same parameter alike."""
    from nncf.torch.quantization.layers import BaseQuantizer

    found: dict[tuple[Any, ...], list[Any]] = {}
    for update in getattr(module, "pre_ops", {}).values():
        quantizer = getattr(update, "op", None)
        if isinstance(quantizer, BaseQuantizer):
            kind = (update._param_name, type(quantizer), quantizer.num_bits, quantizer.per_channel)
            found.setdefault(kind, []).append(quantizer)
    return found
