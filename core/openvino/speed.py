"""Speed of two IRs by the method of OpenVINO's benchmark_app, measured in turns so that a busy machine disturbs both.

As benchmark_app 2024.6 does with its default options: random input, one image a request, one first inference apart,
then infer requests kept busy for a given time; under the latency hint one request at a time.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.openvino.execution import Execution, describe_execution
from core.openvino.load import Load, LoadMeter
from core.openvino.runtime import Hint, compile_model, import_openvino, read_ir

REPEATS = 5
SECONDS_PER_REPEAT = 2.0
WARM_UP_SECONDS = 0.5
SEED = 0


@dataclass(frozen=True)
class Latency:
    """Milliseconds of single inferences, from start to end."""

    median: float
    p90: float
    p99: float
    min: float
    max: float

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> "Latency":
        """Return the figures of a series of inferences."""
        median, p90, p99 = np.percentile(milliseconds, [50, 90, 99]).tolist()
        return cls(median, p90, p99, min(milliseconds), max(milliseconds))


@dataclass(frozen=True)
class HintSpeed:
    """Speed of one model under one performance hint.

    Args:
        fps: Images a second, median of the repeats.
        fps_repeats: The same of each repeat.
        latency_ms: Over the inferences of all repeats.
        inferences: How many those were.
        compile_ms: Milliseconds to compile the model.
        first_inference_ms: Milliseconds of the first inference after that.
        streams: Inferences that the runtime works on at the same time; ``requests`` are kept waiting for them.
        threads: CPU threads of all streams together.
        batch: Images in one inference.
    """

    hint: str
    fps: float
    fps_repeats: tuple[float, ...]
    latency_ms: Latency
    inferences: int
    compile_ms: float
    first_inference_ms: float
    streams: int
    requests: int
    threads: int
    batch: int


@dataclass(frozen=True)
class ModelSpeed:
    """Speed of one model under both hints, and how the runtime executes it."""

    throughput: HintSpeed
    latency: HintSpeed
    execution: Execution

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, the two headline figures first."""
        return {"fps": self.throughput.fps, "latency_ms_p50": self.latency.latency_ms.median,
                "throughput": asdict(self.throughput), "latency": asdict(self.latency),
                "execution": self.execution.to_json()}


