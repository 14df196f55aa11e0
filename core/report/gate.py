"""The judgement on a candidate: does it find things at all, is it still as good as the baseline, and is it faster?"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from core.report.text import displayable
from core.results.speed import LEAST_INT8_GAIN, better_for_int8
from core.results.summary import SLACK, Summary, Thresholds, within

# NNCF's name of it.
PRUNING = "filter_pruning"


@dataclass(frozen=True)
class Check:
    """One comparison of a measured number with its limit; ``sentence`` names both."""

    name: str
    passed: bool
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """The outcome of every check."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def reasons(self) -> list[str]:
        """Return the sentences of the checks that failed, empty where the candidate passed."""
        return [check.sentence for check in self.checks if not check.passed]


def judge(summary: Summary, thresholds: Thresholds) -> Verdict:
    """Compare a candidate's figures with the limits.

    A figure exactly at its limit passes; comparisons allow 1e-9, since ``0.41 - 0.40`` is not 0.01 in binary. Every
    figure must be known, or the verdict is a failure: an unmeasured number proves nothing.
    """
    unknown = {name for name, value in summary.figures().items() if not math.isfinite(value)}
    checks = [Check(name, False, f"{name} could not be measured; every figure must be known to be judged")
              for name in summary.figures() if name in unknown]
    checks += _accuracy(summary, thresholds, unknown)
    if "corrupt_images" not in unknown and summary.corrupt_images:
        checks.append(Check("corrupt_images", False, f"{summary.corrupt_images:.0f} test images are corrupt and were "
                                                     "not scored; every test image must be"))
    if "speedup" not in unknown:
        checks.append(_speedup(summary, thresholds.min_speedup))
    return Verdict(tuple(checks))


def _accuracy(summary: Summary, thresholds: Thresholds, unknown: set[str]) -> Iterator[Check]:
    names = summary.provenance.models
    models = f"{names.baseline} {summary.baseline_map:.4f}, {names.candidate} IR {summary.map_ir:.4f}"
    if not {"map_fp32", "map_ir"} & unknown and thresholds.min_map > 0:
        passed, told = _at_least(min(summary.baseline_map, summary.map_ir), thresholds.min_map, 4)
        yield Check("min_map", passed, f"mAP {told} ({models})")
    if not {"map_drop", "map_fp32", "map_ir"} & unknown:
        passed, drop, limit = _at_most(summary.map_drop, thresholds.max_map_drop)
        yield Check("map_drop", passed, f"mAP drop {drop} {limit} ({models})")
    if "worst_class_drop" not in unknown and thresholds.max_class_drop < 1:
        passed, drop, limit = _at_most(summary.worst_class_drop, thresholds.max_class_drop)
        yield Check("class_drop", passed,
                    f"largest AP drop of a class {drop} ({displayable(summary.worst_class)}) {limit}")


def _speedup(summary: Summary, limit: float) -> Check:
    """Return the check of the speed-up, which also says what this CPU allows, and whether that is the limit."""
    passed, told = _at_least(summary.speedup, limit, 2, "x")
    speed, parts = summary.speed, [f"speed-up {told}"]
    if speed.source == "cpu":
        parts.append("taken from CPU time, since other processes disturbed")
    if round(speed.share, 2) > 1:
        # Noise, or what is around the layers gains more than they do.
        parts.append(f"more than the {speed.bound:.2f}x that its layers alone gain on this CPU")
    elif math.isfinite(speed.bound):
        parts.append(f"{speed.share:.2f} of the {speed.bound:.2f}x that this CPU allows")
    made = summary.provenance.compression
    prune = "prune more" if PRUNING in made.algorithms else "prune"
    if made.fake_quantize_nodes and speed.int8_gain < LEAST_INT8_GAIN:
        parts.append(f"this CPU gains nothing from int8: {prune}, or deploy on "
                     f"{better_for_int8(summary.provenance.cpu.instruction_set)}")
    elif not passed and speed.bound < limit:
        further = (", or deploy on one that gains more from int8" if made.fake_quantize_nodes
                   else ", or quantize it, too" if speed.int8_gain >= LEAST_INT8_GAIN else "")
        parts.append(f"the CPU is the limit: {prune}{further}")
    return Check("speedup", passed, "; ".join(parts))


def _at_least(measured: float, limit: float, decimals: int, unit: str = "") -> tuple[bool, str]:
    passed = measured >= limit - SLACK
    figure, lowest = told_apart(measured, limit, decimals)
    return passed, f"{figure}{unit} {'meets' if passed else 'is below'} the minimum {lowest}{unit}"


def _at_most(measured: float, limit: float) -> tuple[bool, str, str]:
    passed = within(measured, limit)
    figure, highest = told_apart(measured, limit, 4)
    return passed, figure, f"is {'within' if passed else 'above'} the limit {highest}"


def told_apart(measured: float, limit: float, decimals: int) -> tuple[str, str]:
    """Write both numbers with as many decimals as it takes to see which is larger."""
    while decimals < 10 and abs(measured - limit) > SLACK and f"{measured:.{decimals}f}" == f"{limit:.{decimals}f}":
        decimals += 1
    text = f"{measured:.{decimals}f}"
    return (text.lstrip("-") if float(text) == 0 else text), f"{limit:.{decimals}f}"
