"""The functions and methods that a config's text may call: Python's own, on plain data, bounded, without effects.

Every function takes a :class:`~core.config.cost.Bill` first and pays for what it is about to make. A set is a list of
its distinct elements in their order, so that reading a config gives the same values in every process. Wrong arguments
raise what Python raises.
"""

import re
import string
from collections.abc import Callable
from typing import Any

from core.config.cost import Bill

MAX_DIGITS = 64
MAX_DISTINCT = 2_000
_FORMAT = re.compile(r"(.?[<>=^])?[-+ ]?#?0?\d{0,3}[,_]?(\.\d{1,2})?[a-zA-Z%]?", re.DOTALL)
_PERCENT = re.compile(r"%(?:%|(?:\(\w+\))?[-+ 0#]*(\d{0,3})(?:\.(\d{1,2}))?[sdifgeEGxXr])")
_LONGEST_FLOAT = 320
_NOT_GIVEN = object()


def items_of(bill: Bill, value: Any) -> list[Any]:
    """Return what iterating over ``value`` yields, as a new list."""
    if not isinstance(value, (list, tuple, str, dict)):
        raise TypeError(f"a {type(value).__name__} is not iterable")
    bill.copy(len(value))
    return list(value)


def formatted(bill: Bill, value: Any, conversion: str | None = None, spec: str = "") -> str:
    """Return ``format(value, spec)`` after ``!r``, ``!s`` or ``!a``; widths have at most three digits."""
    bill.weigh(value)
    if not _FORMAT.fullmatch(spec):
        raise ValueError(f"the format {spec[:20]!r} is not read")
    if conversion:
        value = {"r": repr, "s": str, "a": ascii}[conversion](value)
    text = format(value, spec)
    bill.copy(len(text))
    return text


def percent(bill: Bill, template: str, values: Any) -> str:
    """Return ``template % values``."""
    bill.weigh(values)
    found = list(_PERCENT.finditer(template))
    if sum(match.group().count("%") for match in found) != template.count("%"):
        raise ValueError("a format after % that is not read")
    bill.copy(len(template) + sum(int(match[1] or 0) + int(match[2] or 0) + _LONGEST_FLOAT * bool(match[2])
                                  for match in found))
    text = template % values
    bill.copy(len(text))
    return text


def distinct(bill: Bill, values: list[Any]) -> list[Any]:
    """Return the distinct ones of hashable ``values``, in order; few enough that colliding hashes cost little."""
    if len(values) > MAX_DISTINCT:
        raise ValueError(f"a set is made of at most {MAX_DISTINCT} values")
    bill.weigh(values)
    return list(dict.fromkeys(values))


def text_key(key: Any) -> str:
    """Return ``key``, or raise TypeError where it is not text."""
    if type(key) is not str:
        raise TypeError("every key of a config is text")
    return key


def _dict(bill: Bill, /, *given: Any, **named: Any) -> dict[str, Any]:
    result: dict[str, Any] = {}
    _update(bill, result, *given, **named)
    return result


def _update(bill: Bill, target: dict[str, Any], /, *given: Any, **named: Any) -> None:
    if len(given) > 1:
        raise TypeError(f"at most one positional argument is taken, {len(given)} are given")
    for source in given:
        pairs = source.items() if isinstance(source, dict) else [items_of(bill, pair)
                                                                 for pair in items_of(bill, source)]
        bill.copy(len(pairs))
        for key, value in list(pairs):
            target[text_key(key)] = value
    bill.copy(len(named))
    target.update(named)


