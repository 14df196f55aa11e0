"""The local cache, and writing such that a reader never sees half a file or half a folder."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.base.errors import UserError

CACHE_VARIABLE = "MMDET_COMPRESS_CACHE"
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PARTIAL_SUFFIX = ".part"
"""How the names of folders end in which something is being written."""


def cache_folder() -> Path:
    """Return the cache folder, made where it is absent.

    It is ``$MMDET_COMPRESS_CACHE``, else ``$XDG_CACHE_HOME/mmdet-compress``, else ``~/.cache/mmdet-compress``.
    Everything in it can be deleted at any time while no stage runs.

    Raises:
        UserError: The folder cannot be made.
    """
    if own := os.environ.get(CACHE_VARIABLE):
        folder = Path(own).expanduser().absolute()
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        # The XDG base directory specification has relative paths ignored.
        folder = (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "mmdet-compress"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in FULL_DISK:
            raise
        raise UserError("cache folder", folder, f"It cannot be made ({error.strerror}).",
                        f"Set {CACHE_VARIABLE} to a folder that can be written.") from error
    return folder


@contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Give the error of a full disk the path of what was written: writing says none, and copying the source."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK and (error.filename is None or error.filename2 is not None):
            error.filename, error.filename2 = str(path), None
        raise


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; it takes the place of ``path`` when the block ends well.

    Where the block fails or is interrupted, ``path`` stays as it was and nothing is left beside it.
    """
    with _beside(path) as partial:
        yield partial
        with open(partial, "rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside ``path`` to fill; it becomes ``path`` when the block ends well.

    For content that ``path`` determines (a digest or all options in its name): where another process has
    finished the same folder meanwhile, that one stays and this one is removed.
    """
    with _beside(path) as folder:
        folder.mkdir()
        yield folder
        try:
            os.rename(folder, path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give a path of the same name in a folder beside ``path``, which is removed after the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkdtemp, not mkstemp: what is inside gets the umask's rights, not 0600.
    beside = Path(tempfile.mkdtemp(prefix=f".{path.name[:100]}.", suffix=PARTIAL_SUFFIX, dir=path.parent))
    try:
        with naming_full_disk(path):
            yield beside / path.name
    finally:
        shutil.rmtree(beside, ignore_errors=True)