@dataclass(frozen=True)
class Ratio:
    """A ratio measured in every repeat: the median, the smallest and the largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, upper: Sequence[float], lower: Sequence[float]) -> "Ratio":
        """Return the ratio of two series, each pair from one repeat."""
        ratios = [above / below for above, below in zip(upper, lower)]
        return cls(statistics.median(ratios), min(ratios), max(ratios))


@dataclass(frozen=True)
class SpeedComparison:
    """Speed of two models on the same machine in the same minutes.

    Args:
        speedup: Compressed FPS over FP32 FPS of the same repeat, under the throughput hint.
        latency_ratio: FP32 median latency over compressed median latency of the same repeat, under the latency hint.
        load: What else the machine did meanwhile.
    """

    fp32: ModelSpeed
    compressed: ModelSpeed
    speedup: Ratio
    latency_ratio: Ratio
    load: Load


def compare_speed(ir_fp32: Path, ir_compressed: Path, repeats: int = REPEATS, seconds: float = SECONDS_PER_REPEAT,
                  warm_up: float = WARM_UP_SECONDS, threads: int | None = None,
                  load_average: float | None = None) -> SpeedComparison:
    """Measure both IRs on one fixed random image, ``repeats`` times ``seconds`` for throughput and for latency each.

    Args:
        load_average: The machine's load average before this process began to work; taken now where None.

    Raises:
        UserError: An IR is missing, damaged or cannot be run here.
    """
    fp32, compressed = ({hint: TimedModel(Path(ir), hint, threads) for hint in Hint} for ir in (ir_fp32, ir_compressed))
    meter = LoadMeter(load_average)
    for hint in Hint:
        take_turns(fp32[hint], compressed[hint], repeats, seconds, warm_up)
    load = meter.read()
    return SpeedComparison(
        _speed(fp32), _speed(compressed), load=load,
        speedup=Ratio.of(compressed[Hint.THROUGHPUT].fps_repeats, fp32[Hint.THROUGHPUT].fps_repeats),
        latency_ratio=Ratio.of(fp32[Hint.LATENCY].median_repeats, compressed[Hint.LATENCY].median_repeats))


def take_turns(first: "TimedModel", second: "TimedModel", repeats: int, seconds: float,
               warm_up: float = WARM_UP_SECONDS) -> None:
    """Measure both models ``repeats`` times ``seconds``, after ``warm_up`` seconds of each.

    The order changes from repeat to repeat, so that neither model always runs on the warmer processor.
    """
    for model in (first, second):
        model.warm_up(warm_up)
    for repeat in range(repeats):
        for model in (first, second) if repeat % 2 == 0 else (second, first):
            model.measure(seconds)


def _speed(models: dict[Hint, "TimedModel"]) -> ModelSpeed:
    return ModelSpeed(models[Hint.THROUGHPUT].speed(), models[Hint.LATENCY].speed(), models[Hint.LATENCY].execution())


class TimedModel:
    """A model compiled under one hint, with what was measured so far.

    Args:
        ir_dir: Folder with model.xml and model.bin.
        threads: CPU threads; None leaves the choice to OpenVINO.
        options: Further options of the runtime.
    """

    def __init__(self, ir_dir: Path, hint: Hint, threads: int | None = None,
                 options: dict[str, Any] | None = None) -> None:
        openvino = import_openvino()
        self._hint = hint
        self._model, spec = read_ir(ir_dir)
        self._shape = (1, 3, spec.input_height, spec.input_width)
        pixels = np.random.default_rng(SEED).integers(0, 256, self._shape, dtype=np.uint8).astype(np.float32)
        started = time.perf_counter()
        self.compiled = compile_model(self._model, hint, threads, options)
        self._compile_ms = (time.perf_counter() - started) * 1000
        self._queue = openvino.AsyncInferQueue(self.compiled)
        for request in self._queue:
            request.set_input_tensor(openvino.Tensor(pixels.copy()))
        self._latencies: list[float] = []
        self._queue.set_callback(lambda request, _: self._latencies.append(request.latency))
        started = time.perf_counter()
        self._queue[0].infer()
        self._first_ms = (time.perf_counter() - started) * 1000
        self._measured: list[float] = []
        self.fps_repeats: list[float] = []
        self.median_repeats: list[float] = []

    def warm_up(self, seconds: float) -> None:
        """Run for at least ``seconds`` and forget about it."""
        self._run(seconds)

    def measure(self, seconds: float) -> None:
        """Keep all infer requests busy for at least ``seconds`` and note images a second and latencies."""
        self.fps_repeats.append(self._run(seconds))
        self.median_repeats.append(statistics.median(self._latencies))
        self._measured.extend(self._latencies)

    def _run(self, seconds: float) -> float:
        self._latencies.clear()
        count, started = 0, time.perf_counter()
        # Whole rounds, as in benchmark_app, so that no request idles at the end.
        while time.perf_counter() - started < seconds or count % len(self._queue) or not count:
            self._queue.start_async()
            count += 1
        self._queue.wait_all()
        return count / (time.perf_counter() - started)

    def speed(self) -> HintSpeed:
        """Return what was measured."""
        ask = self.compiled.get_property
        return HintSpeed(
            hint=self._hint.value, fps=statistics.median(self.fps_repeats), fps_repeats=tuple(self.fps_repeats),
            latency_ms=Latency.of(self._measured), inferences=len(self._measured), compile_ms=self._compile_ms,
            first_inference_ms=self._first_ms, streams=int(ask("NUM_STREAMS")), requests=len(self._queue),
            threads=int(ask("INFERENCE_NUM_THREADS")), batch=self._shape[0])

    def profiling_info(self) -> Any:
        """Return OpenVINO's times of each operation in the last inference; the option PERF_COUNT must be on."""
        return self._queue[0].profiling_info

    def execution(self) -> Execution:
        """Return how the runtime executes the model."""
        return describe_execution(self._model, self.compiled)
