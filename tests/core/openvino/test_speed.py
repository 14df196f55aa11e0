import statistics

import pytest

from core.base.errors import UserError
from core.openvino.runtime import Hint
from core.openvino.speed import TimedModel, latency_of, measure_speed, take_turns
from core.results.speed import Ratio

needs_openvino = pytest.mark.usefixtures("openvino")


@needs_openvino
def test_all_models_are_timed_in_every_repeat(toy_ir, int8_ir):
    (baseline, *candidates), load = measure_speed([toy_ir, int8_ir, toy_ir], repeats=3, seconds=0.02, warm_up=0.01,
                                                  threads=1)
    for model in (baseline, *candidates):
        for found in (model.throughput, model.latency):
            assert len(found.fps_repeats) == len(found.latency_ms_repeats) == 3
            assert found.fps == statistics.median(found.fps_repeats)
            latency = found.latency_ms
            assert latency.min <= latency.median <= latency.p90 <= latency.p99 <= latency.max
            assert found.inferences >= 3 and found.compile_ms > 0 and found.first_inference_ms > 0
            assert (found.threads, found.batch) == (1, 1) and found.streams >= 1
            assert found.cpu_ms == statistics.median(found.cpu_ms_repeats) > 0 and len(found.cpu_ms_repeats) == 3
            assert found.cpu_share > 0
        assert (model.throughput.hint, model.latency.hint) == ("THROUGHPUT", "LATENCY")
        assert model.latency.requests == 1
        found = model.speedups(baseline, load)
        assert found.wall.median == statistics.median(
            own / first for own, first in zip(model.throughput.fps_repeats, baseline.throughput.fps_repeats))
        assert found.cpu.median == statistics.median(
            first / own for own, first in zip(model.throughput.cpu_ms_repeats, baseline.throughput.cpu_ms_repeats))
        assert model.latency_ratio(baseline).median == statistics.median(
            first / own for own, first in zip(model.latency.latency_ms_repeats, baseline.latency.latency_ms_repeats))
    assert [model.execution.int8_share for model in (baseline, *candidates)] == [0, 1, 0]
    assert load.average >= 0


@pytest.mark.parametrize("models, turns", [(2, "abbaab"), (3, "abcbcacab")])
def test_another_model_begins_in_every_repeat(models, turns):
    taken = []

    class Model:
        def __init__(self, name):
            self.name = name

        def warm_up(self, seconds):
            pass

        def measure(self, seconds):
            taken.append(self.name)

    take_turns([Model(name) for name in "abc"[:models]], repeats=3, seconds=1)
    assert "".join(taken) == turns


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
        measure_speed([toy_ir, tmp_path])


def test_latency_of_a_series():
    found = latency_of([float(value) for value in range(1, 102)])
    assert (found.median, found.p90, found.p99, found.min, found.max) == (51, 91, 100, 1, 101)


@needs_openvino
def test_cpu_time_counts_where_others_disturb(toy_ir, int8_ir):
    (baseline, candidate), load = measure_speed([toy_ir, int8_ir], repeats=1, seconds=0.01, warm_up=0.01, threads=1)
    quiet, disturbed = (candidate.speedups(baseline, load.model_copy(update={"disturbed": value}))
                        for value in (False, True))
    assert (quiet.source, quiet.counted) == ("wall", quiet.wall)
    assert (disturbed.source, disturbed.counted) == ("cpu", disturbed.cpu)


def test_a_ratio_is_the_median_of_the_repeats_own():
    """The second repeat ran on a busy machine: both models were slower, their ratio was not."""
    assert Ratio.of([20.0, 4.0, 22.0], [10.0, 2.0, 10.0]) == Ratio(median=2.0, low=2.0, high=2.2)
