"""When a schedule starts runs: cron lines in the back-end's syntax, and intervals."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.base.errors import UserError

SHORTEST_INTERVAL = 60
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_CRON_HINT = ("Write six fields - second, minute, hour, day of the month, month, day of the week - such as "
              "'0 0 2 * * 1' for Mondays at two.")


@dataclass(frozen=True)
class _Field:
    name: str
    first: int
    last: int
    names: Sequence[str] = ()


_FIELDS = (
    _Field("second", 0, 59), _Field("minute", 0, 59), _Field("hour", 0, 23), _Field("day of the month", 1, 31),
    _Field("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    _Field("day of the week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)


@dataclass(frozen=True)
class Trigger:
    """What starts runs: exactly one of the two.

    Attributes:
        cron: A cron line of six fields.
        notice: What was changed in the user's writing, or None.
    """

    cron: str | None = None
    seconds: int | None = None
    notice: str | None = None

    def __str__(self) -> str:
        return f"cron {self.cron}" if self.cron is not None else f"every {self.seconds} s"


def cron_trigger(text: str) -> Trigger:
    """Return the trigger of a cron line.

    The back-end reads lines with robfig/cron 1.2, which takes five fields for the first five of six - ``0 2 * * 1``
    would start runs every hour of January. A line of five fields is therefore read as crontab and gets a second.

    Raises:
        UserError: It is no such line, there is no such day, or it starts runs at less than the shortest interval.
    """
    words = text.split()
    notice = None
    if len(words) == 5:
        words = ["0", *words[:4], _sunday_is_0(words[4])]
        notice = f"crontab line {text!r} was read as {' '.join(words)!r}: the first field is seconds"
    if len(words) != 6:
        raise _wrong(text, f"It has {len(words)} fields.")
    values = [_values(word, field, text) for word, field in zip(words, _FIELDS)]
    if len(values[0]) > 1:
        raise _wrong(text, f"It starts {len(values[0])} runs a minute, and the shortest interval is "
                     f"{SHORTEST_INTERVAL} s.")
    days, months = values[3], values[4]
    every_weekday = len(values[5]) == 7
    if every_weekday and all(day > _DAYS_IN_MONTH[month - 1] for day in days for month in months):
        raise _wrong(text, "None of these months has such a day.")
    return Trigger(cron=" ".join(words), notice=notice)


def interval_trigger(text: str) -> Trigger:
    """Return the trigger of an interval such as ``7d``; raise UserError where it is none or shorter than a minute."""
    seconds = duration_seconds(text, "--every")
    if seconds < SHORTEST_INTERVAL:
        raise UserError("--every", text, f"The shortest interval is {SHORTEST_INTERVAL} s.", "Choose a longer one.")
    return Trigger(seconds=seconds)


def duration_seconds(text: str, thing: str) -> int:
    """Return the seconds of ``90s``, ``12h``, ``7d`` and their like; raise UserError where it is no such duration."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhdw])", text.strip())
    if not match:
        raise UserError(thing, repr(text), "It must be a whole number with its unit s, m, h, d or w.",
                        "Write for example 12h or 7d.")
    return int(match.group(1)) * _UNITS[match.group(2)]


def _values(word: str, field: _Field, line: str) -> frozenset[int]:
    """Return the values that one field of a line stands for, by the grammar of robfig/cron 1.2."""
    found = set()
    for part in word.split(","):
        span, slash, step_text = part.partition("/")
        if slash and not (step_text.isdigit() and int(step_text) > 0):
            raise _wrong(line, f"In the field {field.name}, {part!r} has no step.")
        if span in ("*", "?"):
            first, last = field.first, field.last
        else:
            first_text, dash, last_text = span.partition("-")
            first = _value(first_text, field, line)
            # With a step, a single value stands for itself and all that follow.
            last = _value(last_text, field, line) if dash else field.last if slash else first
        if first > last:
            raise _wrong(line, f"In the field {field.name}, {span!r} runs backwards.")
        found.update(range(first, last + 1, int(step_text) if slash else 1))
    return frozenset(found)


def _value(text: str, field: _Field, line: str) -> int:
    if text.lower() in field.names:
        return field.first + field.names.index(text.lower())
    if not (text.isascii() and text.isdigit() and field.first <= int(text) <= field.last):
        raise _wrong(line, f"In the field {field.name}, {text!r} is not one of {field.first} to {field.last}.")
    return int(text)


def _sunday_is_0(word: str) -> str:
    """Return a crontab's days of the week, where Sunday may be 7, as the back-end writes them."""
    parts = []
    for part in word.split(","):
        start, _, end = part.partition("-")
        if end == "7" and start.isdigit():
            # A range that ends on Sunday would run backwards.
            parts += ([f"{start}-6"] if int(start) < 7 else []) + ["0"]
        else:
            parts.append("0" if part == "7" else part)
    return ",".join(parts)


def _wrong(line: str, why: str) -> UserError:
    return UserError("--schedule", repr(line), why, _CRON_HINT)
