"""The best candidate within the limits, by one objective; how sure its loss is within its limit counts too."""

import math
from collections.abc import Mapping, Sequence

from core.report.gate import SLACK, judge
from core.report.text import fraction, ratio
from core.results.outcome import Making, Outcome
from core.results.summary import Choice, Contender, Objective, Summary, Thresholds

# Gains that differ by less are alike: two measurements of one model differ as much.
ALIKE = 0.03
_BETTER = {Objective.THROUGHPUT: "faster", Objective.LATENCY: "quicker", Objective.SIZE: "smaller"}


def gain(summary: Summary, objective: Objective) -> float:
    """Return how many times better than the baseline a candidate is; NaN where it could not be measured."""
    return {Objective.THROUGHPUT: summary.speedup,
            Objective.LATENCY: summary.baseline_latency_ms_p50 / summary.latency_ms_p50,
            Objective.SIZE: summary.baseline_size_mb / summary.size_mb}[objective]


def surely_within(summary: Summary, thresholds: Thresholds) -> bool:
    """Return whether the whole 95 % interval of a candidate's loss of mAP is within the limit."""
    return summary.map_drop_high <= thresholds.max_map_drop + SLACK


def choose(summaries: Sequence[Summary], thresholds: Thresholds, objective: Objective) -> Summary:
    """Return the best candidate.

    Of those that keep all limits, those whose loss is surely within its limit go before those whose interval crosses
    it. Of the best by the objective and those alike, the one that loses the least mAP is chosen. Where none keeps the
    limits, it is the one that misses the fewest.
    """
    passing = [one for one in summaries if judge(one, thresholds).passed]
    if not passing:
        return min(summaries, key=lambda one: (len(judge(one, thresholds).reasons), math.isnan(one.map_drop),
                                               one.map_drop))
    pool = [one for one in passing if surely_within(one, thresholds)] or passing
    best = max(gain(one, objective) for one in pool)
    return min((one for one in pool if gain(one, objective) >= best * (1 - ALIKE)), key=lambda one: one.map_drop)


def explain(summaries: Sequence[Summary], chosen: Summary, thresholds: Thresholds, objective: Objective,
            makings: Mapping[str, Making], failed: Sequence[Outcome]) -> Choice:
    """Return why each candidate was chosen or not, those that failed at the end."""
    contenders = [_contender(name_of(one), one is chosen, _why(one, chosen, thresholds, objective), makings)
                  for one in summaries]
    contenders += [_contender(one.candidate, False, f"Failed in {one.stage}: {one.reason}", makings) for one in failed]
    return Choice(objective=objective, candidates=tuple(contenders))


def name_of(summary: Summary) -> str:
    """Return the name of a summary's candidate."""
    return summary.provenance.models.candidate


def _contender(name: str, chosen: bool, why: str, makings: Mapping[str, Making]) -> Contender:
    made = makings.get(name)
    return Contender(name=name, chosen=chosen, why=why, decision=made.decision if made else "",
                     epochs=made.epochs if made else 0, hours=made.hours if made else 0.0,
                     gpus=made.gpus if made else 0)


def _why(one: Summary, chosen: Summary, thresholds: Thresholds, objective: Objective) -> str:
    verdict, limit, high = judge(one, thresholds), f"{thresholds.max_map_drop:g}", fraction(one.map_drop_high)
    if not verdict.passed:
        fewest = "No candidate keeps the limits; this one misses the fewest. " if one is chosen else ""
        return f"{fewest}Outside the limits: {'; '.join(verdict.reasons)}."
    own, other = gain(one, objective), gain(chosen, objective)
    if one is chosen:
        how = f"of those whose loss of mAP is within {limit} over its 95 % interval."
        if not surely_within(one, thresholds):
            how = (f"within the limits; that its loss of mAP is, is not sure: its 95 % interval ends at {high}, and no "
                   f"candidate's ends within {limit}.")
        return f"The best {objective.value}, {ratio(own)} the baseline's, {how}"
    if surely_within(chosen, thresholds) and not surely_within(one, thresholds):
        return (f"The 95 % interval of its loss of mAP ends at {high}, above {limit}; that of {name_of(chosen)} does "
                "not.")
    if own >= other * (1 - ALIKE) and one.map_drop >= chosen.map_drop:
        return (f"As good in {objective.value} as {name_of(chosen)} ({ratio(own)} and {ratio(other)}), and loses no "
                "less mAP.")
    return f"{name_of(chosen)} is {_BETTER[objective]}: {ratio(other)} the baseline's, this one {ratio(own)}."
