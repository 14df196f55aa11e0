"""What the entries of an nncf_config may be: kinds of values, and sections of named ones.

A node reads a value: it reports what is wrong there and returns a clean copy, in which whatever was wrong is None.
Rules that compare entries work on the copy and need not ask for types again.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.base.suggest import did_you_mean, nearest
from core.base.text import bounded_repr
from core.compression.config_check.finding import ABSENT, Finding, child
from core.compression.config_check.regex_cost import cost_problem

REGEX_MARK = "{re}"
# No scope of a traced graph holds these, so a pattern with one of them is a regular expression or a glob.
_REGEX_SIGNS = ("*", "^", "$", "\\", "+", "?")

Problem = tuple[str, str]
"""What is wrong with a value: the rule that it breaks, and what to write instead."""


class Node:
    """A kind of entry."""

    def read(self, value: Any, path: str, findings: list[Finding]) -> Any:
        """Return a clean copy of ``value``, None where it is wrong; append what is wrong to ``findings``."""
        problem = self.problem(value)
        if problem is None:
            return self.parts(value, path, findings)
        findings.append(Finding(path or "nncf_config", value, *problem))
        return None

    def problem(self, value: Any) -> Problem | None:
        """Return rule and replacement where ``value`` is wrong as a whole."""
        raise NotImplementedError

    def parts(self, value: Any, path: str, findings: list[Finding]) -> Any:
        """Return a clean copy of a value that is right as a whole, its parts read."""
        return list(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Number(Node):
    """A finite number within bounds; ``whole`` ones may be written as 256.0."""

    meaning: str
    low: float = 0
    high: float = math.inf
    low_excluded: bool = False
    high_excluded: bool = False
    whole: bool = False
    example: Any = 1

    def problem(self, value: Any) -> Problem | None:
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if number and self.low <= value <= self.high and not (
                self.low_excluded and value == self.low or self.high_excluded and value == self.high
                or self.whole and value != int(value)):
            return None
        within = f"above {self.low:g}" if self.low_excluded else f"of at least {self.low:g}"
        if self.high != math.inf:
            within = f"{within} and {'below' if self.high_excluded else 'at most'} {self.high:g}" if (
                self.low_excluded or self.high_excluded) else f"from {self.low:g} to {self.high:g}"
        rule = f"{self.meaning} is a {'whole number' if self.whole else 'number'} {within}."
        if number and self.high == 1 and 2 <= value < 100:
            return rule, f"Write {value / 100:g} where {value:g} % is meant, or another one such as {self.example}."
        return rule, f"Write a number such as {self.example}."


@dataclass(frozen=True)
class Choice(Node):
    """One of a few texts; ``elsewhere`` explains those that other versions of NNCF know."""

    meaning: str
    values: tuple[str, ...]
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def problem(self, value: Any) -> Problem | None:
        if isinstance(value, str) and value in self.values:
            return None
        rule = f"{self.meaning} is one of {', '.join(self.values)}."
        if isinstance(value, str) and value in self.elsewhere:
            return rule, self.elsewhere[value]
        match = nearest(value.lower(), {name.lower() for name in self.values}) if isinstance(value, str) else None
        meant = next((name for name in self.values if name.lower() == match), None)
        return rule, f"Write {meant!r}." if meant else f"Write one of them, such as {self.values[0]!r}."


@dataclass(frozen=True)
class Flag(Node):
    """True or False."""

    def problem(self, value: Any) -> Problem | None:
        return None if isinstance(value, bool) else ("It is a switch.", "Write True or False.")


@dataclass(frozen=True)
class Text(Node):
    """A text that is not empty."""

    meaning: str

    def problem(self, value: Any) -> Problem | None:
        if isinstance(value, str) and value:
            return None
        return f"{self.meaning} is a text.", "Write it in quotes, or remove the key."


@dataclass(frozen=True)
class ListOf(Node):
    """A list, not a tuple: NNCF's schema follows JSON."""

    meaning: str
    item: Node

    def problem(self, value: Any) -> Problem | None:
        return None if isinstance(value, list) else (f"{self.meaning} is a list.", _as_list(value))

    def parts(self, value: Any, path: str, findings: list[Finding]) -> Any:
        return [self.item.read(item, child(path, index), findings) for index, item in enumerate(value)]


@dataclass(frozen=True)
class Pair(Node):
    """A list of two entries of different kinds."""

    meaning: str
    first: Node
    second: Node

    def problem(self, value: Any) -> Problem | None:
        fits = isinstance(value, list) and len(value) == 2
        return None if fits else (f"{self.meaning} are a list of two.", _as_list(value))

    def parts(self, value: Any, path: str, findings: list[Finding]) -> Any:
        return [node.read(item, child(path, index), findings)
                for index, (node, item) in enumerate(zip((self.first, self.second), value))]


