import statistics

import pytest

from core.base.errors import UserError
from core.openvino.runtime import Hint
from core.openvino.speed import Latency, Ratio, TimedModel, compare_speed

needs_openvino = pytest.mark.usefixtures("openvino")


@needs_openvino
def test_both_models_are_timed_in_every_repeat(toy_ir, int8_ir):
    speed = compare_speed(toy_ir, int8_ir, repeats=3, seconds=0.05, warm_up=0.02, threads=1)
    for model in (speed.fp32, speed.compressed):
        for found in (model.throughput, model.latency):
            assert len(found.fps_repeats) == 3 and min(found.fps_repeats) > 0
            assert found.fps == statistics.median(found.fps_repeats)
            latency = found.latency_ms
            assert 0 < latency.min <= latency.median <= latency.p90 <= latency.p99 <= latency.max
            assert found.inferences >= 3 and found.compile_ms > 0 and found.first_inference_ms > 0
            assert (found.threads, found.batch) == (1, 1) and found.streams >= 1
        assert (model.throughput.hint, model.latency.hint) == ("THROUGHPUT", "LATENCY")
        assert model.latency.requests == 1
    assert speed.speedup.low <= speed.speedup.median <= speed.speedup.high
    assert speed.speedup.median == statistics.median(
        compressed / fp32 for compressed, fp32 in zip(speed.compressed.throughput.fps_repeats,
                                                      speed.fp32.throughput.fps_repeats))
    assert (speed.fp32.execution.int8_share, speed.compressed.execution.int8_share) == (0, 1)


@needs_openvino
def test_repeats_are_added_up(toy_ir):
    model = TimedModel(toy_ir, Hint.LATENCY, threads=1)
    model.warm_up(0.01)
    for _ in range(2):
        model.measure(0.02)
    found = model.speed()
    assert len(found.fps_repeats) == len(model.median_repeats) == 2
    assert found.inferences >= 2


@needs_openvino
def test_a_missing_ir_is_an_error(tmp_path, toy_ir):
    with pytest.raises(UserError, match="It must hold model.xml and model.bin"):
        compare_speed(toy_ir, tmp_path)


def test_latency_of_a_series():
    found = Latency.of([float(value) for value in range(1, 102)])
    assert (found.median, found.p90, found.p99, found.min, found.max) == (51, 91, 100, 1, 101)


def test_a_ratio_is_the_median_of_the_repeats_own():
    """The second repeat ran on a busy machine: both models were slower, their ratio was not."""
    assert Ratio.of([20.0, 4.0, 22.0], [10.0, 2.0, 10.0]) == Ratio(2.0, 2.0, 2.2)
