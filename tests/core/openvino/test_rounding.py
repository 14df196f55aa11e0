import numpy as np
import pytest

from core.openvino.execution import describe_execution
from core.openvino.rounding import keep_rounding
from core.openvino.runtime import Hint, compile_model

pytestmark = pytest.mark.usefixtures("openvino")
SHARE = 0.002


def test_the_quantizer_before_a_residual_sum_is_rounded_again():
    """A convolution, quantized, added to its own input and quantized again: what a residual block ends with."""
    image = np.random.default_rng(0).uniform(0, 1, (1, 8, 16, 16)).astype(np.float32)
    model = residual_block()
    assert describe_execution(model, compile_model(model, Hint.LATENCY)).unrounded == ("branch",)
    assert difference_from_rounded(model, image) > 10 * SHARE, "OpenVINO's fault that this works around is gone"
    assert keep_rounding(model) == 1
    execution = describe_execution(model, compile_model(model, Hint.LATENCY))
    assert execution.unrounded == () and execution.int8_share > 0.9
    assert difference_from_rounded(model, image) < SHARE


def test_a_model_without_such_sums_stays_as_it_is():
    model = residual_block(quantized_branch=False)
    before = [operation.get_friendly_name() for operation in model.get_ordered_ops()]
    assert keep_rounding(model) == 0
    assert [operation.get_friendly_name() for operation in model.get_ordered_ops()] == before


def residual_block(quantized_branch=True):
    """Return an int8 model [1, 8, 16, 16]: FakeQuantize, convolution, (FakeQuantize,) sum, FakeQuantize."""
    from openvino import Model
    from openvino.runtime import opset13

    def quantize(source, low, high, name, levels=256):
        # Constants of their own: OpenVINO 2024.6 cannot compile one that stands for both ends of a range in FP32.
        ends = [opset13.constant(np.full((1, 1, 1, 1), value, np.float32)) for value in (low, high, low, high)]
        made = opset13.fake_quantize(source, *ends, levels=levels)
        made.set_friendly_name(name)
        return made

    random = np.random.default_rng(1)
    image = opset13.parameter([1, 8, 16, 16], np.float32, name="image")
    start = quantize(image, 0.0, 1.0, "start")
    # Half of the range: without VNNI a sum of two products would not fit into 16 bits, which NNCF sees to as well.
    kernels = [quantize(opset13.constant(random.uniform(-0.05, 0.05, (8, 8, 3, 3)).astype(np.float32)), -0.1, 0.1,
                        f"kernel{number}", 255) for number in range(2)]
    first = opset13.relu(opset13.convolution(start, kernels[0], [1, 1], [1, 1], [1, 1], [1, 1]))
    branch = opset13.convolution(quantize(first, 0.0, 1.0, "middle"), kernels[1], [1, 1], [1, 1], [1, 1], [1, 1])
    if quantized_branch:
        branch = quantize(branch, -0.5, 0.49609375, "branch")
    out = quantize(opset13.relu(opset13.add(branch, start)), 0.0, 1.5, "end")
    last = opset13.convolution(out, quantize(opset13.constant(np.full((8, 8, 1, 1), 0.05, np.float32)), -0.1, 0.1,
                                             "kernel2", 255), [1, 1], [0, 0], [0, 0], [1, 1])
    return Model([last.output(0)], [image], "residual")


def difference_from_rounded(model, image):
    """Return the share of "end"'s values that differ between int8 and the same graph calculated in FP32."""
    from openvino import Model

    from core.openvino.runtime import shared_core

    end = next(operation for operation in model.get_ordered_ops() if operation.get_friendly_name() == "end")
    part = Model([end.output(0)], model.get_parameters(), "part")
    int8, exact = (shared_core().compile_model(part.clone(), "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "LP_TRANSFORMS_MODE": mode})(image)[0] for mode in ("YES", "NO"))
    return float((np.abs(int8 - exact) > 0.5 * 1.5 / 255).mean())
