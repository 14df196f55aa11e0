"""Keeping the rounding that OpenVINO's CPU plugin leaves out of residual sums."""

from collections.abc import Iterator
from typing import Any

FAKE_QUANTIZE = "FakeQuantize"


def keep_rounding(model: Any) -> int:
    """Put a PRelu of slope 1, which changes nothing, before each FakeQuantize that a convolution's output goes through
    on its way to a sum, in place.

    Where such a FakeQuantize is the first operation fused behind a convolution, the sum is fused too and quantized
    again, the CPU plugin of OpenVINO 2024.6 does not round it ("drop rounding one special residual pattern", its
    nodes/conv.cpp). In every residual block some percent of the sums then differ by a level from what was trained, ten
    and more layers later most activations do. With an operation before it, it is no longer the first.

    Returns:
        How many were put in.
    """
    import numpy as np
    from openvino.runtime import opset13

    found = [operation for operation in model.get_ordered_ops() if _is_rounded_away(operation)]
    for quantizer in found:
        slope = opset13.constant(np.float32([1.0]))
        same = opset13.prelu(quantizer.input_value(0), slope)
        same.set_friendly_name(f"{quantizer.get_friendly_name()}/kept_rounding")
        slope.set_friendly_name(f"{quantizer.get_friendly_name()}/slope")
        quantizer.input(0).replace_source_output(same.output(0))
    model.validate_nodes_and_infer_types()
    return len(found)


def _is_rounded_away(operation: Any) -> bool:
    if operation.get_type_name() != FAKE_QUANTIZE or not any(kind == "Convolution" for kind in _before(operation)):
        return False
    readers = [port.get_node() for port in operation.output(0).get_target_inputs()]
    return any(reader.get_type_name() == "Add" and not _has_constant(reader) for reader in readers)


def _before(quantizer: Any) -> Iterator[str]:
    """Yield the types of what a quantizer's input is made of, back to what is not arithmetic with constants."""
    node = quantizer.input_value(0).get_node()
    while True:
        kind = node.get_type_name()
        yield "Convolution" if kind == "GroupConvolution" else kind
        if kind not in ("Add", "Multiply", "Subtract") or not _has_constant(node):
            return
        node = next(node.input_value(place).get_node() for place in range(2)
                    if node.input_value(place).get_node().get_type_name() != "Constant")


def _has_constant(node: Any) -> bool:
    return any(node.input_value(place).get_node().get_type_name() == "Constant"
               for place in range(node.get_input_size()))
