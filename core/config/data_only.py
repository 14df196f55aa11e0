"""MMDetection config files read as data: Python text, JSON and YAML, never executed."""

import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.foreign_file import not_text, open_regular
from core.base.json_file import json_value
from core.base.text import bounded_repr, shown
from core.config.cost import Cost
from core.config.expressions import BASE_KEY, base_value
from core.config.merging import merge
from core.config.plain_data import MAX_DEPTH, plain_data
from core.config.python_text import MAX_NUMBER_LENGTH, MAX_TEXT_BYTES, MAX_TOKENS, check_size, too_many_tokens
from core.config.statements import Statements

SUFFIXES = (".py", ".json", ".yaml", ".yml")
MAX_FILES = 64
MAX_BASE_DEPTH = 16
_DEPRECATION_KEY = "_deprecation_"
_BASE_REFERENCE = re.compile(r"\{\{\s*_base_\.([\w.]+)\s*\}\}")
_LONG_NUMBER = re.compile(r"[-+0-9_:.eE]{" + str(MAX_NUMBER_LENGTH + 1) + ",}")


def read_config(path: Path, root: Path | None = None) -> dict[str, Any]:
    """Return the values of a config file merged with its bases as mmcv would.

    Args:
        path: A .py, .json, .yaml or .yml file of at most 1 MiB.
        root: Bases are read only within this folder, symbolic links resolved; None reads them anywhere, as is right for
            a file of this machine's user.

    Raises:
        NotData: The file, or a base, needs to run as Python.
        UserError: Absent, unreadable, malformed or oversized text; bases that clash, recur, lie
            outside ``root`` or cannot be merged.
    """
    return plain_data(_Files(root).read(path), f"config {path}")


def config_files(path: Path) -> tuple[Path, ...]:
    """Return a config's file and those of its bases, symbolic links resolved; errors as :func:`read_config`."""
    files = _Files(None)
    files.read(path)
    return tuple(files.done)


def data_from_json(text: str, thing: str) -> Any:
    """Return the value of JSON text; integers are bounded, no number is NaN.

    Raises:
        UserError: Not JSON, a number out of bounds, or nested too deeply.
    """
    check_size(text, thing)
    try:
        # Infinities mean "no limit" in a config; plain_data looks at every number.
        return plain_data(json_value(text, any_number=True), thing)
    except ValueError as error:
        raise UserError(thing, str(error), "The text must be valid JSON.", "Correct it.") from error


