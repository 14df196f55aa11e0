"""Text of values that come from elsewhere, bounded while it is made: a small file can describe a value whose ``repr``
has no end, and a name can hold what a terminal obeys."""

import enum
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import PurePath
from typing import Any

MOST_CHARACTERS = 200
_MOST_VALUES, _MOST_DEPTH = 60, 4
# More digits than this are shown by their number: turning an integer into digits takes quadratic time.
_MOST_BITS = 256
_BRACKETS: dict[type, tuple[str, str]] = {list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}"),
                                          frozenset: ("frozenset({", "})"), dict: ("{", "}")}
_OWN_PACKAGES = ("core", "components", "pipelines", "scripts", "benchmarks")


def printable(text: str, most: int = MOST_CHARACTERS, keep: str = "") -> str:
    """Return ``text`` cut to ``most`` characters, with what is not printable written as Python's escapes.

    Args:
        text: Any text; control characters, line ends, bidirectional marks and halves of characters are escaped.
        most: Characters of ``text`` that are shown; where it has more, its length is added.
        keep: Characters that stay as they are, such as a line end.
    """
    shown = str.__getitem__(text, slice(most))
    if not shown.isprintable():
        shown = "".join(letter if letter.isprintable() or letter in keep
                        else letter.encode("unicode_escape").decode("ascii") for letter in shown)
    return shown if len(text) <= most else f"{shown}... ({len(text):,} characters)"


def shown(value: Any, most: int = MOST_CHARACTERS) -> str:
    """Return what a message says of ``value``: texts and paths as they are, others as :func:`bounded_repr`."""
    kind = type(value)
    if issubclass(kind, (str, PurePath)):
        return printable(str.__str__(value) if issubclass(kind, str) else str(value), most)
    if issubclass(kind, BaseException):
        return printable(_of_exception(value, most), most)
    if kind.__module__.partition(".")[0] in _OWN_PACKAGES and not issubclass(kind, tuple(_BRACKETS)):
        return printable(str(value), most)
    return bounded_repr(value, most)


def bounded_repr(value: Any, most: int = MOST_CHARACTERS) -> str:
    """Return the ``repr`` of plain data in about ``most`` characters; of other values the type alone.

    Time and memory are bounded whatever the value: in values visited, depth, and characters. No method of a class from
    elsewhere is called.
    """
    writer = _Writer(most)
    writer.write(value, 0)
    return "".join(writer.pieces)


class _Writer:
    """Collects the pieces of one ``repr``, until nothing more may be visited or written."""

    def __init__(self, most: int) -> None:
        self.pieces: list[str] = []
        self._characters, self._values = most, _MOST_VALUES

    def write(self, value: Any, depth: int) -> None:
        self._values -= 1
        kind = next((base for base in _BRACKETS if issubclass(type(value), base)), None)
        if kind is None:
            self._add(self._atom(value))
        elif depth >= _MOST_DEPTH:
            self._add("...".join(_BRACKETS[kind]))
        else:
            begin, end = _BRACKETS[kind]
            self._add(begin)
            if kind is dict:
                for held in self._separated(dict.__iter__(value), dict.__len__(value), depth):
                    self._add(": ")
                    self.write(dict.__getitem__(value, held), depth + 1)
            else:
                for _ in self._separated(kind.__iter__(value), kind.__len__(value), depth):
                    pass
                if kind is tuple and tuple.__len__(value) == 1:
                    self._add(",")
            self._add(end)

    def _separated(self, values: Iterable[Any], count: int, depth: int) -> Iterator[Any]:
        for number, value in enumerate(islice(values, _MOST_VALUES)):
            if number:
                self._add(", ")
            if self._characters <= 0 or self._values <= 0:
                self._add(f"... ({count:,} in all)")
                return
            self.write(value, depth + 1)
            yield value
        if count > _MOST_VALUES:
            self._add(f", ... ({count:,} in all)")

    def _add(self, piece: str) -> None:
        self.pieces.append(piece)
        self._characters -= len(piece)

    def _atom(self, value: Any) -> str:
        kind = type(value)
        left = max(self._characters, 8)
        if issubclass(kind, (str, bytes, bytearray)):
            return _cut(value, left)
        if kind in (bool, float, complex, type(None)):
            return repr(value)
        if kind is int:
            return repr(value) if value.bit_length() <= _MOST_BITS else f"<integer of {value.bit_length():,} bits>"
        if issubclass(kind, PurePath):
            return _cut(str(value), left)
        if issubclass(kind, enum.Enum):
            return f"{kind.__name__}.{value._name_}"
        if issubclass(kind, float):
            # numpy.float64 is one.
            return float.__repr__(value)
        return f"<{kind.__module__}.{kind.__qualname__}>"[:_MOST_BITS]


def _cut(value: Any, most: int) -> str:
    kind: Any = str if issubclass(type(value), str) else bytes if issubclass(type(value), bytes) else bytearray
    part, length = kind.__getitem__(value, slice(most)), kind.__len__(value)
    return repr(part) if length <= most else f"{part!r}... ({length:,} long)"


def _of_exception(error: BaseException, most: int) -> str:
    """Return what an exception says; where its arguments are more than texts and numbers, bounded text of those."""
    simple = all(arg is None or type(arg) in (str, int, float, bool) for arg in error.args)
    if simple and not any(type(arg) is int and arg.bit_length() > _MOST_BITS for arg in error.args):
        said = str(error)
    elif type(error).__str__ is BaseException.__str__ or isinstance(error, KeyError):
        said = bounded_repr(error.args[0] if len(error.args) == 1 else error.args, most)
    else:
        # The class has a message of its own, such as UnicodeDecodeError's, which quote one byte.
        said = str(error)
    return said or type(error).__name__


def counted(number: int, one: str, many: str = "") -> str:
    """Write a number with its noun: ``1 image``, ``2 images``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
