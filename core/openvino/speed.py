"""Speed of IRs by the method of OpenVINO's benchmark_app, measured in turns so that a busy machine disturbs all.

As benchmark_app 2024.6 does with its default options: random input, one image a request, one first inference apart,
then infer requests kept busy for a given time; under the latency hint one request at a time. Beside wall time the
process's CPU time is taken, which other processes change far less.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.openvino.execution import describe_execution
from core.openvino.load import LoadMeter
from core.openvino.runtime import Hint, at_test_size, compile_model, import_openvino, read_ir, waited_for
from core.results.speed import Execution, HintSpeed, Latency, Load, Ratio, Speedup

REPEATS = 5
SECONDS_PER_REPEAT = 1.0
WARM_UP_SECONDS = 0.5
SEED = 0


@dataclass(frozen=True)
class ModelSpeed:
    """Speed of one model under both hints, and how the runtime executes it."""

    throughput: HintSpeed
    latency: HintSpeed
    execution: Execution

    def speedups(self, baseline: "ModelSpeed", load: Load) -> Speedup:
        """Return how much faster than the baseline it is under the throughput hint, and by which clock that counts."""
        own, others = self.throughput, baseline.throughput
        return Speedup(wall=Ratio.of(own.fps_repeats, others.fps_repeats),
                       cpu=Ratio.of(others.cpu_ms_repeats, own.cpu_ms_repeats),
                       source="cpu" if load.disturbed else "wall")

    def latency_ratio(self, baseline: "ModelSpeed") -> Ratio:
        """Return the baseline's median latency over that of the same repeat here, under the latency hint."""
        return Ratio.of(baseline.latency.latency_ms_repeats, self.latency.latency_ms_repeats)


def measure_speed(irs: Sequence[Path], repeats: int = REPEATS, seconds: float = SECONDS_PER_REPEAT,
                  warm_up: float = WARM_UP_SECONDS, threads: int | None = None,
                  load_average: float | None = None) -> tuple[list[ModelSpeed], Load]:
    """Measure IRs on one fixed random image, ``repeats`` times ``seconds`` for throughput and for latency each.

    Args:
        load_average: The machine's load average before this process began to work; taken now where None.

    Returns:
        The speed of each IR, and what else the machine did meanwhile.

    Raises:
        UserError: An IR is missing, damaged or cannot be run here.
    """
    models = [{hint: TimedModel(Path(ir), hint, threads) for hint in Hint} for ir in irs]
    meter = LoadMeter(load_average)
    for hint in Hint:
        take_turns([model[hint] for model in models], repeats, seconds, warm_up)
    load = meter.read(min(statistics.median(model[Hint.THROUGHPUT].cpu_shares) for model in models))
    return [ModelSpeed(model[Hint.THROUGHPUT].speed(), model[Hint.LATENCY].speed(), model[Hint.LATENCY].execution())
            for model in models], load


def take_turns(models: Sequence["TimedModel"], repeats: int, seconds: float, warm_up: float = WARM_UP_SECONDS) -> None:
    """Measure every model ``repeats`` times ``seconds``, after ``warm_up`` seconds of each.

    Another one begins in every repeat, so that none always runs on the warmer processor.
    """
    for model in models:
        model.warm_up(warm_up)
    for repeat in range(repeats):
        first = repeat % len(models)
        for model in (*models[first:], *models[:first]):
            model.measure(seconds)


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
        self._model, self._spec = read_ir(ir_dir)
        self._shape = (1, 3, self._spec.input_height, self._spec.input_width)
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
        self._threads = int(self.compiled.get_property("INFERENCE_NUM_THREADS"))
        self.fps_repeats: list[float] = []
        self.median_repeats: list[float] = []
        self.cpu_ms_repeats: list[float] = []
        self.cpu_shares: list[float] = []

    def warm_up(self, seconds: float) -> None:
        """Run for at least ``seconds`` and forget about it."""
        self._run(seconds)

    def measure(self, seconds: float) -> None:
        """Keep all infer requests busy for at least ``seconds`` and note images a second, latencies and CPU time."""
        count, wall, cpu = self._run(seconds)
        self.fps_repeats.append(count / wall)
        self.cpu_ms_repeats.append(1000 * cpu / count)
        self.cpu_shares.append(cpu / (wall * self._threads))
        self.median_repeats.append(statistics.median(self._latencies))
        self._measured.extend(self._latencies)

    def _run(self, seconds: float) -> tuple[int, float, float]:
        """Return how many inferences ran, and the seconds that they took by the clock and of the process's CPU time."""
        self._latencies.clear()
        count, started, used = 0, time.perf_counter(), time.process_time()
        with waited_for(self._queue):
            # Whole rounds, as in benchmark_app, so that no request idles at the end.
            while time.perf_counter() - started < seconds or count % len(self._queue) or not count:
                self._queue.start_async()
                count += 1
        return count, time.perf_counter() - started, time.process_time() - used

    def speed(self) -> HintSpeed:
        """Return what was measured."""
        ask = self.compiled.get_property
        return HintSpeed(
            hint=self._hint.value, fps=statistics.median(self.fps_repeats), fps_repeats=tuple(self.fps_repeats),
            latency_ms=latency_of(self._measured), latency_ms_repeats=tuple(self.median_repeats),
            cpu_ms=statistics.median(self.cpu_ms_repeats), cpu_ms_repeats=tuple(self.cpu_ms_repeats),
            cpu_share=statistics.median(self.cpu_shares), inferences=len(self._measured), compile_ms=self._compile_ms,
            first_inference_ms=self._first_ms, streams=int(ask("NUM_STREAMS")), requests=len(self._queue),
            threads=self._threads, batch=self._shape[0])

    def profiling_info(self) -> Any:
        """Return OpenVINO's times of each operation in the last inference; the option PERF_COUNT must be on."""
        return self._queue[0].profiling_info

    def execution(self) -> Execution:
        """Return how the runtime executes the model."""
        return describe_execution(at_test_size(self._model, self._spec), self.compiled)


def latency_of(milliseconds: Sequence[float]) -> Latency:
    """Return the figures of a series of inferences."""
    median, p90, p99 = np.percentile(milliseconds, [50, 90, 99]).tolist()
    return Latency(median=median, p90=p90, p99=p99, min=min(milliseconds), max=max(milliseconds))