@dataclass(frozen=True)
class Scopes(Node):
    """A scope pattern or a list of them: a full name, or ``{re}`` and a regular expression that is searched for."""

    targets: bool = False

    def problem(self, value: Any) -> Problem | None:
        if not isinstance(value, (str, list)):
            return "Scopes are a text or a list of texts.", _as_list(value)
        if self.targets and not value:
            return ("With no target scope nothing is compressed.",
                    "Remove the key to compress every layer, or name layers.")
        return None

    def parts(self, value: Any, path: str, findings: list[Finding]) -> Any:
        single = isinstance(value, str)
        items = [value] if single else value
        for index, pattern in enumerate(items):
            problem = pattern_problem(pattern)
            if problem:
                findings.append(Finding(path if single else child(path, index), pattern, *problem))
        return value if single else list(value)


@dataclass(frozen=True)
class PerScope(Node):
    """A dict from scope patterns to entries of one kind."""

    item: Node

    def problem(self, value: Any) -> Problem | None:
        return None if isinstance(value, dict) else ("It is a dict from scope patterns to settings.",
                                                     "Write such as {'{re}.*bbox_head.*': {...}}.")

    def parts(self, value: Any, path: str, findings: list[Finding]) -> Any:
        for pattern in value:
            problem = pattern_problem(pattern)
            if problem:
                findings.append(Finding(path, pattern, *problem))
        return {pattern: self.item.read(item, child(path, pattern), findings) for pattern, item in value.items()}


@dataclass(frozen=True)
class OneOrMany(Node):
    """An entry of one kind, or a list of entries of another."""

    one: Node
    many: Node

    def read(self, value: Any, path: str, findings: list[Finding]) -> Any:
        if not isinstance(value, (list, tuple)):
            return self.one.read(value, path, findings)
        return ListOf("It", self.many).read(value, path, findings)


@dataclass(frozen=True)
class Section(Node):
    """A dict with known keys.

    Attributes:
        keys: The keys NNCF 2.0.0 reads.
        others: What to say of keys that other versions of NNCF read at this place.
        required: Keys that must be there.
        unread: What NNCF 2.0.0 does with a key that it does not know here.
    """

    keys: Mapping[str, Node]
    others: Mapping[str, Problem] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    unread: str = "NNCF 2.0.0 has no such key here."

    def problem(self, value: Any) -> Problem | None:
        return None if isinstance(value, dict) else ("It is a dict.", f"Write a dict with {', '.join(self.keys)}.")

    def parts(self, value: Any, path: str, findings: list[Finding]) -> Any:
        clean: dict[str, Any] = {}
        for key, item in value.items():
            place = child(path, key)
            if isinstance(key, str) and key in self.keys:
                clean[key] = self.keys[key].read(item, place, findings)
                continue
            rule, deeper = self.unread, [name for name, node in self.keys.items()
                                         if isinstance(node, Section) and key in node.keys]
            if key in self.others:
                rule, replacement = self.others[key]
            elif deeper:
                replacement = f"Move it into {child(path, deeper[0])}."
            else:
                replacement = did_you_mean(str(key), self.keys, f"Remove it; known here are {', '.join(self.keys)}.")
            findings.append(Finding(place, item, rule, replacement))
        for key in self.required:
            if key not in value:
                findings.append(Finding(child(path, key), ABSENT, "It must be there.", f"Add {key}."))
        return clean


def pattern_problem(pattern: Any) -> Problem | None:
    """Return rule and replacement where a scope pattern can match nothing or is not a regular expression."""
    if not isinstance(pattern, str) or not pattern.replace(REGEX_MARK, "").strip():
        return "A scope is a text that names layers.", "Write a layer's name, or {re} and a regular expression."
    if REGEX_MARK in pattern:
        try:
            re.compile(pattern.replace(REGEX_MARK, ""))
        except re.error as error:
            return (f"What follows {REGEX_MARK} must be a regular expression, and this is not one: {error}.",
                    "Correct it; brackets of a name are escaped, as in BasicBlock\\[0\\].")
        except (OverflowError, RecursionError) as error:
            return f"Python cannot compile this regular expression: {error}.", "Write a simpler one."
        problem = cost_problem(pattern.replace(REGEX_MARK, ""))
        if problem:
            return f"{problem}.", "Write a simpler expression, or several patterns in its place."
    elif any(sign in pattern for sign in _REGEX_SIGNS):
        return ("Without {re} NNCF compares whole names, and no name holds such signs.",
                f"Write {REGEX_MARK + pattern!r}.")
    return None


def _as_list(value: Any) -> str:
    return f"Write {bounded_repr(list(value))}." if isinstance(value, tuple) else "Write a list in square brackets."
