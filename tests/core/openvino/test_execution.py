import pytest

from core.openvino.execution import ExecutedLayer, Execution, describe_execution
from core.openvino.runtime import Hint, compile_model, read_ir


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize("kind, int8", [("toy_ir", False), ("int8_ir", True)])
def test_the_runtime_tells_in_which_precision_a_convolution_runs(request, kind, int8):
    model, _ = read_ir(request.getfixturevalue(kind))
    (layer,) = describe_execution(model, compile_model(model, Hint.LATENCY)).layers
    assert (layer.precision in ("u8", "i8")) == int8
    assert layer.flops == 2 * 3 * 3 * 8 * 8 * 6 * 8
    assert layer.primitive != "unknown"


def test_shares_are_of_the_work_and_the_rest_is_named():
    execution = Execution((ExecutedLayer("a", "u8", "x", 60), ExecutedLayer("b", "f32", "y", 10),
                           ExecutedLayer("c", "f32", "y", 30)))
    assert execution.int8_share == 0.6
    assert [layer.name for layer in execution.not_int8] == ["c", "b"]
    assert execution.to_json() == {"layers": 3, "int8_share": 0.6, "unrounded": [], "not_int8": [
        {"name": "c", "precision": "f32", "primitive": "y", "flops": 30, "share": 0.3},
        {"name": "b", "precision": "f32", "primitive": "y", "flops": 10, "share": 0.1}]}
    assert Execution(()).int8_share == 0
