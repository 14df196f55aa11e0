"""What evaluating the text of a config may cost: steps, values copied, and the size of what is compared or printed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.base.errors import UserError
from core.config.plain_data import MAX_DEPTH

MAX_STEPS = 300_000
MAX_COPIED = 100_000
MAX_WEIGHT = 20_000
_TEXT_UNIT = 50


@dataclass
class Cost:
    """What one config, with its bases, has cost so far."""

    steps: int = 0
    copied: int = 0


@dataclass
class Bill:
    """The cost of one config, charged at one place in its text.

    Attributes:
        refusal: Returns the error at that place for a problem, a rule and a hint.
    """

    cost: Cost
    refusal: Callable[[str, str, str], UserError]

    def step(self, steps: int = 1) -> None:
        """Count evaluated nodes, turns of loops and values looked at."""
        self.cost.steps += steps
        if self.cost.steps > MAX_STEPS:
            raise self.refusal(f"more than {MAX_STEPS} steps", "Evaluating a config is bounded, so that reading one "
                               "ends.", "Write the values out.")

    def copy(self, size: int) -> None:
        """Count items and characters that joining, repeating and unpacking copy."""
        self.cost.copied += size
        if self.cost.copied > MAX_COPIED:
            raise self.refusal(f"{self.cost.copied} items and characters copied so far", "Joining, repeating and "
                               f"unpacking copies at most {MAX_COPIED} in a config.", "Shorten it.")

    def weigh(self, value: Any) -> None:
        """Count a value as large as it is once written out; names that share a value can make it grow exponentially.

        Whatever looks at all of a value (comparing, printing, sorting) comes after this.
        """
        left, weight = [(value, 0)], 0
        while left:
            item, depth = left.pop()
            weight += 1 + (len(item) // _TEXT_UNIT if isinstance(item, str) else 0)
            inner = len(item) if isinstance(item, (list, tuple, dict)) else 0
            if weight + len(left) + inner > MAX_WEIGHT or depth > MAX_DEPTH:
                raise self.refusal("a value too large to compare, print or refer to",
                                   f"It may hold {MAX_WEIGHT} values in {MAX_DEPTH} levels.", "Write the result out.")
            if isinstance(item, dict):
                left.extend((part, depth + 1) for part in item.values())
                weight += len(item)
            elif inner:
                left.extend((part, depth + 1) for part in item)
        self.step(weight)
