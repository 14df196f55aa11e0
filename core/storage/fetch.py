"""The local cache of objects on S3, keyed by digest, so that the stages of one machine download an object once."""

import contextlib
import fcntl
import os
import re
import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

from core.base.errors import UserError
from core.base.files import PARTIAL_SUFFIX, cache_folder, naming_full_disk
from core.base.progress import progress
from core.storage.location import parse_location
from core.storage.source import Source

LIMIT_VARIABLE = "MMDET_COMPRESS_CACHE_LIMIT"
_DEFAULT_LIMIT = 100 * 10 ** 9
_UNITS = {"": 1, "k": 10 ** 3, "m": 10 ** 6, "g": 10 ** 9, "t": 10 ** 12}
_USE, _FILL, _BYTES = ".use", ".fill", ".bytes"
_LEFT_FREE = 10 ** 8
_HELD: list[int] = []
"""Locks of the entries that this process uses; they end with it."""

Fill = Callable[[Path, Path], None]
"""Fills an empty or partly filled folder; incomplete files go into the second one. A killed call is repeated."""


def fetch(source: Source) -> Path:
    """Return a local copy of what was resolved: a folder, or a file where the source is one object.

    Raises:
        UserError: It cannot be fetched, or it changed since it was resolved.
    """
    from core.storage.s3_store import S3Store

    def fill(folder: Path, work: Path) -> None:
        location = parse_location(source.uri)
        prefix = location.key.rpartition("/")[0] if source.single else location.key
        count, lock = len(source.objects), threading.Lock()
        description = f"fetching {source.uri}" + (f" ({count:,} objects)" if count > 1 else "")
        with progress(source.size, description, "B", scaled=True) as bar:
            def advance(arrived: int) -> None:
                with lock:
                    bar.update(arrived)

            S3Store(location.bucket, prefix).downloader().download_all(source.objects, folder, work, advance)

    folder = cached_folder(source.digest, fill, source.size)
    return folder / source.objects[0].name if source.single else folder


def cached_folder(key: str, fill: Fill, size: int) -> Path:
    """Return the cache's folder for ``key``, filled by ``fill`` unless it is there.

    Of several processes one fills and the others wait. The folder stays at least until this process ends; where the
    cache exceeds its limit, the least recently used entries are deleted.

    Args:
        key: A digest that determines the content.
        fill: Called where the folder is absent.

    Raises:
        UserError: The disk has not that much room.
    """
    room = _room()
    folder = room / key
    _HELD.append(_lock(room / f"{key}{_USE}", fcntl.LOCK_SH))
    if not folder.is_dir():
        filling = _lock(room / f"{key}{_FILL}", fcntl.LOCK_EX)
        try:
            if not folder.is_dir():
                _fill(folder, fill, size)
        finally:
            os.close(filling)
    os.utime(folder)
    return folder


def cache_limit() -> int:
    """Return how many bytes fetched things may take, ``$MMDET_COMPRESS_CACHE_LIMIT``, else 100 GB.

    Raises:
        UserError: The variable holds no size.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    match = re.fullmatch(r"([0-9]{1,15})\s*([kmgt]?)b?", text.strip().lower())
    if text and not match:
        raise UserError(f"variable {LIMIT_VARIABLE}", repr(text), "It must be a size, such as 20GB or 500MB.",
                        "Correct it or unset it.")
    return int(match.group(1)) * _UNITS[match.group(2)] if match else _DEFAULT_LIMIT


def make_room(size: int) -> None:
    """Delete the least recently used entries until ``size`` more bytes are within the limit and fit the disk.

    Entries that a process uses or fills stay.

    Raises:
        UserError: The disk has not that much room.
    """
    room = _room()
    entries = [path for path in room.iterdir() if path.is_dir()]
    sizes = {path: _bytes_of(path) for path in entries}
    total, limit = sum(sizes.values()), cache_limit()
    for path in sorted(entries, key=lambda path: path.stat().st_mtime):
        if total + size <= limit and shutil.disk_usage(room).free >= size + _LEFT_FREE:
            return
        if _deleted(path):
            total -= sizes[path]
    free = shutil.disk_usage(room).free
    if free < size + _LEFT_FREE:
        raise UserError("cache folder", f"{room}: {free / 1e6:,.0f} MB are free", f"{size / 1e6:,.0f} MB and some more "
                        "must fit.", "Free some space, or set MMDET_COMPRESS_CACHE to a folder with more of it.")


def _room() -> Path:
    room = cache_folder() / "fetched-1"
    room.mkdir(exist_ok=True)
    return room


def _fill(folder: Path, fill: Fill, size: int) -> None:
    partial = folder.with_name(folder.name + PARTIAL_SUFFIX)
    arrived = _bytes_of(partial) if partial.is_dir() else 0
    make_room(max(size - arrived, 0))
    for name in ("content", "work"):
        (partial / name).mkdir(parents=True, exist_ok=True)
    with naming_full_disk(partial):
        fill(partial / "content", partial / "work")
    folder.with_name(folder.name + _BYTES).write_text(str(_bytes_of(partial / "content")))
    os.rename(partial / "content", folder)
    shutil.rmtree(partial)


def _deleted(path: Path) -> bool:
    """Delete an entry that nobody uses; return whether it is gone."""
    partial = path.name.endswith(PARTIAL_SUFFIX)
    key = path.name[:-len(PARTIAL_SUFFIX)] if partial else path.name
    try:
        lock = _lock(path.with_name(key + (_FILL if partial else _USE)), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    try:
        doomed = path.with_name(f".{uuid.uuid4().hex}{PARTIAL_SUFFIX}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, doomed)
    finally:
        os.close(lock)
    shutil.rmtree(doomed, ignore_errors=True)
    return True


def _bytes_of(path: Path) -> int:
    noted = path.with_name(path.name + _BYTES)
    if noted.is_file():
        return int(noted.read_text() or 0)
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
    return total


def _lock(path: Path, operation: int) -> int:
    """Lock a file and return its descriptor; closing that, or the process's end, lets it go."""
    descriptor = os.open(str(path), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, operation)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
