import pytest

from core.compression.structure import LayerCounts
from core.openvino.execution import describe_execution, executed_as
from core.openvino.runtime import Hint, compile_model, read_ir


def layer(name, flops):
    return LayerCounts(name, "conv", 3, 3, 1, 9, 9, flops)


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize("kind, int8", [("toy_ir", False), ("int8_ir", True)])
def test_the_runtime_tells_in_which_precision_a_convolution_runs(request, kind, int8):
    model, _ = read_ir(request.getfixturevalue(kind))
    execution = describe_execution(model, compile_model(model, Hint.LATENCY))
    assert (execution.layers, execution.int8_share) == (1, float(int8))
    for left in execution.not_int8:
        assert left.flops == 2 * 3 * 3 * 8 * 8 * 6 * 8 and left.primitive != "unknown"


def test_shares_are_of_the_work_and_the_rest_is_named():
    layers = [layer("a", 60), layer("b", 10), layer("c", 25), layer("lost", 5)]
    execution = executed_as(layers, {"a": ("u8", "x"), "b": ("f32", "y"), "c": ("f32", "y")})
    assert (execution.layers, execution.int8_share) == (4, 0.6)
    assert [(left.name, left.precision, left.share) for left in execution.not_int8] == [
        ("c", "f32", 0.25), ("b", "f32", 0.1), ("lost", "unknown", 0.05)]
    assert executed_as([], {}).int8_share == 0
