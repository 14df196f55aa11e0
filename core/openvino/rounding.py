"""Keeping the rounding that OpenVINO's CPU plugin leaves out of residual sums."""

from typing import Any

from core.compression.fake_quantize import FAKE_QUANTIZE


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


def has_constant(node: Any) -> bool:
    """Return whether an operation reads a constant."""
    return any(value.get_node().get_type_name() == "Constant" for value in node.input_values())


def _is_rounded_away(operation: Any) -> bool:
    if operation.get_type_name() != FAKE_QUANTIZE:
        return False
    readers = [port.get_node() for port in operation.output(0).get_target_inputs()]
    node = operation.input_value(0).get_node()
    while node.get_type_name() in ("Add", "Multiply", "Subtract") and has_constant(node):
        node = next(value.get_node() for value in node.input_values() if value.get_node().get_type_name() != "Constant")
    return node.get_type_name() in ("Convolution", "GroupConvolution") and any(
        reader.get_type_name() == "Add" and not has_constant(reader) for reader in readers)
