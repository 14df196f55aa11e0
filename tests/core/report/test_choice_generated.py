"""The choice among generated candidates: what it promises holds whatever was measured."""

import math
import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from components.gate.stage import STAGE as GATE
from core.config.reference import ConfigRef
from core.data.reference import DataRef
from core.report.choice import ALIKE, choose, explain, name_of
from core.report.content import Judged, ReportContent
from core.report.gate import judge
from core.report.pages import render_markdown
from core.report.summary import Run, summarize
from core.report.table import terminal_table
from core.results.evaluation import Evaluation
from core.results.outcome import Outcome
from core.results.summary import Objective, Summary, Thresholds
from core.results.validation import Validation
from tests.core.report.conftest import BLOOD_CELLS, DIGEST, evaluation, validation_record
from tests.summaries import summary_record

WORDS = {"faster": Objective.THROUGHPUT, "quicker": Objective.LATENCY, "smaller": Objective.SIZE}
BASE = Summary.from_json(summary_record(map_ir=0.5, latency_ms_p50_fp32=20, size_mb_fp32=10))


def grid(*values, unknown=True):
    """Return a few values, so that there are ties, or any between the first and the last; NaN where it may be."""
    numbers = st.sampled_from(values) | st.floats(values[0], values[-1])
    return st.one_of(*[numbers] * 9, st.just(math.nan)) if unknown else numbers


FIGURES = st.fixed_dictionaries({
    "map_drop": grid(-0.05, 0.0, 0.005, 0.01, 0.010000000001, 0.02, 0.1),
    "speedup": grid(0.0, 0.5, 1.0, 1.95, 2.0, 4.0), "latency_ms_p50": grid(0.0, 5.0, 5.1, 10.0, 40.0),
    "size_mb": grid(0.0, 2.0, 2.05, 5.0, 20.0),
    "worst_class_drop": grid(-0.1, 0.0, 0.05, 0.3), "map_ir": grid(0.0, 0.04, 0.05, 0.5, 1.0)})
LIMITS = st.builds(Thresholds, max_map_drop=grid(0.0, 0.01, 0.05, unknown=False),
                   max_class_drop=grid(0.0, 0.05, 1.0, unknown=False), min_speedup=grid(0.0, 1.0, 2.0, unknown=False),
                   min_map=grid(0.0, 0.05, 0.5, unknown=False))


@st.composite
def candidates(draw):
    """Return the summaries of a run: what is of the baseline and of the machine is the same in all of them."""
    busy, corrupt = draw(st.booleans()), draw(st.sampled_from([0.0, 0.0, 0.0, 2.0]))
    found = []
    for number, figures in enumerate(draw(st.lists(FIGURES, min_size=1, max_size=9))):
        high = figures["map_drop"] + draw(grid(0.0, 0.004, 0.02, unknown=False))
        gained = draw(grid(0.5, 1.0, 2.0, 4.0)) if busy else math.nan
        names = BASE.provenance.models.model_copy(update={"candidate": f"candidate{number}"})
        found.append(BASE.model_copy(update={
            **figures, "map_drop_high": high, "corrupt_images": corrupt,
            "provenance": BASE.provenance.model_copy(update={"models": names}),
            "speed": BASE.speed.model_copy(update={"source": "cpu" if busy else "wall", "latency_gain": gained})}))
    return found


FAILED = st.lists(st.builds(
    lambda number, stage, reason: Outcome(version=1, kind="failed candidate", candidate=f"failed{number}", stage=stage,
                                          reason=reason),
    st.integers(0, 9), st.sampled_from(["resolve", "compress", "evaluate", "export", "convert", "validate"]),
    st.text(max_size=40)), max_size=3)
RUNS = given(found=candidates(), failed=FAILED, limits=LIMITS, objective=st.sampled_from(Objective),
             random=st.randoms())


def gain_of(one, objective):
    """Return how many times better than the baseline a candidate is, by the words of docs/pipeline.md."""
    if objective is Objective.THROUGHPUT:
        return one.speedup
    if objective is Objective.LATENCY and one.speed.source == "cpu" and not math.isnan(one.speed.latency_gain):
        return one.speed.latency_gain
    before, after = ((20, one.latency_ms_p50) if objective is Objective.LATENCY else (10, one.size_mb))
    return math.inf if after == 0 else before / after


