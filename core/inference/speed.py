"""Throughput and latency of two IRs, measured alternately so that a busy machine disturbs both alike."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np

from core.inference.runtime import Hint, compile_model, import_openvino, read_ir

REPEATS = 3
SECONDS_PER_REPEAT = 2.0
WARM_UP_SECONDS = 0.5
SEED = 0


@dataclass(frozen=True)
class ModelSpeed:
    """Speed of one model.

    Args:
        fps: Images a second under the THROUGHPUT hint, median of the repeats.
        latency_ms_p50: Median time of one synchronous inference under the LATENCY hint, over all repeats.
        fps_repeats: Images a second of each repeat.
    """

    fps: float
    latency_ms_p50: float
    fps_repeats: Tuple[float, ...]


@dataclass(frozen=True)
class SpeedComparison:
    """Speed of two models on the same machine in the same minutes.

    Args:
        speedup: Median over the repeats of compressed FPS divided by FP32 FPS of the same repeat.
    """

    fp32: ModelSpeed
    compressed: ModelSpeed
    speedup: float


def compare_speed(ir_fp32: Path, ir_compressed: Path, repeats: int = REPEATS, seconds: float = SECONDS_PER_REPEAT,
                  warm_up: float = WARM_UP_SECONDS, threads: Optional[int] = None) -> SpeedComparison:
    """Measure both IRs on one fixed random image, ``repeats`` times ``seconds`` for throughput and for latency each.

    The order changes from repeat to repeat, so that neither model always runs on the warmer processor.

    Raises:
        UserError: An IR is missing, damaged or cannot be run here.
    """
    timed = [_TimedModel(Path(ir_fp32), threads), _TimedModel(Path(ir_compressed), threads)]
    for model in timed:
        model.throughput(warm_up)
        model.latencies(warm_up)
    for repeat in range(repeats):
        for model in timed if repeat % 2 == 0 else timed[::-1]:
            model.fps_repeats.append(model.throughput(seconds))
        for model in timed if repeat % 2 == 0 else timed[::-1]:
            model.latency_ms.extend(model.latencies(seconds))
    fp32, compressed = (model.speed() for model in timed)
    ratios = [fast / slow for fast, slow in zip(compressed.fps_repeats, fp32.fps_repeats)]
    return SpeedComparison(fp32, compressed, statistics.median(ratios))


class _TimedModel:
    """A model compiled for throughput and for latency, with what was measured so far."""

    def __init__(self, ir_dir: Path, threads: Optional[int]) -> None:
        openvino = import_openvino()
        model, spec = read_ir(ir_dir)
        shape = (1, 3, spec.input_height, spec.input_width)
        pixels = np.random.default_rng(SEED).integers(0, 256, shape, dtype=np.uint8).astype(np.float32)
        self._queue = openvino.AsyncInferQueue(compile_model(model, Hint.THROUGHPUT, threads))
        self._request = compile_model(model, Hint.LATENCY, threads).create_infer_request()
        for request in [*self._queue, self._request]:
            request.set_input_tensor(openvino.Tensor(pixels.copy()))
        self.fps_repeats: List[float] = []
        self.latency_ms: List[float] = []

    def throughput(self, seconds: float) -> float:
        """Return images a second with all infer requests kept busy for at least ``seconds``."""
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds or count == 0:
            self._queue.start_async()
            count += 1
        self._queue.wait_all()
        return count / (time.perf_counter() - started)

    def latencies(self, seconds: float) -> List[float]:
        """Return the milliseconds of single inferences, one after the other, for at least ``seconds``."""
        return list(self._inferences(seconds))

    def _inferences(self, seconds: float) -> Any:
        end = time.perf_counter() + seconds
        while True:
            started = time.perf_counter()
            self._request.infer()
            finished = time.perf_counter()
            yield (finished - started) * 1000
            if finished >= end:
                return

    def speed(self) -> ModelSpeed:
        return ModelSpeed(statistics.median(self.fps_repeats), statistics.median(self.latency_ms),
                          tuple(self.fps_repeats))
