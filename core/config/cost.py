"""What evaluating the text of a config may cost: steps, values copied, and the size of what is compared or printed."""

from collections.abc import Callable
from typing import Any, NoReturn

from core.config.plain_data import MAX_DEPTH

MAX_STEPS = 300_000
MAX_COPIED = 100_000
MAX_WEIGHT = 20_000
_TEXT_UNIT = 50

Refuse = Callable[[str, str, str], NoReturn]
"""Raises UserError for a problem, a rule and a hint, at the place in the text that is being evaluated."""


class Cost:
    """Counts what one config, with its bases, has cost so far."""

    def __init__(self) -> None:
        self._steps = self._copied = 0

    def step(self, refuse: Refuse, steps: int = 1) -> None:
        """Count evaluated nodes, turns of loops and values looked at."""
        self._steps += steps
        if self._steps > MAX_STEPS:
            refuse(f"more than {MAX_STEPS} steps", "Evaluating a config is bounded, so that reading one ends.",
                   "Write the values out.")

    def copy(self, refuse: Refuse, size: int) -> None:
        """Count items and characters that joining, repeating and unpacking copy."""
        self._copied += size
        if self._copied > MAX_COPIED:
            refuse(f"{self._copied} items and characters copied so far",
                   f"Joining, repeating and unpacking copies at most {MAX_COPIED} in a config.", "Shorten it.")

    def weigh(self, refuse: Refuse, value: Any) -> None:
        """Count a value as large as it is once written out; names that share a value can make it grow exponentially.

        Whatever looks at all of a value (comparing, printing, sorting) comes after this.
        """
        left, depth = [(value, 0)], 0
        weight = 0
        while left:
            item, depth = left.pop()
            weight += 1 + (len(item) // _TEXT_UNIT if isinstance(item, str) else 0)
            inner = len(item) if isinstance(item, (list, tuple, dict)) else 0
            if weight + len(left) + inner > MAX_WEIGHT or depth > MAX_DEPTH:
                refuse("a value too large to compare, print or refer to",
                       f"It may hold {MAX_WEIGHT} values in {MAX_DEPTH} levels.", "Write the result out.")
            if isinstance(item, dict):
                left.extend((part, depth + 1) for part in item.values())
                weight += len(item)
            elif inner:
                left.extend((part, depth + 1) for part in item)
        self.step(refuse, weight)


class Bill:
    """The cost of one config, at one place in its text."""

    def __init__(self, cost: Cost, refuse: Refuse) -> None:
        self._cost, self._refuse = cost, refuse

    def step(self, steps: int = 1) -> None:
        """See :meth:`Cost.step`."""
        self._cost.step(self._refuse, steps)

    def copy(self, size: int) -> None:
        """See :meth:`Cost.copy`."""
        self._cost.copy(self._refuse, size)

    def weigh(self, value: Any) -> None:
        """See :meth:`Cost.weigh`."""
        self._cost.weigh(self._refuse, value)
