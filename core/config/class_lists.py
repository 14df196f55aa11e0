"""Class names that a config keeps in a text file: ``classes='classes.txt'`` (mmdet 2.28, CustomDataset.get_classes)."""

import os
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.foreign_file import open_regular
from core.base.text import bounded_repr, shown

SUFFIX = ".txt"
MAX_BYTES = 1 << 20
_RULE = "A text as `classes` names a file with one class a line, as in MMDetection."


def with_class_lists(section: Any, config: Path, root: Path | None) -> Any:
    """Return a config's ``data`` section with the names that a file lists in place of the file's name.

    Args:
        config: The config's file. A name is looked up from the current folder, as MMDetection does, then from the
            config's.
        root: Lists are read within this folder only, and not from the current one; None reads them anywhere.

    Raises:
        UserError: There is no such file, or it is no list of names.
    """
    if isinstance(section, (list, tuple)):
        return type(section)(with_class_lists(item, config, root) for item in section)
    if not isinstance(section, dict):
        return section
    read = {key: with_class_lists(value, config, root) for key, value in section.items()}
    # Only of a data set: a step of a pipeline may have classes of its own.
    if isinstance(read.get("classes"), str) and ("pipeline" in read or "ann_file" in read):
        read["classes"] = class_list(read["classes"], config, root)
    return read


def class_list(name: str, config: Path, root: Path | None) -> tuple[str, ...]:
    """Return the names in the file ``name``, one a line; arguments and errors as :func:`with_class_lists`."""
    thing = "config, data, classes"
    folders = [config.parent] if root else [Path.cwd(), config.parent]
    places = [folder / os.path.expanduser(name) for folder in folders] if "\0" not in name else []
    if root:
        inside = Path(os.path.realpath(root))
        places = [place for place in places if inside in Path(os.path.realpath(place)).parents]
    file = next((place for place in places if os.path.isfile(place)), None)
    if file is None:
        raise UserError(thing, f"{bounded_repr(name)}, and there is no such file", _RULE,
                        f"Correct the path, or write one class as ({bounded_repr(name, 60)},).")
    try:
        with open_regular(file) as stream:
            content = stream.read(MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(thing, f"{bounded_repr(name)}: {shown(error)}", _RULE,
                        "Save the list as UTF-8 text.") from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(content) > MAX_BYTES or not names or "\0" in text:
        problem = f"more than {MAX_BYTES} bytes" if len(content) > MAX_BYTES else "no list of names"
        raise UserError(thing, f"{bounded_repr(name)}: {problem}", _RULE, "Check that it is the right file.")
    return names
