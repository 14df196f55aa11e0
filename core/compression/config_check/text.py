"""An nncf_config as one writes it in a file, ready to paste."""

import difflib
import json
from collections.abc import Mapping
from typing import Any

_INDENT = 4


def as_text(nncf_config: Mapping[str, Any], suffix: str) -> str:
    """Return an nncf_config in the language of files with this suffix: .json, .yaml, .yml, else Python."""
    if suffix == ".json":
        return json.dumps(nncf_config, indent=_INDENT, ensure_ascii=False) + "\n"
    if suffix in (".yaml", ".yml"):
        import yaml

        return yaml.safe_dump(nncf_config, sort_keys=False, allow_unicode=True)
    return f"nncf_config = {_python(nncf_config, 0)}\n"


def as_diff(before: Mapping[str, Any], after: Mapping[str, Any], suffix: str) -> str:
    """Return a unified diff of two nncf_configs."""
    texts = [as_text(config, suffix).splitlines(keepends=True) for config in (before, after)]
    return "".join(difflib.unified_diff(*texts, fromfile="nncf_config", tofile="nncf_config, migrated"))


def _python(value: Any, indent: int) -> str:
    if isinstance(value, Mapping) and value:
        named = all(isinstance(key, str) and key.isidentifier() for key in value)
        items = [f"{key if named else repr(key)}{'=' if named else ': '}{_python(item, indent + _INDENT)}"
                 for key, item in value.items()]
        return _block("dict(" if named else "{", items, ")" if named else "}", indent)
    if isinstance(value, list) and any(isinstance(item, (Mapping, str)) for item in value):
        return _block("[", [_python(item, indent + _INDENT) for item in value], "]", indent)
    return "dict()" if isinstance(value, Mapping) else repr(value)


def _block(opening: str, items: list[str], closing: str, indent: int) -> str:
    inner = " " * (indent + _INDENT)
    return "\n".join([opening, *(f"{inner}{item}," for item in items), " " * indent + closing])