def _paying(size: Callable[..., int], function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` as one that first pays for a copy of ``size`` of its arguments."""
    def paying(bill: Bill, *given: Any) -> Any:
        bill.copy(size(*given))
        return function(*given)

    return paying


def _number(make: Callable[[Any], Any]) -> Callable[..., Any]:
    def convert(bill: Bill, value: Any = 0) -> Any:
        if isinstance(value, str) and len(value) > MAX_DIGITS:
            raise ValueError(f"a number is written with at most {MAX_DIGITS} characters")
        return make(value)

    return convert


def _round(bill: Bill, number: float, digits: int | None = None) -> Any:
    if digits is not None and abs(digits) > MAX_DIGITS:
        raise ValueError(f"at most {MAX_DIGITS} digits are rounded to")
    return round(number, digits)


def _extreme(choose: Callable[..., Any]) -> Callable[..., Any]:
    def of(bill: Bill, *values: Any) -> Any:
        found = items_of(bill, values[0]) if len(values) == 1 else list(values)
        bill.weigh(found)
        return choose(found)

    return of


def _sum(bill: Bill, values: Any, start: float = 0) -> Any:
    found = items_of(bill, values)
    if not all(isinstance(value, (int, float)) for value in [start, *found]):
        raise TypeError("sum takes numbers here")
    return sum(found, start)


def _sorted(bill: Bill, values: Any, *, reverse: bool = False) -> list[Any]:
    found = items_of(bill, values)
    bill.weigh(found)
    return sorted(found, reverse=bool(reverse))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": lambda bill, value: abs(value),
    "all": lambda bill, values: all(items_of(bill, values)),
    "any": lambda bill, values: any(items_of(bill, values)),
    "bool": lambda bill, value=False: bool(value),
    "dict": _dict,
    "enumerate": lambda bill, values, start=0: list(enumerate(items_of(bill, values), start)),
    "float": _number(float),
    "frozenset": lambda bill, values=(): distinct(bill, items_of(bill, values)),
    "int": _number(int),
    "len": lambda bill, value: len(value),
    "list": lambda bill, values=(): items_of(bill, values),
    "max": _extreme(max),
    "min": _extreme(min),
    # mmcv's dump of a config writes an OrderedDict so, without an import.
    "OrderedDict": _dict,
    "range": _paying(lambda *bounds: len(range(*bounds)), lambda *bounds: list(range(*bounds))),
    "reversed": lambda bill, values: items_of(bill, values)[::-1],
    "round": _round,
    "set": lambda bill, values=(): distinct(bill, items_of(bill, values)),
    "sorted": _sorted,
    "str": lambda bill, value="": formatted(bill, value, "s"),
    "sum": _sum,
    "tuple": lambda bill, values=(): tuple(items_of(bill, values)),
    "zip": lambda bill, *values: list(zip(*[items_of(bill, value) for value in values])),
}


def _format(bill: Bill, template: str, /, *values: Any, **named: Any) -> str:
    parts, automatic = [], iter(values)
    for literal, field, spec, conversion in string.Formatter().parse(template):
        parts.append(literal)
        if field is None:
            continue
        if field and not field.isidentifier() and not re.fullmatch(r"\d{1,4}", field):
            raise ValueError("only a plain name or number stands in braces")
        if field == "":
            value = next(automatic, _NOT_GIVEN)
        else:
            value = named[field] if field.isidentifier() else values[int(field)]
        if value is _NOT_GIVEN:
            raise IndexError("more braces than values")
        parts.append(formatted(bill, value, conversion, spec or ""))
    bill.copy(sum(map(len, parts)))
    return "".join(parts)


def _shifting(name: str) -> Callable[..., Any]:
    """Return a method of list that moves or compares its items."""
    def call(bill: Bill, values: list[Any], *given: Any, **named: Any) -> Any:
        bill.copy(len(values))
        bill.weigh([values, *given])
        return getattr(type(values), name)(values, *given, **named)

    return call


METHODS: dict[type, dict[str, Callable[..., Any]]] = {
    dict: {
        "clear": lambda bill, target: target.clear(),
        "copy": lambda bill, target: _dict(bill, target),
        "get": lambda bill, target, key, default=None: target.get(text_key(key), default),
        "items": lambda bill, target: [(key, target[key]) for key in items_of(bill, target)],
        "keys": items_of,
        "pop": lambda bill, target, key, *default: target.pop(text_key(key), *default),
        "setdefault": lambda bill, target, key, default=None: target.setdefault(text_key(key), default),
        "update": _update,
        "values": lambda bill, target: [target[key] for key in items_of(bill, target)],
    },
    list: {
        "append": lambda bill, values, value: values.append(value),
        "clear": lambda bill, values: values.clear(),
        "copy": items_of,
        "count": _shifting("count"),
        "extend": lambda bill, values, more: values.extend(items_of(bill, more)),
        "index": _shifting("index"),
        "insert": _paying(lambda values, *given: len(values), list.insert),
        "pop": _paying(lambda values, index=-1: 0 if index == -1 else len(values), list.pop),
        "remove": _shifting("remove"),
        "reverse": _shifting("reverse"),
        "sort": _shifting("sort"),
    },
    tuple: {"count": _shifting("count"), "index": _shifting("index")},
    str: {
        **{name: _paying(lambda text, *given: len(text), getattr(str, name)) for name in (
            "capitalize", "count", "endswith", "find", "isdigit", "lower", "lstrip", "rsplit", "rstrip", "split",
            "splitlines", "startswith", "strip", "title", "upper")},
        "format": _format,
        "join": _paying(lambda text, values: sum(map(len, values)) + (len(text) + 1) * len(values), str.join),
        "replace": _paying(lambda text, old, new, *count: len(text) + text.count(old) * len(new), str.replace),
    },
}
