"""The digest of a data set, and hashes remembered so that an unchanged folder is not read again.

The digest is the sha256 of the JSON list of [path relative to the data folder, size, sha256 of the content] of
every file that matters (annotation and split files and the images that they name), sorted by path. Of a prefix on S3,
which is not fetched to be resolved, the ETags stand for the sha256. Where the data have no splits, the fractions and
the seed that make them are the list's last item.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from core.base.errors import UserError
from core.base.files import cache_folder
from core.base.foreign_file import open_regular
from core.base.json_file import read_json
from core.base.outputs import write_text
from core.data.layout import Fractions

FileRow = tuple[str, int, str]
"""Relative path, size in bytes, sha256."""
# A file that changed this recently when it was read could change again without getting another time of change.
_UNSETTLED_NS = 2 * 10 ** 9
_NEVER = -1
MOST_BYTES = 2 << 30
"""Of a file of a data set; annotations of a million images have a quarter of it."""


class FileFacts(NamedTuple):
    """What one read of a file found.

    ``mtime_ns`` is -1 where the file had changed moments before: such facts are never recalled. Width and height
    are those that an image decodes to, 0 for other files.
    """

    size: int
    mtime_ns: int
    sha256: str
    width: int = 0
    height: int = 0


def read_with_facts(file: Path) -> tuple[bytes, FileFacts]:
    """Read a file and return its content and facts.

    Raises:
        OSError: It cannot be read, is no regular file or too large.
    """
    # The time is taken before the content: a change in between makes the facts stale, never wrong.
    changed, now = file.stat().st_mtime_ns, time.time_ns()
    with open_regular(file, MOST_BYTES) as opened:
        data = opened.read()
    stamp = changed if now - changed > _UNSETTLED_NS else _NEVER
    return data, FileFacts(len(data), stamp, hashlib.sha256(data).hexdigest())


class FileMemory:
    """What earlier checks of one data folder found, recalled by path below the folder, size and time of change."""

    def __init__(self, root: Path) -> None:
        self._root = root
        key = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
        self._file = cache_folder() / "data" / "files-2" / f"{key}.json"
        self._known: dict[str, FileFacts] = {}
        self._changed = False
        if self._file.is_file():
            # Files whose cached facts are damaged are read again.
            with contextlib.suppress(UserError, AttributeError, TypeError):
                known = read_json(self._file, "cached facts of files", f"Delete {self._file}.", MOST_BYTES)
                self._known = {path: FileFacts(*entry) for path, entry in known.items()}

    def recall(self, file: Path) -> FileFacts | None:
        """Return what is known of a file, or None where it is new, changed or absent."""
        known = self._known.get(self.relative(file))
        if known is None:
            return None
        try:
            status = file.stat()
        except OSError:
            return None
        return known if known[:2] == (status.st_size, status.st_mtime_ns) else None

    def remember(self, file: Path, facts: FileFacts) -> None:
        """Remember a file that was just read."""
        if facts.mtime_ns != _NEVER:
            self._known[self.relative(file)] = facts
            self._changed = True

    def save(self) -> None:
        """Write what is new to the cache; of two writers at a time the last stays, which costs a re-read at most."""
        if self._changed:
            write_text(self._file, json.dumps(self._known))
            self._changed = False

    def row(self, file: Path) -> FileRow:
        """Return a file's row of the digest; the file is read only where it changed since it was remembered.

        Raises:
            OSError: It cannot be read.
        """
        facts = self.recall(file)
        if facts is None:
            facts = read_with_facts(file)[1]
            self.remember(file, facts)
        return self.relative(file), facts.size, facts.sha256

    def relative(self, file: Path) -> str:
        """Return a file's path relative to the data folder, with forward slashes."""
        return file.relative_to(self._root).as_posix()


def data_digest(rows: Iterable[FileRow], fractions: Fractions | None = None) -> str:
    """Return the digest of a data set from the rows of its files, in any order, and how it is cut into splits."""
    found: list[object] = [*sorted(set(rows))]
    if fractions is not None:
        found.append([fractions.val, fractions.test, fractions.seed])
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()
