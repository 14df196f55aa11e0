"""Pruned filters leave the IR, through residual and pyramid additions and a head that several levels share."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from core.openvino.ir import _convert, convert_to_ir, describe_ir, has_zero_filters
from core.openvino.rounding import keep_rounding
from core.openvino.runtime import Hint, compile_model, read_ir

pytestmark = pytest.mark.usefixtures("openvino")
REPOSITORY = Path(__file__).parents[3]
WIDTH, PRUNED = 16, (1, 2, 3, 5, 8, 11, 12, 15)
# Filters: image to 16, a residual block of two, one of stride 2, one more, and twice a head of 16 and 5.
CHANNELS = 5 * WIDTH + 2 * (WIDTH + 5)


class Pyramid:
    """A graph like a small RetinaNet's: residual block, two levels, top-down addition, shared head."""

    def __init__(self, pruned=PRUNED, quantized=False, before_resize=False, seed=0, dead="", by_channel=False):
        self.before_resize, self.dead, self.by_channel = before_resize, dead, by_channel
        self.random, self.pruned, self.quantized = np.random.default_rng(seed), list(pruned), quantized
        self.nodes, self.constants, self.fake_quantize_nodes = [], {}, 0

    def write(self, directory, spec):
        directory.mkdir(parents=True)
        graph = self._graph(spec)
        opsets = [onnx.helper.make_opsetid("", 11), onnx.helper.make_opsetid("org.openvinotoolkit", 1)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=6), str(directory / "model.onnx"))
        algorithms = ("filter_pruning",) + (("quantization",) if self.quantized else ())
        dataclasses.replace(spec, algorithms=algorithms, fake_quantize_nodes=self.fake_quantize_nodes,
                            nncf_config_sha256="1" * 64).write(directory)
        return directory

    def _graph(self, spec):
        stem = self._relu(self._conv("stem", "image", (WIDTH, 3, 3, 3), prune=True))
        inner = self._relu(self._conv("inner", stem, (WIDTH, WIDTH, 3, 3), prune=True))
        fine = self._relu(self._add(self._conv("outer", inner, (WIDTH, WIDTH, 3, 3), prune=True), stem))
        coarse = self._conv("down", fine, (WIDTH, WIDTH, 3, 3), prune=self.before_resize, stride=2)
        lateral = self._conv("lateral", fine, (WIDTH, WIDTH, 1, 1), prune=self.before_resize)
        merged = self._add(lateral, self._node("Resize", [coarse, "", "twice"], mode="nearest"))
        self.constants["twice"] = np.float32([1, 1, 2, 2])
        self.constants["rows"] = np.int64([1, -1, 5])
        levels = [self._head(level) for level in (merged, coarse)]
        self._node("Concat", levels, "boxes", axis=1)
        self.constants.update(zero=np.int64(0))
        self._node("Gather", ["boxes", "zero"], "first", axis=2)
        self._node("Cast", ["first"], "labels", to=onnx.TensorProto.INT64)
        return onnx.helper.make_graph(
            self.nodes, "pyramid",
            [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT,
                                                [1, 3, spec.input_height, spec.input_width])],
            [onnx.helper.make_tensor_value_info("boxes", onnx.TensorProto.FLOAT, [1, None, 5]),
             onnx.helper.make_tensor_value_info("labels", onnx.TensorProto.INT64, [1, None])],
            [onnx.numpy_helper.from_array(value, name) for name, value in self.constants.items()])

    def _head(self, level):
        tower = self._relu(self._conv("tower", level, (WIDTH, WIDTH, 3, 3), prune=True))
        flat = self._node("Transpose", [self._conv("last", tower, (5, WIDTH, 3, 3))], perm=[0, 2, 3, 1])
        return self._node("Reshape", [flat, "rows"])

    def _conv(self, name, source, shape, prune=False, stride=1):
        weight, bias = f"{name}.weight", f"{name}.bias"
        if weight not in self.constants:
            values = self.random.normal(size=shape).astype(np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))
            shift = self.random.normal(size=shape[0]).astype(np.float32)
            if prune:
                values[self.pruned], shift[self.pruned] = 0, 0
            self.constants.update({weight: values, bias: shift})
        if self.quantized:
            # Half of the levels, as NNCF uses: without VNNI a sum of two products saturates at 16 bits otherwise, and
            # differently after channels are gone.
            limit = 2 * np.maximum(np.abs(self.constants[weight]).reshape(shape[0], -1).max(axis=1), 1e-3)
            weight = self._fake_quantize(weight, limit.reshape(-1, 1, 1, 1).astype(np.float32), 255)
            by_channel = self.by_channel and shape[1] == WIDTH
            source = self._fake_quantize(source, np.full((1, WIDTH if by_channel else 1, 1, 1), 4, np.float32), 256,
                                         "nothing_below" if by_channel else "")
        found = self._node("Conv", [source, weight, bias], pads=[shape[2] // 2] * 4, strides=[stride] * 2)
        if name != self.dead:
            return found
        self.constants["nothing"] = np.zeros((1, shape[0], 1, 1), np.float32)
        return self._node("Mul", [found, "nothing"])

    def _fake_quantize(self, source, limit, levels, shared_low=""):
        self.fake_quantize_nodes += 1
        low, high = shared_low or f"low{self.fake_quantize_nodes}", f"high{self.fake_quantize_nodes}"
        self.constants.update({low: 0 * limit if shared_low else -limit, high: limit})
        return self._node("FakeQuantize", [source, low, high, low, high], domain="org.openvinotoolkit", levels=levels)

    def _relu(self, source):
        return self._node("Relu", [source])

    def _add(self, one, other):
        return self._node("Add", [one, other])

    def _node(self, kind, inputs, output="", **attributes):
        output = output or f"{kind}{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output


@pytest.fixture(params=[False, True], ids=["float", "int8"])
def pyramid(request, tmp_path, toy_spec):
    return Pyramid(quantized=request.param).write(tmp_path / "onnx", toy_spec)


@pytest.fixture(params=[(False, False, False), (True, False, False), (False, True, False), (True, True, False),
                        (True, False, True)],
                ids=["float", "int8", "float-resized", "int8-resized", "int8-limits shared by quantizers"])
def any_pyramid(request, tmp_path, toy_spec):
    quantized, before_resize, by_channel = request.param
    return Pyramid(quantized=quantized, before_resize=before_resize, by_channel=by_channel).write(
        tmp_path / "onnx", toy_spec)


def test_pruned_filters_are_gone_and_recorded(tmp_path, pyramid):
    files = convert_to_ir(pyramid, tmp_path / "ir")
    # The three layers of the residual block lose filters, and the head's tower on both levels.
    assert (files.channels_before, files.channels) == (CHANNELS, CHANNELS - 5 * len(PRUNED))
    assert files.weights_mb < 0.7 * files.weights_mb_before
    model, _ = read_ir(tmp_path / "ir")
    shapes = [list(operation.input_value(1).get_shape())[:2] for operation in model.get_ordered_ops()
              if operation.get_type_name() == "Convolution"]
    left = WIDTH - len(PRUNED)
    assert sorted(shapes) == sorted([[left, 3], *[[left, left]] * 2, *[[WIDTH, left]] * 2, *[[left, WIDTH]] * 2,
                                     *[[5, left]] * 2])


def test_filters_whose_output_is_resized_are_gone(tmp_path, toy_spec):
    files = convert_to_ir(Pyramid(before_resize=True).write(tmp_path / "onnx", toy_spec), tmp_path / "ir")
    assert files.channels_before - files.channels == 7 * len(PRUNED)


def test_outputs_stay_the_same(tmp_path, any_pyramid):
    from core.export.spec import ModelSpec

    convert_to_ir(any_pyramid, tmp_path / "ir")
    pruned, _ = read_ir(tmp_path / "ir")
    dense = _convert(any_pyramid / "model.onnx", ModelSpec.read(any_pyramid))
    keep_rounding(dense)
    for seed in range(3):
        image = np.random.default_rng(seed).uniform(0, 255, (1, 3, 48, 64)).astype(np.float32)
        one, other = (compile_model(model, Hint.LATENCY)({"image": image})["boxes"] for model in (dense, pruned))
        assert np.ptp(one) > 1
        np.testing.assert_allclose(other, one, atol=1e-4)


def test_a_layer_of_zeros_alone_is_kept_and_said(tmp_path, toy_spec, caplog):
    """As a residual branch whose last normalisation has only zeros, which is how MMDetection begins."""
    onnx_dir = Pyramid(quantized=True, dead="lateral").write(tmp_path / "onnx", toy_spec)
    with caplog.at_level("WARNING"):
        convert_to_ir(onnx_dir, tmp_path / "ir")
    model, _ = read_ir(tmp_path / "ir")
    image = np.random.default_rng(0).uniform(0, 255, (1, 3, 48, 64)).astype(np.float32)
    assert np.ptp(compile_model(model, Hint.LATENCY)({"image": image})["boxes"]) > 1
    assert "stay in the IR as zeros" in caplog.text


def test_where_filters_cannot_be_removed_they_stay_as_zeros(tmp_path, pyramid, caplog, monkeypatch):
    from openvino import _offline_transformations

    def fail(model):
        raise RuntimeError("Check 'x' failed at y.cpp:77:\nArgument shapes are inconsistent.")

    monkeypatch.setattr(_offline_transformations, "apply_pruning_transformation", fail)
    with caplog.at_level("WARNING"):
        files = convert_to_ir(pyramid, tmp_path / "ir")
    assert files.channels == files.channels_before == CHANNELS
    assert "stay in the IR as zeros: OpenVINO's pruning transformation failed (Argument shapes" in caplog.text


@pytest.mark.parametrize("wrong", [1, -1])
def test_where_removal_would_change_results_filters_stay_as_zeros(tmp_path, pyramid, caplog, monkeypatch, wrong):
    """As OpenVINO's pruning transformation does in NAS-FPN: as many channels are left, and other ones."""
    from openvino import _offline_transformations
    from openvino.runtime import opset13

    def removes_others(model):
        apply(model)
        layer = [one for one in model.get_ordered_ops() if one.get_type_name() == "Convolution"][wrong]
        scaled = opset13.multiply(layer.input_value(0), opset13.constant(np.float32(0.5)))
        layer.input(0).replace_source_output(scaled.output(0))

    apply = _offline_transformations.apply_pruning_transformation
    monkeypatch.setattr(_offline_transformations, "apply_pruning_transformation", removes_others)
    found = convert_to_ir(pyramid, tmp_path / "ir")
    assert found.channels == found.channels_before
    assert "stay in the IR as zeros: OpenVINO's pruning transformation would change the results of " in caplog.text


def test_conversion_of_a_pruned_model_is_deterministic(tmp_path, pyramid):
    here = convert_to_ir(pyramid, tmp_path / "here")
    program = "import sys; from core.openvino.ir import convert_to_ir; print(convert_to_ir(*sys.argv[1:]))"
    there = subprocess.run([sys.executable, "-c", program, str(pyramid), str(tmp_path / "there")],
                           cwd=str(REPOSITORY), check=True, capture_output=True, text=True)
    assert convert_to_ir(pyramid, tmp_path / "again") == here == describe_ir(tmp_path / "here")
    assert there.stdout.strip() == str(here)


def test_a_model_with_nothing_to_prune_is_not_touched(tmp_path, toy_spec, monkeypatch):
    onnx_dir = Pyramid(pruned=()).write(tmp_path / "onnx", toy_spec)
    monkeypatch.setattr("core.openvino.ir.remove_zero_filters", None)
    files = convert_to_ir(onnx_dir, tmp_path / "ir")
    assert (files.channels, files.weights_mb) == (files.channels_before, files.weights_mb_before)
    assert "before_pruning" not in (tmp_path / "ir" / "model.xml").read_text()


def test_filters_of_zeros_are_seen_behind_fake_quantize(pyramid, tmp_path, toy_spec):
    assert has_zero_filters(onnx.load(str(pyramid / "model.onnx")).graph)
    dense = Pyramid(pruned=(), quantized=True).write(tmp_path / "dense", toy_spec)
    assert not has_zero_filters(onnx.load(str(dense / "model.onnx")).graph)