def data_from_yaml(text: str, thing: str) -> Any:
    """Return the value of YAML text as ``yaml.safe_load`` reads it, without anchors.

    Raises:
        UserError: Not YAML, a tag for anything but data, an alias, or nested too deeply.
    """
    import yaml

    check_size(text, thing)
    try:
        _check_yaml_events(yaml.parse(text, Loader=yaml.SafeLoader), thing)
        return plain_data(yaml.safe_load(text), thing)
    except (yaml.YAMLError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise UserError(thing, problem, "The text must be valid YAML of plain data.", "Correct it.") from error


def _check_yaml_events(events: Any, thing: str) -> None:
    depth = 0
    for count, event in enumerate(events):
        kind = type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        where = f"{thing}, line {event.start_mark.line + 1}"
        if count >= MAX_TOKENS:
            raise too_many_tokens(where)
        # The stream and the document count as two levels.
        if depth > MAX_DEPTH + 2:
            raise UserError(where, "nested too deeply", f"At most {MAX_DEPTH} levels are read.", "Flatten it.")
        if kind == "AliasEvent":
            raise UserError(where, f"the alias *{event.anchor}", "Aliases are refused: they can grow without bound.",
                            f"Write the value out, or inherit it through `{BASE_KEY}`.")
        if kind == "ScalarEvent" and _LONG_NUMBER.fullmatch(event.value):
            raise UserError(where, f"a number of {len(event.value)} characters",
                            f"A number is written with at most {MAX_NUMBER_LENGTH} characters.", "Shorten it.")


def read_text(path: Path, thing: str) -> str:
    """Return a regular file's UTF-8 text of at most 1 MiB, or raise UserError."""
    try:
        with open_regular(path) as stream:
            content = stream.read(MAX_TEXT_BYTES + 1)
    except (OSError, ValueError) as error:
        problem = "no such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", shown(error))
        raise UserError(thing, problem, "A config is a regular file that can be read.",
                        "Check its path and rights.") from error
    if wrong := not_text(content):
        raise UserError(thing, f"it is {wrong}", f"A config is UTF-8 text of at most {MAX_TEXT_BYTES} bytes.",
                        "Check that it is the right file.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = "cut within a character" if len(content) > MAX_TEXT_BYTES else shown(error)
        raise UserError(thing, problem, f"A config is UTF-8 text of at most {MAX_TEXT_BYTES} bytes.",
                        "Save it as UTF-8.") from error
    if "\0" in text:
        raise UserError(thing, "holds a NUL character", "A config is text.", "Check that it is the right file.")
    check_size(text, thing)
    return text


class _Files:
    """Reads one config and its bases, each file once."""

    def __init__(self, root: Path | None) -> None:
        self._root = root and Path(os.path.realpath(root))
        self.done: dict[Path, dict[str, Any]] = {}
        self._open: list[Path] = []
        self._cost = Cost()

    def read(self, path: Path) -> dict[str, Any]:
        real = Path(os.path.realpath(path))
        thing = f"config {path}"
        if real in self._open:
            raise UserError(thing, "inherits from itself", f"`{BASE_KEY}` must not lead back.",
                            f"Remove it from `{BASE_KEY}` in {self._open[-1].name}.")
        if len(self._open) > MAX_BASE_DEPTH or len(self.done) >= MAX_FILES:
            raise UserError(thing, f"more than {MAX_FILES} files or {MAX_BASE_DEPTH} levels of `{BASE_KEY}`",
                            "Inheritance is bounded.", "Use fewer bases.")
        if real not in self.done:
            self._open.append(real)
            self.done[real] = self._read_file(path, thing)
            self._open.pop()
        return self.done[real]

    def _read_file(self, path: Path, thing: str) -> dict[str, Any]:
        if path.suffix not in SUFFIXES:
            raise UserError(thing, f"the suffix {path.suffix or 'is missing'}",
                            f"A config file ends in {', '.join(SUFFIXES)}.", "Rename the file.")
        text = read_text(path, thing)
        loaded: dict[str, dict[str, Any]] = {}

        def base_values(bases: Any) -> dict[str, Any]:
            if "values" not in loaded:
                loaded["values"] = self._bases(bases, path, thing)
            return loaded["values"]

        expand = _predefined(path)
        if path.suffix == ".py":
            values = Statements(thing, base_values, expand, self._cost).run(text)
            values = {name: value for name, value in values.items() if not name.startswith("__")}
        else:
            values = _structured(text, path, thing, base_values, expand)
        values = plain_data(values, thing)
        values.pop(_DEPRECATION_KEY, None)
        if BASE_KEY not in values:
            return values
        return merge(values, base_values(values.pop(BASE_KEY)), thing)

    def _bases(self, names: Any, path: Path, thing: str) -> dict[str, Any]:
        names = names if isinstance(names, list) else [names]
        values: dict[str, Any] = {}
        for name in names:
            if not isinstance(name, str) or "\0" in name:
                raise UserError(f"{thing}, {BASE_KEY}", bounded_repr(name, 60), "It is one path or a list of paths.",
                                "Write paths relative to the file.")
            if "::" in name:
                raise UserError(f"{thing}, {BASE_KEY}", name, "mmcv 1.x knows no scopes such as `mmdet::`.",
                                "Write the path of the file, absolute or relative to this one.")
            file = Path(os.path.normpath(path.parent / name))
            if self._root and self._root not in Path(os.path.realpath(file)).parents:
                raise UserError(f"{thing}, {BASE_KEY}", name, "Bases of a config from storage are read within its "
                                f"prefix, {self._root}, only.", "Store the base below the same folder `configs`.")
            base = self.read(file)
            clash = sorted(base.keys() & values.keys())
            if clash:
                raise UserError(f"{thing}, {BASE_KEY}", f"`{clash[0]}` comes from {name} and from a base before it",
                                "Two bases must not set the same key.", "Drop one of them.")
            values.update(base)
        return values


def _predefined(path: Path) -> Callable[[str], str]:
    """Return a function that replaces mmcv's predefined variables of the file ``path`` in a text."""
    full = path.absolute()
    variables = {"fileDirname": str(full.parent), "fileBasename": full.name, "fileBasenameNoExtension": full.stem,
                 "fileExtname": full.suffix}
    pattern = re.compile(r"\{\{\s*(" + "|".join(variables) + r")\s*\}\}")
    return lambda text: pattern.sub(lambda match: variables[match.group(1)], text)


def _structured(text: str, path: Path, thing: str, base_values: Callable[[Any], dict[str, Any]],
                expand: Callable[[str], str]) -> dict[str, Any]:
    """Return the values of JSON or YAML text; base references stand in as texts that nobody can have guessed."""
    references: dict[str, tuple[str, ...]] = {}

    def stand_in(match: Any) -> str:
        token = f"base-{secrets.token_hex(16)}"
        references[token] = tuple(match.group(1).split("."))
        return f'"{token}"'

    read = data_from_json if path.suffix == ".json" else data_from_yaml
    values = read(_BASE_REFERENCE.sub(stand_in, text), thing)
    if not isinstance(values, dict):
        raise UserError(thing, f"a {type(values).__name__}", "A config is a mapping of keys to values.",
                        "Put the values under keys.")

    def settle(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: settle(item) for key, item in value.items()}
        if isinstance(value, list):
            return [settle(item) for item in value]
        if isinstance(value, str) and value in references:
            bases = base_values(values.get(BASE_KEY, []))
            return base_value(bases, list(references[value]), thing)
        return expand(value) if isinstance(value, str) else value

    return {key: value if key == BASE_KEY else settle(value) for key, value in values.items()}
