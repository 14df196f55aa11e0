"""Changes to a config from the command line: mmdet's ``--cfg-options``, checked against the config."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.base.errors import UserError
from core.base.suggest import did_you_mean, nearest
from core.base.text import bounded_repr
from core.config.data_only import data_from_json
from core.config.keys import KNOWN_KEYS, TYPO_RATIO
from core.config.merging import DELETE_KEY
from core.config.plain_data import dotted, plain_data

THING = "--cfg-options"
_KEY = re.compile(r"[^\s.=]+(\.[^\s.=]+)*")
CLOSING = {"(": ")", "[": "]"}
QUOTES = ("'", '"')
MAX_NESTING = 16
# Arguments of which mmcv 1.7 or mmdet 2.28 asks whether they are floats.
_FLOATS = frozenset((
    "alphastd", "base_momentum", "basesize_ratio_range", "bg_cls_weight", "bias_prob", "class_weight",
    "distance_threshold", "flip_ratio", "ioa_thr", "iou_thr", "iou_thrs", "loss_scale", "max_momentum",
    "max_shear_magnitude", "neg_iou_thr", "normalizer", "pct_start", "scale_factor", "target_ratio"))


def parse_options(items: str | Sequence[str]) -> dict[str, Any]:
    """Return the options that ``items`` write, keyed by dotted path.

    Args:
        items: Texts ``key=value``, or one JSON object. A value is an int, a float, true/false, None, text, a list
            ``[a,b]`` or ``a,b``, a tuple ``(a,b)``, nested, or a JSON object. As with mmdet, quotes around a value
            are dropped and what is inside is read; a JSON object keeps text such as "1" as it is.

    Raises:
        UserError: Malformed text, a key given twice, a number that is not finite.
    """
    items = [items] if isinstance(items, str) else list(items)
    if len(items) == 1 and items[0].lstrip().startswith("{"):
        options = data_from_json(items[0], THING)
        for key in options:
            _check_key(key)
        return options
    options = {}
    for item in items:
        key, equals, text = item.partition("=")
        key = key.strip()
        if not equals:
            raise UserError(THING, bounded_repr(item, 80), "An option is written key=value.",
                            "Put `=` and a value after it.")
        _check_key(key)
        if key in options:
            raise UserError(THING, f"the key {key} is given twice", "A key is given once.", "Remove one of them.")
        options[key] = plain_data(_Value(text, key).whole(), f"{THING}, {key}")
    return options


def _check_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise UserError(THING, f"the key {bounded_repr(key, 80)}", "A key is names joined by dots.",
                        "Write it such as data.samples_per_gpu.")


class _Value:
    """Reads the text of one option's value; the grammar is that of mmcv's DictAction, made strict."""

    def __init__(self, text: str, key: str) -> None:
        self._text, self._key, self._at = text.strip(), key, 0

    def whole(self) -> Any:
        """Return the value of the whole text; commas outside brackets make it a list."""
        text = self._text
        if text[:1] in QUOTES and text.find(text[0], 1) == len(text) - 1:
            return _Value(text[1:-1], self._key).whole()
        if text.startswith('{"') or text == "{}":
            return data_from_json(text, f"{THING}, {self._key}")
        if not text:
            return ""
        items, commas = self._items(end="", depth=0)
        return items if commas else items[0]

    def _items(self, end: str, depth: int) -> tuple[list[Any], int]:
        """Return the items up to the bracket ``end``, or the end of the text where it is empty, and their commas."""
        if depth > MAX_NESTING:
            raise self._malformed(f"brackets deeper than {MAX_NESTING}")
        items: list[Any] = []
        commas = 0
        while self._peek() != end:
            items.append(self._item(depth))
            if self._peek() == ",":
                self._at += 1
                commas += 1
            elif self._peek() != end:
                raise self._malformed(f"`{end}` is missing" if end else f"`{self._peek()}` follows a complete value")
        self._at += len(end)
        return items, commas

    def _item(self, depth: int) -> Any:
        character = self._peek()
        if character in CLOSING:
            self._at += 1
            items, _ = self._items(CLOSING[character], depth + 1)
            return tuple(items) if character == "(" else items
        if character in QUOTES:
            end = self._text.find(character, self._at + 1)
            if end < 0:
                raise self._malformed(f"`{character}` is missing")
            text, self._at = self._text[self._at + 1:end], end + 1
            return _scalar(text)
        return _scalar(self._bare())

    def _bare(self) -> str:
        """Return text up to the next comma or closing bracket; brackets within the text, as in a pattern, pair up."""
        start, expected = self._at, []
        for character in self._text[start:]:
            if character in CLOSING:
                expected.append(CLOSING[character])
            elif expected and character == expected[-1]:
                expected.pop()
            elif not expected and character in ",)]":
                break
            self._at += 1
        text = self._text[start:self._at].strip()
        if not text:
            raise self._malformed("an item is missing")
        if expected:
            raise self._malformed(f"`{expected[-1]}` is missing")
        return text

    def _peek(self) -> str:
        while self._text[self._at:self._at + 1].isspace():
            self._at += 1
        return self._text[self._at:self._at + 1]

    def _malformed(self, problem: str) -> UserError:
        return UserError(f"{THING}, {self._key}", f"{bounded_repr(self._text, 80)}: {problem}",
                         "A value is a number, text, [a,b], (a,b) or a JSON object.",
                         "Correct it; text with single brackets or commas goes into a JSON object.")


def _scalar(text: str) -> Any:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), None if text == "None" else text)


def apply_options(config: Mapping[str, Any], options: Mapping[str, Any], thing: str) -> dict[str, Any]:
    """Return ``config`` with ``options`` merged in as mmcv's ``Config.merge_from_dict`` does.

    Paths go through dicts and, by index, through lists. A list becomes a tuple where the config has a tuple, and a
    whole float an int where it has an int: JSON has no tuples and KFP's parameters no ints.

    Args:
        config: Plain data of a resolved config; not changed.

    Raises:
        UserError: A path that is not in the config (a last key that is new in an existing dict passes unless it
            looks like a misspelt one; at the top only mmdet's own keys pass), paths that contradict each other, a
            dict for something that is none.
    """
    options = plain_data(dict(options), THING)
    root: dict[str, Any] = _Path()
    for key, value in options.items():
        _check_key(key)
        node, parts = root, key.split(".")
        for part in parts[:-1]:
            node = node.setdefault(part, _Path())
            if not isinstance(node, _Path):
                raise _contradiction(key)
        if parts[-1] in node:
            raise _contradiction(key)
        node[parts[-1]] = value
    return _Merger(thing).merge(root, config, ())


class _Path(dict):
    """A dict that a dotted key stands for, unlike one given as a value."""


def _contradiction(key: str) -> UserError:
    return UserError(THING, key, "Another option sets the same key or a part of it.", "Join them into one.")


@dataclass(frozen=True)
class _Merger:
    thing: str

    def merge(self, changes: Mapping[str, Any], node: Any, path: tuple[str, ...]) -> Any:
        merged = list(node) if isinstance(node, list) else dict(node)
        for key, value in changes.items():
            where = path + (key,)
            if isinstance(node, list):
                if not (key.isascii() and key.isdigit() and int(key) < len(node)):
                    raise UserError(THING, dotted(where), f"In {self.thing} that is a list of {len(node)} items.",
                                    f"Use an index from 0 to {len(node) - 1}, or give the whole list.")
                index = int(key)
                merged[index] = self._item(value, node[index], where)
            elif key in node and (path or key in KNOWN_KEYS):
                merged[key] = self._item(value, node[key], where)
            else:
                self._check_new(key, value, node, where)
                merged[key] = _as_new(value, key)
        return merged

    def _item(self, value: Any, existing: Any, path: tuple[str, ...]) -> Any:
        if not isinstance(value, dict):
            return _like(value, existing)
        if value.get(DELETE_KEY, False):
            return _as_new(value, path[-1])
        if isinstance(existing, (dict, list)):
            return self.merge({key: item for key, item in value.items() if key != DELETE_KEY}, existing, path)
        hint = "Give the whole tuple." if isinstance(existing, tuple) else (
            f'Give the whole dict as a JSON object that holds "{DELETE_KEY}": true.')
        raise UserError(THING, dotted(path),
                        f"In {self.thing} it is {bounded_repr(existing, 60)}, no dict to merge into.", hint)

    def _check_new(self, key: str, value: Any, node: Mapping[str, Any], path: tuple[str, ...]) -> None:
        if len(path) == 1 and key not in KNOWN_KEYS:
            if key in node:
                raise UserError(THING, key, f"In {self.thing} it is a variable; its value is already copied to where "
                                "the file uses it.", "Set that place, such as data.train.pipeline.2.img_scale.")
            raise UserError(THING, f"unknown key {key}", "New top-level keys are those of mmdet only.",
                            did_you_mean(key, KNOWN_KEYS + tuple(node), "Set a key that the config has."))
        if isinstance(value, _Path):
            raise UserError(THING, dotted(path), f"{self.thing} has nothing there.",
                            did_you_mean(key, node, f"Give {dotted(path)} a whole dict as a JSON object."))
        meant = nearest(key, node, TYPO_RATIO)
        if meant:
            raise UserError(THING, f"unknown key {dotted(path)}", f"{self.thing} has `{meant}` beside it.",
                            f"Did you mean `{meant}`? If not, write the new key into the config file.")


def _as_new(value: Any, key: str) -> Any:
    """Return a value that replaces nothing: without ``_delete_``, and whole floats as ints but where they must not be.

    KFP turns every number within a parameter's dict into a float, and MMDetection's step=[8.0, 11.0] is an error.
    """
    if isinstance(value, dict):
        return {name: _as_new(item, name) for name, item in value.items() if name != DELETE_KEY}
    if isinstance(value, (list, tuple)):
        return type(value)(_as_new(item, key) for item in value)
    return int(value) if type(value) is float and value.is_integer() and key not in _FLOATS else value


def _like(value: Any, existing: Any) -> Any:
    """Return ``value`` with tuples and ints where ``existing`` has them and ``value`` has lists and whole floats."""
    if type(existing) is int and type(value) is float and value.is_integer():
        return int(value)
    if not isinstance(value, (list, tuple)) or not isinstance(existing, (list, tuple)) or not existing:
        return value
    first = existing[0]
    several = bool(value) and all(isinstance(item, (list, tuple)) for item in value)
    if isinstance(existing, tuple) and several and not isinstance(first, (list, tuple)):
        # One scale, (1333, 800), replaced by several: mmdet wants a list of tuples.
        return [_like(item, existing) for item in value]
    items = [_like(item, first) for item in value]
    return tuple(items) if isinstance(existing, tuple) or isinstance(value, tuple) else items
