"""The best candidate within the limits, by one objective; how sure its loss is within its limit counts too."""

import math
from collections.abc import Mapping, Sequence

from core.report.gate import judge, told_apart
from core.report.text import fraction, ratio
from core.results.outcome import Making, Outcome
from core.results.summary import Choice, Contender, Objective, Summary, Thresholds, within

# Gains that differ by less are alike: two measurements of one model differ as much.
ALIKE = 0.03
_BETTER = {Objective.THROUGHPUT: "faster", Objective.LATENCY: "quicker", Objective.SIZE: "smaller"}


def gain(summary: Summary, objective: Objective) -> float:
    """Return how many times better than the baseline a candidate is; NaN where it could not be measured.

    Speed and latency are in the time that counts, CPU time where other processes disturbed.
    """
    if objective is Objective.THROUGHPUT:
        return summary.speedup
    if objective is Objective.SIZE:
        return _times(summary.baseline_size_mb, summary.size_mb)
    known = summary.speed.latency_gain
    return _times(summary.baseline_latency_ms_p50, summary.latency_ms_p50) if math.isnan(known) else known


def surely_within(summary: Summary, thresholds: Thresholds) -> bool:
    """Return whether the whole 95 % interval of a candidate's loss of mAP is within the limit."""
    return within(summary.map_drop_high, thresholds.max_map_drop)


def choose(summaries: Sequence[Summary], thresholds: Thresholds, objective: Objective) -> Summary:
    """Return the best candidate.

    Of those that keep all limits, those whose loss is surely within its limit go before those whose interval crosses
    it. Of the best by the objective and those alike, the one that loses the least mAP is chosen. Where none keeps the
    limits, it is the one that misses the fewest. The order of the candidates decides nothing.
    """
    alike = _alike(summaries, thresholds, objective)
    if alike:
        return min(alike, key=lambda one: _merit(one, objective))
    return min(summaries, key=lambda one: (len(judge(one, thresholds).reasons), *_merit(one, objective)))


def _alike(summaries: Sequence[Summary], thresholds: Thresholds, objective: Objective) -> list[Summary]:
    """Return the candidates that are chosen among: the best by the objective of those that go first, and those alike.

    None where no candidate keeps the limits.
    """
    passing = [one for one in summaries if judge(one, thresholds).passed]
    pool = [one for one in passing if surely_within(one, thresholds)] or passing
    best = max((_or_low(gain(one, objective)) for one in pool), default=0.0)
    return [one for one in pool if _or_low(gain(one, objective)) >= best * (1 - ALIKE)]


def _merit(one: Summary, objective: Objective) -> tuple[float | str, ...]:
    """Return what sorts candidates, the one to choose first: by loss, then gain; the rest breaks ties."""
    return (_or_high(one.map_drop), -_or_low(gain(one, objective)), _or_high(one.map_drop_high),
            _or_high(one.worst_class_drop), -_or_low(one.map_ir), *(-_or_low(gain(one, other)) for other in Objective),
            name_of(one))


def explain(summaries: Sequence[Summary], chosen: Summary, thresholds: Thresholds, objective: Objective,
            makings: Mapping[str, Making], failed: Sequence[Outcome], decisions: Mapping[str, str]) -> Choice:
    """Return why each candidate was chosen or not, those that failed at the end, and ``decisions`` on each by name."""
    contenders = []
    for one in summaries:
        why = (_why_chosen(one, summaries, thresholds, objective) if one is chosen
               else _why_not(one, chosen, summaries, thresholds, objective))
        contenders.append(_contender(name_of(one), one is chosen, why, makings, decisions))
    contenders += [_contender(one.candidate, False, f"Failed in {one.stage}: {one.reason}", makings, decisions, one)
                   for one in failed]
    return Choice(objective=objective, candidates=tuple(contenders))


def name_of(summary: Summary) -> str:
    """Return the name of a summary's candidate."""
    return summary.provenance.models.candidate


def _contender(name: str, chosen: bool, why: str, makings: Mapping[str, Making], decisions: Mapping[str, str],
               failed: Outcome | None = None) -> Contender:
    made = makings.get(name)
    # One that came to nothing before it was made took what it took to find out.
    took = made or failed
    return Contender(name=name, chosen=chosen, why=why, decision=decisions.get(name, ""),
                     epochs=made.epochs if made else 0,
                     # Where iterations are counted it would be one of them.
                     result_epoch=made.result_epoch if made and made.planned_epochs else 0,
                     hours=took.hours if took else 0.0, gpus=took.gpus if took else 0)


def _factor(summary: Summary, objective: Objective) -> float:
    """Return what is best of a candidate over the baseline's, as the tables have it: half the size is 0.5."""
    gained = gain(summary, objective)
    if objective is Objective.THROUGHPUT:
        return gained
    return 1 / gained if gained else math.inf


def _why_chosen(one: Summary, summaries: Sequence[Summary], thresholds: Thresholds, objective: Objective) -> str:
    if not judge(one, thresholds).passed:
        return "No candidate keeps the limits; none misses fewer of them. " + _missed(one, thresholds)
    alike = _alike(summaries, thresholds, objective)
    best = max(alike, key=lambda other: (_or_low(gain(other, objective)), other is one))
    said = f"The best {objective.value}, {ratio(_factor(one, objective))} the baseline's"
    if best is not one:
        own, other = told_apart(_factor(one, objective), _factor(best, objective), 2)
        said = (f"Of those within {100 * ALIKE:g} % of the best {objective.value} none loses less mAP: {own}x the "
                f"baseline's, {name_of(best)} {other}x")
    if surely_within(one, thresholds):
        return f"{said}, of those whose loss of mAP is within {thresholds.max_map_drop:g} over its 95 % interval."
    return (f"{said}, within the limits; that its loss of mAP is, is not sure: its 95 % interval ends at "
            f"{fraction(one.map_drop_high)}, and that of no candidate within the limits ends within "
            f"{thresholds.max_map_drop:g}.")


def _why_not(one: Summary, chosen: Summary, summaries: Sequence[Summary], thresholds: Thresholds,
             objective: Objective) -> str:
    reasons = judge(one, thresholds).reasons
    if reasons:
        said = _missed(one, thresholds)
        if len(judge(chosen, thresholds).reasons) == len(reasons):
            less = _or_high(chosen.map_drop) < _or_high(one.map_drop)
            said += f" {name_of(chosen)} misses as many limits, and loses {'less' if less else 'no more'} mAP."
        return said
    if surely_within(chosen, thresholds) and not surely_within(one, thresholds):
        return (f"The 95 % interval of its loss of mAP ends at {fraction(one.map_drop_high)}, above "
                f"{thresholds.max_map_drop:g}; that of {name_of(chosen)} does not.")
    own, other = _factor(one, objective), _factor(chosen, objective)
    if any(each is one for each in _alike(summaries, thresholds, objective)):
        return (f"As good in {objective.value} as {name_of(chosen)} ({ratio(own)} and {ratio(other)}), and loses no "
                "less mAP.")
    own_text, other_text = told_apart(own, other, 2)
    return f"{name_of(chosen)} is {_BETTER[objective]}: {other_text}x the baseline's, this one {own_text}x."


def _missed(one: Summary, thresholds: Thresholds) -> str:
    return "Outside the limits: " + "; ".join(judge(one, thresholds).reasons) + "."


def _times(before: float, after: float) -> float:
    return before / after if after else math.inf if before > 0 else math.nan


def _or_high(drop: float) -> float:
    return 2.0 if math.isnan(drop) else drop


def _or_low(value: float) -> float:
    return 0.0 if math.isnan(value) else value
