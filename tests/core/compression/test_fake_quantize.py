import onnx
import pytest

from core.base.errors import UserError
from core.compression.fake_quantize import (
    count_in_ir,
    count_in_onnx,
    count_int8_weights,
    expect_fake_quantize,
    load_onnx,
)


@pytest.fixture
def plain(tmp_path, write_onnx, toy_spec):
    return write_onnx(tmp_path / "plain", toy_spec) / "model.onnx"


@pytest.fixture
def quantized(tmp_path, write_onnx, int8_spec):
    return write_onnx(tmp_path / "int8", int8_spec, quantized=True) / "model.onnx"


def test_counts_in_onnx(plain, quantized):
    assert (count_in_onnx(plain), count_in_onnx(quantized)) == (0, 2)


def test_another_domain_is_another_operator(tmp_path, quantized):
    model = onnx.load(str(quantized))
    for node in model.graph.node:
        node.domain = ""
    onnx.save(model, str(tmp_path / "other.onnx"))
    assert count_in_onnx(tmp_path / "other.onnx") == 0


def test_subgraphs_count(tmp_path, quantized):
    inner = onnx.load(str(quantized)).graph
    branch = onnx.helper.make_node("If", ["condition"], ["boxes"], then_branch=inner, else_branch=inner)
    outer = onnx.helper.make_graph([branch], "outer", [], inner.output)
    onnx.save(onnx.helper.make_model(outer), str(tmp_path / "nested.onnx"))
    assert count_in_onnx(tmp_path / "nested.onnx") == 4


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, plain, kept):
    content = plain.read_bytes()
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(content[:kept if isinstance(kept, int) else int(len(content) * kept)])
    with pytest.raises(UserError, match="ONNX model: .*cut.onnx"):
        load_onnx(cut)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="ONNX model: .*absent.onnx"):
        load_onnx(tmp_path / "absent.onnx")


def test_weights_in_other_files_are_not_read(tmp_path, plain):
    model = onnx.load(plain)
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(1 << 16))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="other files"):
        load_onnx(tmp_path / "model.onnx")


def test_weights_are_counted_as_int8_in_the_ir(tmp_path, quantized, openvino):
    from core.openvino.ir import convert_to_ir
    from core.openvino.runtime import read_ir

    convert_to_ir(quantized.parent, tmp_path / "ir")
    model, _ = read_ir(tmp_path / "ir")
    assert (count_in_ir(model), count_int8_weights(model)) == (1, 1)


@pytest.mark.parametrize("count", [0, 26])
def test_equal_counts_pass(count):
    expect_fake_quantize(count, count, "the ONNX model")


def test_lost_quantization_is_an_error():
    with pytest.raises(UserError, match="0 in the ONNX model. A quantized model must keep its 26 .* FP32 model"):
        expect_fake_quantize(26, 0, "the ONNX model")


@pytest.mark.parametrize("expected, found", [(26, 25), (0, 3)])
def test_different_counts_are_an_error(expected, found):
    with pytest.raises(UserError, match=f"{found} in the ONNX model. {expected} FakeQuantize operators were expected"):
        expect_fake_quantize(expected, found, "the ONNX model")
