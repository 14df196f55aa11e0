"""Unpacking archives that may come from anybody: only files and folders, only inside, only so many bytes."""

import bz2
import errno
import gzip
import itertools
import lzma
import os
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from core.base.errors import UserError
from core.base.foreign_file import kind_of_file, open_foreign
from core.base.text import bounded_repr, shown
from core.storage.metered import Metered
from core.storage.store import check_name
from core.storage.zip_index import open_zip

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
_BLOCK_BYTES = 1 << 20
# Photographs hardly shrink; text shrinks tenfold. A bomb shrinks a thousandfold.
_LARGEST_RATIO, _ALWAYS_BYTES = 100, 100 << 20
_MOST_ENTRIES = 5_000_000
# Unlike a tar's, a zip's entries are all held at a time.
_MOST_ZIP_ENTRIES, _MOST_INDEX_BYTES = 1_000_000, 256 << 20
_MOST_BEHIND = 16
"""Blocks that may follow a tar file's end: padding."""
# A header may ask for any amount; the longest that is sound holds a path.
_LARGEST_READ = 8 << 20
_COMPRESSED: dict[str, Callable[..., Any]] = {"gz": gzip.open, "tgz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
_FAULTS = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile,
           NotImplementedError, RuntimeError, UnicodeError, ValueError, OverflowError)


class _Entry(NamedTuple):
    """A member: its name; what it links to, or an empty text; and its content, or None for a folder."""

    name: str
    link: str = ""
    content: BinaryIO | None = None


def is_archive(name: str) -> bool:
    """Return whether a file's name is that of an archive which can be unpacked."""
    return name.lower().endswith(SUFFIXES)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz or .zip file into an empty folder.

    Permissions and owners are not restored. A link to a file of the archive becomes that file; no link is ever made.

    Raises:
        UserError: The archive is damaged, or an entry is absolute, leads outside, links outside or to a folder, is
            neither file nor folder, is there twice, or takes more room than an honest archive's would.
    """
    links: dict[str, _Entry] = {}
    name = ""
    with open_foreign(archive, "archive") as file:
        allowed = _ALWAYS_BYTES + _LARGEST_RATIO * os.fstat(file.fileno()).st_size
        try:
            entries = _zip_entries(file) if archive.name.lower().endswith(".zip") else _tar_entries(file, archive.name)
            number = -1
            for number, entry in enumerate(entries):
                name = entry.name
                if number >= _MOST_ENTRIES:
                    raise _refused(archive, name, f"An archive may have {_MOST_ENTRIES:,} entries.")
                if name in ("", "."):
                    continue
                check_name(name, f"archive {archive}")
                name.encode("utf-8")
                if entry.link:
                    links[name] = entry
                else:
                    allowed -= _place(archive, folder, entry, allowed)
            if number < 0:
                raise ValueError("it holds nothing")
            for entry in links.values():
                name = entry.name
                _place(archive, folder, entry, allowed)
        except _FAULTS as error:
            raise _damaged(archive, name, error, file) from error
        except OSError as error:
            # The decompressors say OSError without a number for damaged data; zipfile seeks where a damaged index
            # leads.
            if error.errno not in (None, errno.EINVAL, errno.ENAMETOOLONG):
                raise
            raise _damaged(archive, name, error, file) from error


def _place(archive: Path, folder: Path, entry: _Entry, allowed: int) -> int:
    """Write an entry below the folder, of a link the file that it leads to, and return the bytes it took."""
    target, link, total = folder / entry.name, entry.link, 0
    if link and (posixpath.isabs(link) or link.split("/")[0] == ".." or not (folder / link).is_file()):
        raise _refused(archive, entry.name,
                       f"A link must lead to a file of the archive; it leads to {bounded_repr(link)}.")
    try:
        if entry.content is None:
            (target.parent if link else target).mkdir(parents=True, exist_ok=True)
            if link:
                os.link(folder / link, target)
            return 0
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as file:
            while block := entry.content.read(_BLOCK_BYTES):
                total += len(block)
                if total > allowed:
                    raise _refused(archive, entry.name, f"Unpacked it may be {_LARGEST_RATIO} times as large as "
                                   "packed.")
                file.write(block)
        return total
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise _refused(archive, entry.name, "A name may be there once, as a file or as a folder.") from error


def _zip_entries(file: BinaryIO) -> Iterator[_Entry]:
    packed, found = open_zip(file, _MOST_INDEX_BYTES, _MOST_ZIP_ENTRIES)
    with packed:
        for entry in found:
            name, mode = _clean(entry.info.filename), entry.info.external_attr >> 16
            if entry.info.is_dir():
                yield _Entry(name)
                continue
            with packed.open(entry.info) as content:
                if stat.S_ISLNK(mode):
                    yield _Entry(name, _link_target(name, content.read(4096).decode("utf-8")))
                else:
                    yield _Entry(name, content=content)


def _tar_entries(file: BinaryIO, archive_name: str) -> Iterator[_Entry]:
    opened = _COMPRESSED.get(archive_name.lower().rpartition(".")[2])
    stream = opened(file) if opened else file
    with tarfile.open(fileobj=Metered(stream, _LARGEST_READ), mode="r:") as packed:
        place = -1
        for member in packed:
            # tarfile keeps every header for later; nothing here asks for them.
            packed.members = []
            # A negative size leads it back to a header that it has read, without end (CVE-2025-8194).
            if member.size < 0 or packed.offset <= place:
                raise ValueError(f"{bounded_repr(member.name)} has {member.size} bytes")
            place = packed.offset
            name = _clean(member.name)
            if member.isdir():
                yield _Entry(name)
            elif member.issym():
                yield _Entry(name, _link_target(name, member.linkname))
            elif member.islnk():
                yield _Entry(name, _clean(posixpath.normpath(member.linkname)))
            elif member.isreg():
                yield _Entry(name, content=packed.extractfile(member))
            else:
                raise ValueError(f"{bounded_repr(name)} is neither a file nor a folder")
    # The checksum stands at the stream's end, behind the archive's own.
    rest = iter(lambda: stream.read(_BLOCK_BYTES), b"")
    if sum(1 for _ in itertools.islice(rest, _MOST_BEHIND + 1)) > _MOST_BEHIND:
        raise ValueError("too much follows the archive's end")


def _clean(name: str) -> str:
    """Return a member's name without the ``./`` that tar writes and without a folder's last slash."""
    while name.startswith("./"):
        name = name[2:]
    return name.rstrip("/") if name.strip("/") else name


def _link_target(name: str, target: str) -> str:
    """Return where a symbolic link leads, counted from the archive's top; ``..`` that leads out is kept."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), target))


def _damaged(archive: Path, name: str, error: Exception, file: BinaryIO) -> UserError:
    kind = kind_of_file(file)
    seen = f"; it begins as {kind}" if kind else ""
    return _refused(archive, name, f"It must be a sound archive ({type(error).__name__}: {shown(error)}{seen}).")


def _refused(archive: Path, name: str, rule: str) -> UserError:
    place = f"{archive}, entry {bounded_repr(name)}" if name else f"{archive}"
    return UserError("archive", place, rule, "Pack the files again, or unpack it yourself and give the folder.")
