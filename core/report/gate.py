"""The judgement on a run: is the compressed model still good, and is it faster?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from core.base.errors import UserError
from core.base.text import bounded_repr
from core.report.text import displayable

SLACK = 1e-9
JUDGED = ("map_drop", "map_fp32", "map_ir", "worst_class_drop", "corrupt_images", "speedup")


@dataclass(frozen=True)
class Thresholds:
    """The limits a compressed model must keep. Beside them, every test image must have been scored.

    Args:
        max_map_drop: Largest allowed ``map_fp32 - map_ir``, absolute, 0..1. 0.01 is one point of mAP.
        max_class_drop: Largest allowed loss of AP of any one class, likewise; 1 switches the check off.
        min_speedup: Smallest allowed FPS of the compressed IR over FPS of the FP32 IR; 0 switches the check off.

    Raises:
        UserError: A limit is not a number or out of its range.
    """

    max_map_drop: float = 0.01
    max_class_drop: float = 0.05
    min_speedup: float = 1.0

    def __post_init__(self) -> None:
        _check_limit("max_map_drop", self.max_map_drop, 1.0, "It must be a number from 0 to 1, in absolute mAP.",
                     "Use 0.01 to allow one point of mAP.")
        _check_limit("max_class_drop", self.max_class_drop, 1.0, "It must be a number from 0 to 1, in absolute AP.",
                     "Use 0.05 to allow five points of any one class, 1 to ask nothing.")
        _check_limit("min_speedup", self.min_speedup, math.inf, "It must be a finite number of at least 0.",
                     "Use 1.0 to ask that the compressed model is not slower, 0 to ask nothing.")


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
        """Return the sentences of the checks that failed, empty where the run passed."""
        return [check.sentence for check in self.checks if not check.passed]


def judge(figures: Mapping[str, float | None], thresholds: Thresholds, worst_class: str = "") -> Verdict:
    """Compare a run's figures with the limits.

    A figure exactly at its limit passes; comparisons allow 1e-9, since ``0.41 - 0.40`` is not 0.01 in binary.

    Args:
        figures: ``Summary.figures()``: at least those in ``JUDGED``. Every figure given must be finite, or the
            verdict is a failure: an unmeasured number proves nothing.
        worst_class: Name of the class that lost the most.

    Raises:
        UserError: A figure the limits apply to is missing.
    """
    missing = [name for name in JUDGED if name not in figures]
    if missing:
        raise UserError("summary", f"has no {', '.join(missing)}", "The gate compares these with its limits.",
                        "Give it the summary.json that the report stage wrote.")
    unmeasured = [name for name, value in figures.items() if value is None or not math.isfinite(value)]
    checks = [_unmeasured(name, figures[name]) for name in unmeasured]
    if not {"map_drop", "map_fp32", "map_ir"} & set(unmeasured):
        checks.append(_map_drop(figures, thresholds.max_map_drop))
    if "worst_class_drop" not in unmeasured and thresholds.max_class_drop < 1:
        checks.append(_class_drop(figures["worst_class_drop"], thresholds.max_class_drop, worst_class))
    if "corrupt_images" not in unmeasured and figures["corrupt_images"]:
        checks.append(Check("corrupt_images", False, f"{figures['corrupt_images']:.0f} test images are corrupt and "
                                                     "were not scored; every test image must be"))
    if "speedup" not in unmeasured:
        checks.append(_speedup(figures["speedup"], thresholds.min_speedup))
    return Verdict(tuple(checks))


def _map_drop(figures: Mapping[str, float | None], limit: float) -> Check:
    drop = figures["map_drop"]
    passed = drop <= limit + SLACK
    drop_text, limit_text = _told_apart(drop, limit, 4)
    models = f"FP32 {figures['map_fp32']:.4f}, compressed IR {figures['map_ir']:.4f}"
    relation = "within" if passed else "above"
    return Check("map_drop", passed, f"mAP drop {drop_text} is {relation} the limit {limit_text} ({models})")


def _class_drop(drop: float, limit: float, name: str) -> Check:
    passed = drop <= limit + SLACK
    drop_text, limit_text = _told_apart(drop, limit, 4)
    relation = "within" if passed else "above"
    return Check("class_drop", passed,
                 f"largest AP drop of a class {drop_text} ({displayable(name)}) is {relation} the limit {limit_text}")


def _speedup(speedup: float, limit: float) -> Check:
    passed = speedup >= limit - SLACK
    speedup_text, limit_text = _told_apart(speedup, limit, 2)
    relation = "meets" if passed else "is below"
    return Check("speedup", passed, f"speed-up {speedup_text}x {relation} the minimum {limit_text}x")


def _unmeasured(name: str, value: float | None) -> Check:
    found = "missing" if value is None else str(float(value))
    return Check(name, False, f"{name} is {found}; every figure must be a finite number to be judged")


def _told_apart(measured: float, limit: float, decimals: int) -> tuple[str, str]:
    """Write both numbers with as many decimals as it takes to see which is larger."""
    while decimals < 10 and abs(measured - limit) > SLACK and f"{measured:.{decimals}f}" == f"{limit:.{decimals}f}":
        decimals += 1
    text = f"{measured:.{decimals}f}"
    return (text.lstrip("-") if float(text) == 0 else text), f"{limit:.{decimals}f}"


def _check_limit(name: str, value: float, highest: float, rule: str, hint: str) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 0 <= value <= highest:
        raise UserError(f"parameter {name}", bounded_repr(value), rule, hint)
