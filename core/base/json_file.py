"""JSON files that may come from anybody."""

import json
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.foreign_file import kind_of, read_foreign
from core.base.text import shown

MOST_BYTES = 64 << 20


def read_json(path: Path, thing: str, hint: str, most: int = MOST_BYTES) -> Any:
    """Return the value that a JSON file holds.

    Args:
        path: The file.
        thing: What it is, for messages.
        hint: What to do where it cannot be read, for messages.
        most: Bytes that it may have.

    Raises:
        UserError: There is none, it is no regular file or too large, or it is not JSON in UTF-8; says what it is.
    """
    content = read_foreign(path, thing, most)
    try:
        return json.loads(content.decode(json.detect_encoding(content)))
    except RecursionError as error:
        raise UserError(thing, f"{path} (nested too deeply)", "It must be JSON in UTF-8.", hint) from error
    except ValueError as error:
        kind = kind_of(content)
        problem = f"{shown(error)}; it is {kind}" if kind and kind != "JSON text" else shown(error)
        raise UserError(thing, f"{path} ({problem})", "It must be JSON in UTF-8.", hint) from error
