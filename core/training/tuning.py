"""Whether a compressed model is trained at all, and when its training has done enough."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.base.errors import UserError
from core.base.text import bounded_repr
from core.results.summary import within
from core.training.initial import InitialScore
from core.training.settings import When

KEY = "fine_tuning"
# Of runner.messages: what was decided and measured before the first step, for a process that resumes the training.
DECIDED = "decided"
# Validations in a row that a training goes on though it is within the limit, or does not improve.
PATIENCE = 2


@dataclass(frozen=True)
class FineTuning:
    """The config's key ``fine_tuning``.

    Attributes:
        max_map_drop: Loss of mAP on the validation split that is within the limit, FP32 to compressed, absolute.
        patience: Validations in a row within the limit, or without improvement, that end a training.
    """

    when: When = When.ALWAYS
    max_map_drop: float = 0.01
    patience: int = PATIENCE

    @classmethod
    def of(cls, config: Any) -> "FineTuning":
        """Return what a config says; raise UserError where it is no such dict."""
        given = config.get(KEY) or {}
        try:
            found = cls(**{**given, "when": When(given.get("when", When.ALWAYS))})
            sound = (type(found.patience) is int and found.patience >= 1 and not isinstance(found.max_map_drop, bool)
                     and 0 <= found.max_map_drop <= 1)
        except (TypeError, ValueError, AttributeError):
            sound = False
        if not sound:
            raise UserError(f"config, {KEY}", bounded_repr(given, 80), "It is a dict of when (always, when_needed or "
                            "never), max_map_drop (0 to 1) and patience (a whole number above 0).",
                            f"Write such as {KEY} = dict(when='when_needed', max_map_drop=0.01).")
        return found

    def at_the_start(self, initial: InitialScore | None, finished: bool) -> tuple[bool, str]:
        """Return whether an initialised model is trained, and why in a sentence.

        Args:
            initial: Its score; None where training is resumed.
            finished: Whether compression has reached its target: a pruning schedule has not when it begins.
        """
        if self.when is When.ALWAYS:
            return True, "Fine-tuned as its config says."
        if self.when is When.NEVER:
            return False, "Initialised and not fine-tuned, as was asked."
        if initial is None:
            return True, "An interrupted fine-tuning was resumed."
        if not finished:
            return True, "Fine-tuned: its compression reaches its target while it trains."
        if initial.parent_map is None:
            return True, "Fine-tuned: it starts from a compressed model, so what it lost at the start is not known."
        limit = self.max_map_drop
        scores = (f"mAP {initial.metrics.map:.4f} before the first step, {initial.parent_map:.4f} without compression, "
                  f"limit {limit:g}")
        if within(initial.parent_map - initial.metrics.map, limit):
            return False, f"Not fine-tuned: already within the limit on the {initial.split} split ({scores})."
        return True, f"Fine-tuned: not within the limit on the {initial.split} split ({scores})."


def how_it_ended(runner: Any) -> str:
    """Return why a training ended before its config's length, in a sentence; empty where it did not."""
    ended = runner.messages.get(KEY, {}).get("ended", "")
    return f" It ended after epoch {runner.epoch}: {ended}." if ended else ""


def require_sound(messages: Mapping[str, Any]) -> None:
    """Raise KeyError, TypeError or ValueError where what a training state keeps of this is malformed."""
    state = messages.get(KEY, {"parent_map": 0.0, "within": 0, "waited": 0, "best": 0.0, "ended": ""})
    decided = messages.get(DECIDED, {"decision": "", "map_parent": 0.0, "map_initial": 0.0})
    numbers = [state["parent_map"], state["within"], state["waited"], state["best"], decided["map_parent"],
               decided["map_initial"]]
    if not all(isinstance(number, (int, float)) for number in numbers) or not isinstance(
            state["ended"], str) or not isinstance(decided["decision"], str):
        raise ValueError("what it says of fine-tuning is malformed")


def known(value: float | None) -> float:
    """Return a measured number, NaN for None."""
    return math.nan if value is None else value
