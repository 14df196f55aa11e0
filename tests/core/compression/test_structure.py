"""Counts of small networks against counting by hand, the same from ONNX and IR."""

import importlib.util

import numpy as np
import onnx
import pytest

from core.base.errors import UserError
from core.compression.structure import (
    CONV,
    LINEAR,
    TRANSPOSED,
    LayerCounts,
    StructureCounts,
    changed_layers,
    structure_of_ir,
    structure_of_onnx,
)
from core.results.speed import LayerChange

# On an image [1, 3, 16, 16]: kind, in, out, groups, weights, FLOPs = 2 x weights x positions.
BY_HAND = [
    (CONV, 3, 8, 1, 8 * 3 * 9, 2 * 216 * 8 * 8),        # 3x3, stride 2: 8 x 8 positions
    (CONV, 8, 8, 8, 8 * 1 * 9, 2 * 72 * 8 * 8),         # depthwise 3x3
    (CONV, 8, 4, 1, 4 * 8, 2 * 32 * 8 * 8),             # pointwise
    (CONV, 4, 6, 2, 6 * 2, 2 * 12 * 8 * 8),             # pointwise in two groups
    (TRANSPOSED, 6, 2, 1, 6 * 2 * 4, 2 * 48 * 8 * 8),   # 2x2, stride 2: each input position, not each of 16 x 16
    (CONV, 2, 2, 1, 2 * 2, 2 * 4 * 16 * 16),            # shared by two sizes: 16 x 16 ...
    (CONV, 2, 2, 1, 2 * 2, 2 * 4 * 8 * 8),              # ... and 8 x 8
    (LINEAR, 2, 5, 1, 10, 2 * 10)]                      # on the mean over positions
SHARED = 4


def rows(counts):
    return [(layer.kind, layer.in_channels, layer.out_channels, layer.groups, layer.weights, layer.flops)
            for layer in counts.layers]


def check(counts):
    assert rows(counts) == BY_HAND
    assert counts.parameters == sum(row[4] for row in BY_HAND) - SHARED
    assert counts.flops == sum(row[5] for row in BY_HAND)
    assert counts.channels == 8 + 8 + 4 + 6 + 2 + 2 + 2
    # One filter of the first layer and one of the pointwise one are zeros.
    assert counts.parameters - counts.nonzero == 3 * 9 + 8


@pytest.fixture
def onnx_file(tmp_path):
    """The network of BY_HAND, written node by node."""
    def weight(*shape):
        return np.full(shape, len(shape) + shape[0] / shape[1], np.float32)

    stem, pointwise = weight(8, 3, 3, 3), weight(4, 8, 1, 1)
    stem[0], pointwise[3] = 0, 0
    constants = {"stem": stem, "depthwise": weight(8, 1, 3, 3), "pointwise": pointwise, "grouped": weight(6, 2, 1, 1),
                 "up": weight(6, 2, 2, 2), "shared": weight(2, 2, 1, 1), "linear": weight(2, 5)}
    node = onnx.helper.make_node
    nodes = [
        node("Conv", ["image", "stem"], ["a"], pads=[1] * 4, strides=[2, 2]),
        node("Conv", ["a", "depthwise"], ["b"], pads=[1] * 4, group=8),
        node("Conv", ["b", "pointwise"], ["c"]),
        node("Conv", ["c", "grouped"], ["d"], group=2),
        node("ConvTranspose", ["d", "up"], ["e"], strides=[2, 2]),
        node("Conv", ["e", "shared"], ["f"]),
        node("MaxPool", ["f"], ["g"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["g", "shared"], ["h"]),
        node("ReduceMean", ["h"], ["i"], axes=[2, 3], keepdims=0),
        node("MatMul", ["i", "linear"], ["out"])]
    return write(tmp_path / "net.onnx", nodes, constants, [1, 5])


def write(path, nodes, constants, output, size=16):
    graph = onnx.helper.make_graph(
        nodes, "net", [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, size, size])],
        [onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, output)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()])
    opsets = [onnx.helper.make_opsetid("", 11), onnx.helper.make_opsetid("org.openvinotoolkit", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=6), str(path))
    return path