def worth(one):
    """Return everything in which a candidate can be better than another, more is better."""
    return (-one.map_drop, -one.map_drop_high, -one.worst_class_drop, one.map_ir,
            *(gain_of(one, objective) for objective in Objective))


@RUNS
@settings(deadline=None, max_examples=150)
def test_the_choice_keeps_its_promises(found, failed, limits, objective, random):
    chosen = choose(found, limits, objective)
    passing = [one for one in found if judge(one, limits).passed]
    assert chosen in passing or not passing
    if passing:
        sure = [one for one in passing if one.map_drop_high <= limits.max_map_drop + 1e-9]
        assert chosen in (sure or passing)
    for other in found:
        pairs = list(zip(worth(other), worth(chosen)))
        dominated = all(theirs >= own for theirs, own in pairs) and any(theirs > own for theirs, own in pairs)
        assert not dominated, (worth(other), worth(chosen))
    shuffled = list(found)
    random.shuffle(shuffled)
    assert name_of(choose(shuffled, limits, objective)) == name_of(chosen)


@RUNS
@settings(deadline=None, max_examples=150)
def test_one_that_is_worse_than_another_changes_nothing(found, failed, limits, objective, random):
    """Worse in everything or as good: whoever makes a candidate more must not lose the one that was chosen."""
    chosen, model = choose(found, limits, objective), random.choice(found)
    lost, slower = random.choice([0.0, 0.001, 0.02]), random.choice([1.0, 1.01, 1.5])
    speed = model.speed.model_copy(update={"latency_gain": model.speed.latency_gain / slower})
    worse = model.model_copy(update={
        "map_drop": model.map_drop + lost, "map_drop_high": model.map_drop_high + lost,
        "worst_class_drop": model.worst_class_drop + lost, "map_ir": max(model.map_ir - lost, 0.0),
        "speedup": model.speedup / slower, "latency_ms_p50": model.latency_ms_p50 * slower,
        "size_mb": model.size_mb * slower, "speed": speed,
        "provenance": model.provenance.model_copy(update={"models": model.provenance.models.model_copy(
            update={"candidate": "zzz"})})})
    places = [*found, worse]
    random.shuffle(places)
    assert name_of(choose(places, limits, objective)) == name_of(chosen)


@st.composite
def measurements(draw):
    """Return what validate and evaluate write of a baseline and up to three candidates, some of which have failed."""
    maps = draw(st.lists(st.tuples(*[st.sampled_from([0.0, 0.3, 0.39, 0.395, 0.4, 0.41])] * 2), min_size=2, max_size=4))
    names = ["FP32", *(f"candidate{number}" for number in range(len(maps) - 1))]
    record = validation_record(BLOOD_CELLS, [value for pair in maps for value in pair], names)
    for candidate in record["candidates"]:
        high = candidate["map_drop"]["value"] + draw(st.sampled_from([0.0, 0.004, 0.02]))
        times = dict.fromkeys(("median", "low", "high"), draw(st.sampled_from([0.8, 1.0, 1.95, 2.0, 3.0])))
        candidate.update(speedup=times, speedups={"wall": times, "cpu": times, "source": "wall"}, latency_ratio=times)
        candidate["map_drop"]["high"] = min(high, 1.0)
        candidate["ir"]["size_mb"] = draw(st.sampled_from([2.0, 2.05, 5.0]))
    record["failed"] = draw(st.lists(st.sampled_from([
        {"schema": 1, "kind": "failed candidate", "candidate": "broken", "stage": "validate", "reason": "NaN"}]),
        max_size=1))
    models = [record["baseline"], *record["candidates"]]
    evaluations = {name: Evaluation.from_json(evaluation(model["pytorch"]["metrics"]["map"], BLOOD_CELLS, place))
                   for place, (name, model) in enumerate(zip(names, models))}
    return Run(evaluations, Validation.from_json(record), DataRef("/d", DIGEST, "voc", BLOOD_CELLS, "a", "b", "c"),
               {name: ConfigRef("c.py", "0de1" * 16) for name in names}, {})


