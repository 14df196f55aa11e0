"""Digests of configs and files, and configs as text that is read back as data."""

import ast
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.digest import sha256_file
from core.base.errors import UserError
from core.config.keys import check_top_level
from core.config.mmcv_import import import_mmcv
from core.config.plain_data import plain_data
from core.config.python_text import check_size, parse_python

if TYPE_CHECKING:
    from mmcv import Config

# Where a run writes is no part of what it computes.
LOCATION_KEYS = ("work_dir", "log_dir")


def config_digest(cfg: "Config") -> str:
    """Return the sha256 hex digest of a resolved config, whatever the order of its keys and its log folders.

    ``work_dir`` and ``log_dir`` are left out at the top and in ``nncf_config``; tuples count as lists.
    """
    data = plain_data(dict(cfg.items()), "config")
    for part in (data, data.get("nncf_config")):
        for key in LOCATION_KEYS if isinstance(part, dict) else ():
            part.pop(key, None)
    return json_digest(data)


def json_digest(obj: Any) -> str:
    """Return the sha256 hex digest of the canonical JSON (sorted keys, no spaces, ASCII) of plain data.

    Raises:
        UserError: ``obj`` holds what JSON cannot.
    """
    text = json.dumps(plain_data(obj, "value to digest"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def file_digest(path: str | Path) -> str:
    """Return the sha256 hex digest of a file's bytes; raise UserError where there is no such file."""
    try:
        return sha256_file(Path(path))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError("file", path, "It must exist to be digested.", "Check the path.") from error


def config_to_text(cfg: "Config | Mapping[str, Any]") -> str:
    """Return a config as one Python literal, a top-level key a line; tuples stay tuples.

    Raises:
        UserError: The config holds something else than data, or is longer than 1 MiB.
    """
    data = plain_data(dict(cfg.items()), "config")
    text = "{\n" + "".join(f"{key!r}: {_literal(value)},\n" for key, value in data.items()) + "}\n"
    check_size(text, "config")
    return text


def config_from_text(text: str) -> "Config":
    """Return the mmcv Config that :func:`config_to_text` wrote; the text is parsed, never run.

    Raises:
        UserError: Anything but one literal dict within the bounds of a config.
    """
    import_mmcv()
    from mmcv import Config

    return Config(data_from_text(text))


def data_from_text(text: str) -> dict[str, Any]:
    """Return the plain data of :func:`config_from_text`, without mmcv."""
    thing = "stored config"
    try:
        value = plain_data(ast.literal_eval(parse_python(text, thing, mode="eval")), thing)
    except (ValueError, TypeError) as error:
        raise UserError(thing, "more than literals", "A stored config is one literal dict, never code.",
                        "Use a checkpoint that this program wrote.") from error
    if not isinstance(value, dict):
        raise UserError(thing, f"a {type(value).__name__}", "A stored config is one literal dict.",
                        "Use a checkpoint that this program wrote.")
    check_top_level(value, thing)
    return value


def _literal(value: Any) -> str:
    """Return plain data as a Python literal; repr writes infinity as a name."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, tuple):
        return "(" + "".join(_literal(item) + ", " for item in value) + ")"
    return repr(value).replace("inf", "1e999") if isinstance(value, float) else repr(value)
