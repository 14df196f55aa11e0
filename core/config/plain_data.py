"""What a config may consist of: bounded plain data, nothing that could act."""

import math
from dataclasses import dataclass
from typing import Any

from core.base.errors import UserError
from core.base.text import bounded_repr

MAX_DEPTH = 32
MAX_SIZE = 1_000_000
MAX_INTEGER_BITS = 64


def plain_data(value: Any, thing: str) -> Any:
    """Return a deep copy of ``value`` made of dict, list, tuple, str, int, float, bool and None only.

    Args:
        value: Nested containers; subclasses such as mmcv's ConfigDict become plain ones.

    Raises:
        UserError: Another type, a key that is not text, a number that is none (nan) or beyond 64 bits, nesting
            beyond ``MAX_DEPTH`` (a value that contains itself has no end), or more than ``MAX_SIZE`` values and
            characters once names that share a value are written out.
    """
    return _Copier(thing).copy(value, ())


def is_plain_number(value: Any) -> bool:
    """Return whether ``value`` is a finite float, a bool or an int of at most 64 bits."""
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is bool or type(value) is int and value.bit_length() <= MAX_INTEGER_BITS


def dotted(path: tuple[Any, ...]) -> str:
    """Return ``path`` the way ``--cfg-options`` writes it: ``data.train.pipeline.2.type``."""
    return ".".join(str(part) for part in path)


@dataclass
class _Copier:
    thing: str
    left: int = MAX_SIZE

    def copy(self, value: Any, path: tuple[Any, ...]) -> Any:
        self._spend(1 + (len(value) if isinstance(value, str) else 0), path)
        if len(path) > MAX_DEPTH:
            raise UserError(f"{self.thing}, {dotted(path[:4])}...", f"nested deeper than {MAX_DEPTH} levels",
                            f"At most {MAX_DEPTH} levels are read.", "Flatten the value.")
        if isinstance(value, dict):
            return {self._key(key, path): self.copy(item, path + (key,)) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            items = [self.copy(item, path + (index,)) for index, item in enumerate(value)]
            return tuple(items) if isinstance(value, tuple) else items
        if value is None or type(value) is str or is_plain_number(value):
            return value
        if type(value) is float and math.isinf(value):
            return value
        where = f"{self.thing}, {dotted(path) or 'top level'}"
        if type(value) in (int, float):
            shown = f"an integer of {value.bit_length()} bits" if type(value) is int else f"the number {value}"
            raise UserError(where, shown, f"Numbers are no nan and integers fit {MAX_INTEGER_BITS} bits.",
                            "Write an ordinary number, such as 1e8 for no limit.")
        raise UserError(where, f"a value of type {type(value).__name__}",
                        "A config consists of dict, list, tuple, text, numbers, True, False and None.",
                        "Replace the value by one of these.")

    def _spend(self, amount: int, path: tuple[Any, ...]) -> None:
        self.left -= amount
        if self.left < 0:
            raise UserError(f"{self.thing}, {dotted(path[:4])}",
                            f"more than {MAX_SIZE} values and characters once written out",
                            "A config is bounded, so that a small file cannot fill the memory.",
                            "Remove repeated or generated values.")

    def _key(self, key: Any, path: tuple[Any, ...]) -> str:
        if type(key) is not str:
            raise UserError(f"{self.thing}, {dotted(path) or 'top level'}",
                            f"the key {bounded_repr(key, 80)} is not text", "Every key of a config is text.",
                            "Write the key in quotes.")
        self._spend(len(key), path)
        return key
