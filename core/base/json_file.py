"""JSON that may come from anybody: the one place where it is parsed.

Bounded are a file's size, depth and numbers. Python's own parser bounds the depth by its recursion limit, some 1,000
levels, and the digits of an integer, 4,300: more than a reader that walks a document, or computes with it, can bear.
"""

import json
import math
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.foreign_file import HEAD_BYTES, kind_of, read_foreign
from core.base.text import bounded_repr, shown

MOST_BYTES = 64 << 20
MOST_DEPTH = 100
MOST_BITS = 64
_CONTAINERS = frozenset((dict, list))


def read_json(path: Path, thing: str, hint: str, most: int = MOST_BYTES, any_number: bool = False) -> Any:
    """Return the value that a JSON file holds.

    Args:
        thing: What it is, for messages.
        hint: What to do where it cannot be read, for messages.
        most: Bytes that it may have.
        any_number: As for :func:`json_value`.

    Raises:
        UserError: There is none, it is not a regular file or too large, or it is not JSON in UTF-8; says what it is.
    """
    content = read_foreign(path, thing, most, hint)
    try:
        return json_value(content, any_number)
    except ValueError as error:
        raise UserError(thing, f"{path} ({shown(error)})", "It must be JSON in UTF-8.", hint) from error


def json_value(text: str | bytes, any_number: bool = False) -> Any:
    """Return the value of JSON text.

    Args:
        text: The text; its size is limited by whoever reads the file.
        any_number: Whether integers beyond 64 bits, NaN and infinities are read, which are no JSON but in many files;
            who reads them looks at each number himself.

    Raises:
        ValueError: It is not JSON, is nested too deeply, or has a number out of bounds; says which, and what it is
            instead of JSON, in few words.
    """
    hooks: dict[str, Any] = {} if any_number else {
        "parse_int": _integer, "parse_float": _finite, "parse_constant": _finite}
    try:
        # Not by json.loads: from bytes it makes text that cannot be written again.
        decoded = text.decode(json.detect_encoding(text)) if isinstance(text, bytes) else text
        value = json.loads(decoded, **hooks)
    except RecursionError:
        raise ValueError(f"nested too deeply, at most {MOST_DEPTH} levels are read") from None
    except ValueError as error:
        kind = kind_of(text[:HEAD_BYTES].encode("utf-8", "replace") if isinstance(text, str) else text)
        raise ValueError(f"{shown(error)}; it is {kind}" if kind not in ("", "text", "JSON text") else shown(error)
                         ) from error
    _check_depth(value)
    return value


def json_object(text: str | bytes, any_number: bool = False) -> dict[str, Any]:
    """Return the value of JSON text that is an object; errors as :func:`json_value`, also where it is none."""
    value = json_value(text, any_number)
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is expected, not {bounded_repr(value, 60)}")
    return value


def _integer(digits: str) -> int:
    # Converting long ones takes quadratic time.
    value = int(digits) if len(digits) <= MOST_BITS else None
    if value is None or value.bit_length() > MOST_BITS:
        raise ValueError(f"an integer of {len(digits):,} digits, at most {MOST_BITS} bits are read")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isfinite(value):
        return value
    if digits.endswith(("NaN", "Infinity")):
        raise ValueError(f"{digits} is no JSON")
    raise ValueError(f"the number {bounded_repr(digits, 30)} is out of range")


def _check_depth(value: Any) -> None:
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(MOST_DEPTH):
        inner: list[Any] = []
        for held in level:
            items = held.values() if type(held) is dict else held
            # Most lists of a large file are numbers.
            if not _CONTAINERS.isdisjoint(map(type, items)):
                inner.extend(item for item in items if type(item) in _CONTAINERS)
        if not inner:
            return
        level = inner
    raise ValueError(f"nested too deeply, at most {MOST_DEPTH} levels are read")