def test_onnx(onnx_file):
    check(structure_of_onnx(onnx_file))


def test_ir(onnx_file):
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not in this environment")
    from core.openvino.runtime import import_openvino

    check(structure_of_ir(import_openvino().convert_model(str(onnx_file))))


def test_weights_are_found_behind_fake_quantize(tmp_path):
    limits = {name: np.full((1, 1, 1, 1), value, np.float32) for name, value in (("low", -1), ("high", 1))}
    nodes = [onnx.helper.make_node("FakeQuantize", [source, "low", "high", "low", "high"], [f"{source}/8"],
                                   domain="org.openvinotoolkit", levels=256) for source in ("image", "weight")]
    nodes.append(onnx.helper.make_node("Conv", ["image/8", "weight/8"], ["out"]))
    path = write(tmp_path / "q.onnx", nodes, {"weight": np.ones((4, 3, 1, 1), np.float32), **limits}, [1, 4, 16, 16])
    assert rows(structure_of_onnx(path)) == [(CONV, 3, 4, 1, 12, 2 * 12 * 256)]


def test_sizes_that_the_graph_computes_are_followed(tmp_path):
    """A feature pyramid resizes a level to the shape of the next."""
    node = onnx.helper.make_node
    nodes = [
        node("Conv", ["image", "down"], ["coarse"], strides=[2, 2]),
        node("Shape", ["image"], ["shape"]),
        node("Slice", ["shape", "two", "four"], ["height_width"]),
        node("Shape", ["coarse"], ["coarse_shape"]),
        node("Slice", ["coarse_shape", "zero", "two"], ["batch_channels"]),
        node("Concat", ["batch_channels", "height_width"], ["sizes"], axis=0),
        node("Resize", ["coarse", "", "", "sizes"], ["fine"], mode="nearest"),
        node("Conv", ["fine", "last"], ["out"])]
    constants = {"down": np.ones((2, 3, 1, 1), np.float32), "last": np.ones((2, 2, 1, 1), np.float32),
                 **{name: np.int64([value]) for name, value in (("zero", 0), ("two", 2), ("four", 4))}}
    counts = structure_of_onnx(write(tmp_path / "fpn.onnx", nodes, constants, [1, 2, None, None]))
    assert [layer.flops for layer in counts.layers] == [2 * 6 * 64, 2 * 4 * 256]


def test_a_size_that_cannot_be_told_is_an_error(tmp_path):
    nodes = [onnx.helper.make_node("Conv", ["image", "weight"], ["out"])]
    path = write(tmp_path / "d.onnx", nodes, {"weight": np.ones((2, 3, 1, 1), np.float32)}, None, size="side")
    with pytest.raises(UserError, match="fixed input size"):
        structure_of_onnx(path)


def test_a_vector_of_weights_is_a_layer_of_one_feature(tmp_path):
    """As GFL's integral over bins."""
    path = write(tmp_path / "v.onnx", [onnx.helper.make_node("MatMul", ["image", "weight"], ["out"])],
                 {"weight": np.ones(16, np.float32)}, [1, 3, 16])
    expected = [(LINEAR, 16, 1, 1, 16, 2 * 16 * 3 * 16)]
    assert rows(structure_of_onnx(path)) == expected
    if importlib.util.find_spec("openvino") is not None:
        from core.openvino.runtime import import_openvino

        assert rows(structure_of_ir(import_openvino().convert_model(str(path)))) == expected


def layer(name, channels, filters):
    return LayerCounts(name, CONV, channels, filters, 1, channels * filters, channels * filters, 0)


def test_changed_layers_are_named():
    before = StructureCounts((layer("a", 3, 16), layer("b", 16, 16), layer("c", 16, 4)), 0, 0)
    after = StructureCounts((layer("a", 3, 8), layer("b", 8, 16), layer("c", 16, 4)), 0, 0)
    assert changed_layers(before, after) == [
        LayerChange(name="a", in_channels=(3, 3), out_channels=(16, 8)),
        LayerChange(name="b", in_channels=(16, 8), out_channels=(16, 16))]
    with pytest.raises(ValueError, match="3 layers before, 1 after"):
        changed_layers(before, StructureCounts((layer("a", 3, 8),), 0, 0))
