"""``labels.txt``: the class names, one a line, in the order of the labels."""

from collections.abc import Sequence
from pathlib import Path

from core.base.errors import UserError
from core.base.foreign_file import read_foreign
from core.base.text import shown

LABELS_FILE = "labels.txt"
_MOST_BYTES = 16 << 20
COPY_AGAIN = "Copy the bundle again from where it was published."


def write_labels(folder: Path, classes: Sequence[str]) -> None:
    """Write ``labels.txt`` in UTF-8; a line break within a name becomes a space."""
    text = "".join(f"{one_line(name)}\n" for name in classes)
    (Path(folder) / LABELS_FILE).write_bytes(text.encode("utf-8"))


def read_labels(folder: Path) -> tuple[str, ...]:
    """Return the lines of ``labels.txt``; raise UserError where it is missing or is not text."""
    path = Path(folder) / LABELS_FILE
    try:
        return tuple(read_foreign(path, "bundle file", _MOST_BYTES, COPY_AGAIN).decode("utf-8").split("\n")[:-1])
    except UnicodeDecodeError as error:
        raise UserError("bundle file", path, f"It cannot be read ({shown(error)}).",
                        COPY_AGAIN) from error


def one_line(name: str) -> str:
    """Return a class name as it stands in ``labels.txt``."""
    return " ".join(name.splitlines())
