"""What the layers of a model gain alone; no assertion is on time itself, which a busy machine decides."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from core.openvino import bound
from core.openvino.bound import LayerShape, TimedLayers, layer_shapes, measure_bounds
from core.openvino.runtime import Hint, compile_model

pytestmark = pytest.mark.usefixtures("openvino")
CONVOLUTION = (("auto_pad", "explicit"), ("dilations", (1, 1)), ("pads_begin", (1, 1)), ("pads_end", (1, 1)),
               ("strides", (2, 2)))
LAYERS = [LayerShape("Convolution", (1, 16, 24, 32), (32, 16, 3, 3), CONVOLUTION),
          LayerShape("GroupConvolution", (1, 16, 24, 32), (16, 1, 1, 3, 3), CONVOLUTION),
          LayerShape("ConvolutionBackpropData", (1, 16, 12, 12), (16, 16, 2, 2), tuple(
              (name, (0, 0) if "pads" in name else value) for name, value in CONVOLUTION)),
          LayerShape("MatMul", (100, 64), (32, 64), (("transpose_a", False), ("transpose_b", True)))]


def test_layers_of_a_model_are_counted_by_shape():
    from openvino.runtime import Model, opset13

    image = opset13.parameter([1, 4, 8, 8], np.float32)
    value = image
    for channels in (4, 4, 8):
        weight = opset13.constant(np.ones((channels, value.get_output_shape(0)[1], 1, 1), np.float32))
        value = opset13.convolution(value, weight, [1, 1], [0, 0], [0, 0], [1, 1])
    shapes = layer_shapes(Model([value], [image], "three"))
    assert sorted((shape.kind, shape.source, shape.weight, times) for shape, times in shapes.items()) == [
        ("Convolution", (1, 4, 8, 8), (4, 4, 1, 1), 2), ("Convolution", (1, 4, 8, 8), (8, 4, 1, 1), 1)]


@pytest.mark.parametrize("int8, precisions", [(False, {"f32"}), (True, {"u8", "i8"})])
def test_each_kind_of_layer_is_timed_in_its_precision(int8, precisions):
    group = TimedLayers(LAYERS, int8)
    took = group.measure(0.01, threads=1)
    assert set(took) == set(LAYERS) and min(took.values()) > 0
    runtime = compile_model(group.model, Hint.THROUGHPUT, 1).get_runtime_model()
    described = [operation.get_rt_info() for operation in runtime.get_ordered_ops()]
    text = [{key: str(getattr(info[key], "value", info[key])) for key in ("originalLayersNames", "runtimePrecision")}
            for info in described if "originalLayersNames" in info]
    found = {info["originalLayersNames"].split(",")[0]: info["runtimePrecision"] for info in text}
    assert {found[f"layer{place}"] for place in range(len(LAYERS))} <= precisions


def test_the_bound_of_each_candidate(toy_ir, int8_ir):
    """A candidate of the same layers that is not quantized can gain nothing."""
    quantized, plain = measure_bounds(toy_ir, [(int8_ir, 2.0), (toy_ir, 0.5)], repeats=2, seconds=0.01, threads=1)
    assert quantized.layers == 1 and quantized.speedup == quantized.int8 == plain.int8
    assert plain.speedup.low == plain.speedup.high == 1
    assert (plain.share, plain.below) == (0.5, True)
    assert quantized.share == 2 / quantized.speedup.median and quantized.below is (quantized.share < 0.85)


def test_nine_candidates_take_a_minute_at_most_and_each_layer_is_timed_once_a_repeat(monkeypatch):
    """By a clock of its own: to compile a graph takes 3 s, and the layers of a repeat are counted."""
    def shape(width):
        return LayerShape("Convolution", (1, 16, 24, 32), (width, 16, 3, 3), CONVOLUTION)

    # Of each model one layer is its own, two are the baseline's.
    models = {"fp32": (32, False), "int8": (32, True), "mixed": (32, True), "post_training": (32, True)}
    for level in (20, 40, 60):
        models |= {f"pruned{level}": (32 - level // 5, False), f"both{level}": (32 - level // 5, True)}
    now, timed = [0.0], []

    class Layers:
        def __init__(self, layers, int8):
            self.layers, self.int8 = layers, int8
            assert len(set(layers)) == len(layers)

        def measure(self, seconds, threads):
            now[0] += 3 + seconds
            timed.append((self.int8, len(self.layers)))
            return {layer: (0.5 if self.int8 else 1.0) * layer.weight[0] for layer in self.layers}

    monkeypatch.setattr(bound, "TimedLayers", Layers)
    monkeypatch.setattr(bound, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(bound, "read_ir", lambda name: (name, None))
    monkeypatch.setattr(bound, "at_test_size", lambda model, spec: model)
    monkeypatch.setattr(bound, "count_in_ir", lambda name: int(models[name][1]))
    monkeypatch.setattr(bound, "layer_shapes",
                        lambda name: Counter({shape(1): 2, shape(2): 1, shape(models[name][0]): 1}))
    found = measure_bounds("fp32", [(name, 1.0) for name in models if name != "fp32"])
    assert now[0] <= 60 and len(timed) >= 6
    # Two shared layers, that of the baseline, and one for each level: six of each precision.
    assert timed == [(False, 6), (True, 6)] * (len(timed) // 2)
    gained = {name: one.speedup.median for name, one in zip([name for name in models if name != "fp32"], found)}
    assert gained["int8"] == gained["mixed"] == 2 and gained["pruned60"] == 36 / 24 and gained["both60"] == 2 * 36 / 24
