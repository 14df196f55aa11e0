"""Which candidate is the best, and why."""

import math

import pytest

from core.report.choice import choose, explain, gain, name_of
from core.results.outcome import Making, Outcome
from core.results.summary import Objective, Summary, Thresholds
from tests.summaries import summary_record

LIMITS = Thresholds(max_map_drop=0.01, min_speedup=1.0)


def candidate(name, drop=0.002, high=0.008, speedup=2.0, **figures):
    record = summary_record(map_drop=drop, map_drop_high=high, speedup=speedup, **figures)
    record["provenance"]["models"]["candidate"] = name
    return Summary.from_json(record)


def chosen(*candidates, objective=Objective.THROUGHPUT):
    return name_of(choose(candidates, LIMITS, objective))


def test_the_fastest_within_the_limits_is_chosen():
    lossy = candidate("lossy", drop=0.02, speedup=3.0)
    assert chosen(candidate("slow", speedup=1.5), candidate("fast"), lossy) == "fast"


def test_a_loss_that_is_surely_within_its_limit_goes_before_a_faster_one_that_may_not_be():
    sure, unsure = candidate("sure", speedup=1.5), candidate("unsure", drop=0.009, high=0.015)
    assert chosen(sure, unsure) == "sure"
    assert chosen(unsure, candidate("slower", high=0.02, speedup=1.5)) == "unsure"


def test_of_those_alike_the_one_that_loses_least_is_chosen():
    assert chosen(candidate("a", drop=0.005, speedup=2.02), candidate("b", drop=0.001)) == "b"
    assert chosen(candidate("a", drop=0.005, speedup=2.1), candidate("b", drop=0.001)) == "a"


@pytest.mark.parametrize("objective, best", [
    (Objective.THROUGHPUT, "fast"), (Objective.LATENCY, "quick"), (Objective.SIZE, "small")])
def test_the_objective_decides(objective, best):
    candidates = [candidate("fast", speedup=3.0), candidate("quick", latency_ms_p50=0.1),
                  candidate("small", size_mb=0.1)]
    assert chosen(*candidates, objective=objective) == best
    assert gain(candidates[2], Objective.SIZE) == pytest.approx(5.0)


def test_of_those_alike_the_chosen_one_is_not_called_the_best():
    slower, faster = candidate("slower", drop=0.001, speedup=1.95), candidate("faster", drop=0.005)
    choice = explain([faster, slower], slower, LIMITS, Objective.THROUGHPUT, {}, [], {})
    found = {one.name: one.why for one in choice.candidates}
    assert found["slower"] == ("Of those within 3 % of the best throughput none loses less mAP: 1.95x the baseline's, "
                               "faster 2.00x, of those whose loss of mAP is within 0.01 over its 95 % interval.")
    assert found["faster"] == "As good in throughput as slower (2.00x and 1.95x), and loses no less mAP."


@pytest.mark.parametrize("objective, figures, said", [
    (Objective.SIZE, {"size_mb_fp32": 10, "size_mb": 3}, "The best size, 0.30x the baseline's"),
    (Objective.LATENCY, {"latency_ms_p50_fp32": 20, "latency_ms_p50": 5}, "The best latency, 0.25x the baseline's")])
def test_size_and_latency_are_written_as_in_the_tables(objective, figures, said):
    """A model of 0.30x the size was said to have the best size, 3.33x the baseline's."""
    best, worse = candidate("best", **figures), candidate("worse", **{**figures, "size_mb": 9, "latency_ms_p50": 18})
    found = {one.name: one.why for one in explain([best, worse], best, LIMITS, objective, {}, [], {}).candidates}
    assert found["best"].startswith(said)
    assert found["worse"] == (f"best is {'smaller' if objective is Objective.SIZE else 'quicker'}: "
                              f"{said.split()[3]} the baseline's, this one 0.90x.")


