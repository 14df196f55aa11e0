"""What this CPU lets a compressed model gain at best: the model's own layers, each alone, in FP32 and in int8.

What an instruction set promises says little: of two CPUs with AVX2 one ran int8 models 1.01 times as fast as FP32, the
other 1.78 times. So each different layer with weights is timed here as a model would run it: with a ReLU and, in int8,
between two quantizers. Pre- and post-processing are not in it, so that a model stays below its bound. The runtime's own
counters tell which share of the process's CPU time a layer had: other processes lengthen the former, not the latter.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.compression.fake_quantize import count_in_ir
from core.compression.structure import structure_of_ir
from core.openvino.execution import executed_operations
from core.openvino.runtime import Hint, at_test_size, compile_model, import_openvino, read_ir, waited_for
from core.results.speed import LEAST_SHARE_OF_BOUND, Bound, Ratio

REPEATS = 5
SECONDS_PER_TURN = 0.8
MOST_SECONDS = 60.0
SEED = 0
LEVELS = 256
# Of one step of the quantizers; values stay far from the denormal numbers, which are slow.
STEP = 0.01
_MAKERS = {"Convolution": "convolution", "GroupConvolution": "group_convolution", "MatMul": "matmul",
           "ConvolutionBackpropData": "convolution_backprop_data",
           "GroupConvolutionBackpropData": "group_convolution_backprop_data"}


@dataclass(frozen=True)
class LayerShape:
    """All that the time of a layer with weights depends on.

    Attributes:
        kind: OpenVINO's type of the operation.
        source: Shape of what it reads.
        weight: Shape of its weight.
        attributes: Name and value of each of OpenVINO's attributes.
    """

    kind: str
    source: tuple[int, ...]
    weight: tuple[int, ...]
    attributes: tuple[tuple[str, Any], ...]


def layer_shapes(model: Any) -> Counter[LayerShape]:
    """Return the different layers with weights of an ``openvino.Model`` of fixed size, and how often each runs."""
    operations = {operation.get_friendly_name(): operation for operation in model.get_ordered_ops()}
    shapes: Counter[LayerShape] = Counter()
    for layer in structure_of_ir(model).layers:
        operation = operations[layer.name]
        source, weight = (tuple(operation.input_value(place).get_shape()) for place in (0, 1))
        attributes = {name: tuple(value) if isinstance(value, list) else value
                      for name, value in operation.get_attributes().items()}
        shapes[LayerShape(operation.get_type_name(), source, weight, tuple(sorted(attributes.items())))] += 1
    return shapes


def measure_bounds(baseline: Path, candidates: Sequence[tuple[Path, float]], repeats: int = REPEATS,
                   seconds: float = SECONDS_PER_TURN, threads: int | None = None) -> list[Bound | None]:
    """Measure what this CPU lets each candidate gain at best.

    All different layers of a precision are one turn, whichever models have them; the turns of one repeat follow each
    other, so that a busy machine disturbs all. Turns are shortened where all would take more than ``MOST_SECONDS``, and
    no repeat begins that would end after it: compiling is not in a turn, which takes one pass at least.

    Args:
        baseline: IR folder of the FP32 model.
        candidates: IR folder and measured speed-up of each compressed model.
        repeats: Turns of each precision.
        seconds: Of one turn, for each different model that it is of.
        threads: CPU threads; None leaves the choice to OpenVINO, as where models are timed.

    Returns:
        The bound of each candidate in their order; None where a model has no layers with weights.
    """
    first, *others = (at_test_size(*read_ir(ir)) for ir in (baseline, *(ir for ir, _ in candidates)))
    quantized = [count_in_ir(model) > 0 for model in others]
    original, *shapes = (layer_shapes(model) for model in (first, *others))
    if not original or not all(shapes):
        return [None] * len(others)
    wanted = {(frozenset(layers.items()), int8): layers for layers, int8 in
              ((original, False), (original, True), *zip(shapes, quantized))}
    models = {int8: [layers for (_, kind), layers in wanted.items() if kind == int8] for int8 in (False, True)}
    groups = {int8: TimedLayers(list(dict.fromkeys(layer for layers in found for layer in layers)), int8)
              for int8, found in models.items()}
    times: dict[Any, list[float]] = {key: [] for key in wanted}
    began = time.perf_counter()
    for repeat in range(repeats):
        spent = time.perf_counter() - began
        if repeat and spent + spent / repeat > MOST_SECONDS:
            break
        took = {int8: group.measure(min(seconds * len(models[int8]), MOST_SECONDS / (repeats * len(groups))), threads)
                for int8, group in groups.items()}
        for key, layers in wanted.items():
            times[key].append(sum(count * took[key[1]][layer] for layer, count in layers.items()))
    fp32 = times[frozenset(original.items()), False]
    int8 = Ratio.of(fp32, times[frozenset(original.items()), True])
    bounds: list[Bound | None] = []
    for (_, measured), layers, in_int8 in zip(candidates, shapes, quantized):
        speedup = Ratio.of(fp32, times[frozenset(layers.items()), in_int8])
        share = measured / speedup.median
        bounds.append(Bound(int8=int8, speedup=speedup, share=share, below=share < LEAST_SHARE_OF_BOUND,
                            layers=len(layers)))
    return bounds


class TimedLayers:
    """Layers of random weights side by side in one graph, in FP32 or in int8."""

    def __init__(self, layers: Sequence[LayerShape], int8: bool) -> None:
        from openvino.runtime import Model, opset13

        self._layers = {f"layer{place}": layer for place, layer in enumerate(layers)}
        random = np.random.default_rng(SEED)
        # One number that is spread over the inputs of all.
        entry, results = opset13.parameter([1], np.float32), []
        for name, layer in self._layers.items():
            source = opset13.broadcast(entry, opset13.constant(np.array(layer.source, np.int64)))
            weight = random.integers(1, LEVELS // 2, layer.weight).astype(np.int8)
            if int8:
                scale = opset13.constant(np.full([1] * len(layer.weight), STEP, np.float32))
                operands = _quantized(source), opset13.multiply(opset13.convert(opset13.constant(weight), "f32"), scale)
            else:
                operands = source, opset13.constant(weight.astype(np.float32) * np.float32(STEP))
            operation = getattr(opset13, _MAKERS[layer.kind])(*operands, **{
                key: list(value) if isinstance(value, tuple) else value for key, value in layer.attributes})
            operation.set_friendly_name(name)
            output = _quantized(opset13.relu(operation)) if int8 else opset13.relu(operation)
            sides = list(output.get_output_shape(0))[2:]
            if len(sides) == 2:
                # In the output's own layout and precision, and small: the graph's results are FP32.
                output = opset13.max_pool(output, sides, [1, 1], [0, 0], [0, 0], [1, 1]).output(0)
            results.append(opset13.result(output))
        self.model = Model(results, [entry], "layers")

    def measure(self, seconds: float, threads: int | None = None) -> dict[LayerShape, float]:
        """Return each layer's CPU time of one pass in seconds, of at least ``seconds`` with all streams busy.

        The runtime's counters are means since a model was compiled, so it is compiled anew for each turn. They are of
        wall time; of them only the shares are taken.
        """
        openvino = import_openvino()
        compiled = compile_model(self.model, Hint.THROUGHPUT, threads, {"PERF_COUNT": True})
        queue = openvino.AsyncInferQueue(compiled)
        for request in queue:
            request.set_input_tensor(openvino.Tensor(np.ones(1, np.float32)))
        count, started, used = 0, time.perf_counter(), time.process_time()
        with waited_for(queue):
            while time.perf_counter() - started < seconds or count % len(queue) or not count:
                queue.start_async()
                count += 1
        cpu = (time.process_time() - used) / count
        nodes = {operation.get_friendly_name(): self._layers[names[0]]
                 for operation, names in executed_operations(compiled) if names[0] in self._layers}
        found, total = Counter(dict.fromkeys(self._layers.values(), 0.0)), 0.0
        for request in queue:
            for row in request.profiling_info:
                total += row.real_time.total_seconds()
                if row.node_name in nodes:
                    found[nodes[row.node_name]] += row.real_time.total_seconds()
        # The counters are whole microseconds, of which a tiny layer has none.
        return {layer: cpu * max(part, 1e-6) / max(total, 1e-6) for layer, part in found.items()}


def _quantized(value: Any) -> Any:
    from openvino.runtime import opset13

    low, high = (opset13.constant(np.float32(number)) for number in (0, STEP * (LEVELS - 1)))
    return opset13.fake_quantize(value, low, high, low, high, LEVELS)