@given(run=measurements(), limits=LIMITS, objective=st.sampled_from(Objective))
@settings(deadline=None, max_examples=60)
def test_summary_report_gate_and_exit_code_are_of_the_same_one(run, limits, objective):
    summary = summarize(run, limits, objective)
    name, chosen = name_of(summary), judge(summary, limits)
    assert name in [candidate.name for candidate in run.validation.candidates]
    assert summary.passed is chosen.passed is bool(summary.metrics()["passed"])
    assert chosen.passed or not any(judge(one, limits).passed for one in summary.all)
    if summary.choice:
        assert [one.name for one in summary.choice.candidates if one.chosen] == [name]
        assert sorted(one.name for one in summary.choice.candidates) == sorted(
            [*map(name_of, summary.all), *(one.candidate for one in run.validation.failed)])
    with tempfile.TemporaryDirectory() as folder:
        summary.write(Path(folder) / "summary.json")
        assert Summary.read(Path(folder) / "summary.json").to_text() == summary.to_text()
        code = GATE.main(["--summary", f"{folder}/summary.json", "--max-map-drop", repr(limits.max_map_drop),
                          "--max-class-drop", repr(limits.max_class_drop), "--min-speedup", repr(limits.min_speedup),
                          "--min-map", repr(limits.min_map)])
    assert code == (0 if summary.passed else 1)
    assert f"\n{summary.verdict.upper()}: " in terminal_table(summary.to_json())
    judged = {name_of(one): Judged(model, one, judge(one, limits)) for one in summary.all
              for model in run.validation.candidates if model.name == name_of(one)}
    content = ReportContent(run, summary, tuple(judged.values()), {}, (), (), (), (), "now")
    assert content.chosen.summary is summary and content.chosen.verdict.passed is summary.passed
    assert render_markdown(content).startswith(f"# Compression report: {summary.verdict}\n")


@RUNS
@settings(deadline=None, max_examples=150)
def test_the_reasons_agree_with_the_choice(found, failed, limits, objective, random):
    chosen = choose(found, limits, objective)
    choice = explain(found, chosen, limits, objective, {}, failed, {})
    told = choice.candidates[:len(found)]
    assert [one.name for one in told] == [name_of(one) for one in found]
    assert [one.name for one in choice.candidates if one.chosen] == [name_of(chosen)]
    for one, outcome in zip(choice.candidates[len(found):], failed):
        assert not one.chosen and one.why == f"Failed in {outcome.stage}: {outcome.reason}"
    for one, contender in zip(found, told):
        check_reason(one, contender.why, found, chosen, limits, objective)


def check_reason(one, why, found, chosen, limits, objective):
    """Check what a sentence says of a candidate against its figures."""
    passing = [other for other in found if judge(other, limits).passed]
    sure = [other for other in passing if other.map_drop_high <= limits.max_map_drop + 1e-9]
    pool = sure or passing
    own, most = gain_of(one, objective), max((gain_of(other, objective) for other in pool), default=math.nan)
    if one not in passing:
        assert "Outside the limits: " in why and why.startswith("No candidate keeps the limits") == (one is chosen)
        assert not passing or one is not chosen
        return
    assert "Outside" not in why
    if one is chosen:
        assert why.startswith("The best ") == (own == most)
        assert ("is not sure" in why) == (not sure) and ("over its 95 % interval" in why) == bool(sure)
        if own != most:
            assert own >= most * (1 - ALIKE)
            assert all(one.map_drop <= other.map_drop for other in pool
                       if gain_of(other, objective) >= most * (1 - ALIKE))
    elif why.startswith("The 95 %"):
        assert one.map_drop_high > limits.max_map_drop >= chosen.map_drop_high - 1e-9
    elif why.startswith("As good in "):
        assert one.map_drop >= chosen.map_drop and own >= gain_of(chosen, objective) * (1 - ALIKE)
    else:
        name, word, other, mine = re.fullmatch(
            r"(\S+) is (faster|quicker|smaller): (\S+)x the baseline's, this one (\S+)x\.", why).groups()
        assert name == name_of(chosen) and WORDS[word] is objective
        # A share of the baseline's milliseconds and bytes: less is better.
        assert float(other) > float(mine) if objective is Objective.THROUGHPUT else float(other) < float(mine)
        assert own < most * (1 - ALIKE)