def test_of_those_that_miss_as_many_limits_it_is_said_why_one_is_taken():
    first, second, third = candidate("first", drop=0.02), candidate("second", drop=0.03), candidate("third", drop=0.02)
    found = explain([first, second, third], first, LIMITS, Objective.THROUGHPUT, {}, [], {}).candidates
    assert found[1].why.endswith(" first misses as many limits, and loses less mAP.")
    assert found[2].why.endswith(" first misses as many limits, and loses no more mAP.")


def test_where_none_keeps_the_limits_the_nearest_is_taken_and_said():
    missed = candidate("missed", drop=0.02), candidate("worse", drop=0.03), candidate("worst", drop=0.01, speedup=0.5,
                                                                                     worst_class_drop=0.9)
    assert chosen(*missed) == "missed"
    choice = explain(missed, missed[0], LIMITS, Objective.THROUGHPUT, {}, [], {})
    assert choice.candidates[0].why.startswith("No candidate keeps the limits")


def test_latency_is_in_the_time_that_counts():
    """On a busy machine wall time chose: 10 ms for 5 that the process itself had worked as little as the other."""
    def measured(name, milliseconds, gained):
        record = candidate(name, latency_ms_p50=milliseconds, latency_ms_p50_fp32=20).to_json()
        record["speed"].update(source="cpu", latency_gain=gained)
        return Summary.from_json(record)

    assert chosen(measured("quick", 10, 3), measured("slow", 5, 2), objective=Objective.LATENCY) == "quick"
    older = candidate("older", latency_ms_p50=10, latency_ms_p50_fp32=20)
    assert gain(older, Objective.LATENCY) == 2


def test_an_unmeasured_figure_is_never_chosen():
    assert chosen(candidate("unknown", speedup=math.nan), candidate("known", speedup=1.1)) == "known"


def test_one_that_loses_less_is_not_said_to_lose_no_less():
    """Alike to the chosen one, but not to the best: the chosen one is faster, that is all."""
    best, taken, third = candidate("best", drop=0.006), candidate("taken", drop=0.005, speedup=1.95), candidate(
        "third", drop=0.001, speedup=1.93)
    found = choose([best, taken, third], LIMITS, Objective.THROUGHPUT)
    assert name_of(found) == "taken"
    choice = explain([best, taken, third], found, LIMITS, Objective.THROUGHPUT, {}, [], {})
    assert choice.candidates[2].why == "taken is faster: 1.95x the baseline's, this one 1.93x."


def test_an_interval_that_ends_at_the_limit_is_within_it():
    assert chosen(candidate("sure", high=0.41 - 0.40, speedup=1.5), candidate("unsure", high=0.0101)) == "sure"


def test_every_candidate_has_its_reason_and_what_it_took():
    best, slow, unsure = candidate("best"), candidate("slow", speedup=1.2), candidate("unsure", high=0.02, speedup=3.0)
    lossy, alike = candidate("lossy", drop=0.3), candidate("alike", drop=0.004)
    failed = Outcome(version=1, kind="failed candidate", candidate="nan", stage="compress", reason="loss: nan.",
                     seconds=900.0, gpus=2)
    made = Making(version=1, candidate="best", fine_tune="always", decision="Fine-tuned.", epochs=2, planned_epochs=2,
                  map_before_compression=math.nan, map_before_training=math.nan, seconds=1800.0, gpus=4, config={})
    choice = explain([best, slow, unsure, lossy, alike], best, LIMITS, Objective.THROUGHPUT, {"best": made}, [failed],
                     {"best": made.decision})
    found = {one.name: one for one in choice.candidates}
    assert [one.name for one in choice.candidates if one.chosen] == ["best"]
    assert (found["best"].hours, found["best"].gpus, found["best"].decision) == (2.0, 4, "Fine-tuned.")
    assert (found["nan"].hours, found["nan"].gpus) == (0.5, 2)
    for name, why in (("best", "The best throughput, 2.00x"), ("slow", "best is faster: 2.00x"),
                      ("unsure", "ends at 0.0200, above 0.01"), ("lossy", "Outside the limits: mAP drop 0.3000"),
                      ("alike", "As good in throughput as best"), ("nan", "Failed in compress: loss: nan.")):
        assert why in found[name].why, name
