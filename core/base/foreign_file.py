"""Opening files that may be anything, and saying what they are instead of what was expected."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from core.base.errors import UserError
from core.base.text import shown

HEAD_BYTES = 1024
CUT_ZIP = "a zip archive that is cut off, as its index at the end is missing"
_ZIP, _ZIP_END, _ZIP_TAIL = b"PK\x03\x04", b"PK\x05\x06", 65_557
_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
          stat.S_IFDIR: "a folder"}
_LFS = "a Git LFS pointer in place of the file: `git lfs pull` fetches it"
_WEB_PAGE, _ERROR_ANSWER = "a web page, such as an error or a log-in", "a storage service's error answer"
_NO_TEXT_OF_OURS = (_LFS, _WEB_PAGE, _ERROR_ANSWER, "XML")
# What files begin with, and what they are called; the first that fits counts.
_BEGINNINGS = (
    (b"version https://git-lfs.github.com/spec/", _LFS),
    (_ZIP, "a zip archive"), (_ZIP_END, "an empty zip archive"), (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"), (b"\xfd7zXZ\0", "an xz file"), (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"), (b"\x28\xb5\x2f\xfd", "a zstd file"), (b"\x89HDF", "an HDF5 file, as Keras writes"),
    (b"GGUF", "a GGUF file"), (b"TFL3", "a TensorFlow Lite model"), (b"\x7fELF", "a program"),
    (b"\x89PNG\r\n", "a PNG image"), (b"\xff\xd8\xff", "a JPEG image"), (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"), (b"MM\0*", "a TIFF image"), (b"BM", "a BMP image"), (b"%PDF", "a PDF file"),
    (b"\x80\x02", "a pickle"), (b"\x80\x03", "a pickle"), (b"\x80\x04", "a pickle"), (b"\x80\x05", "a pickle"),
    (b"\x93NUMPY", "a numpy array"))
_WEB = (b"<!doctype html", b"<html", b"<head", b"<body")


class NotAFile(OSError):
    """The path is not a regular file, or the file is too large; says what it is."""


def open_regular(path: Path, most: int | None = None) -> BinaryIO:
    """Open a regular file for reading; a FIFO or a device is never waited for.

    Args:
        path: Where it lies; links are followed.
        most: Bytes that it may have.

    Raises:
        NotAFile: It is not one, or has more bytes.
        OSError: As the system says it: there is none, it may not be read, its links form a circle.
        ValueError: No file can have that name.
    """
    _check_status(os.stat(path), most)
    # It could be replaced by a FIFO in between.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    try:
        _check_status(os.fstat(file.fileno()), most)
    except BaseException:
        file.close()
        raise
    return file


def open_foreign(path: Path, thing: str, most: int | None = None, hint: str = "") -> BinaryIO:
    """Open a file as :func:`open_regular`, and refuse an empty one.

    Args:
        path: Where it lies.
        thing: What it should be, for messages.
        most: Bytes that it may have.
        hint: What to do where it is not one, for messages.

    Raises:
        UserError: It cannot be opened, or is empty; says what lies there.
    """
    try:
        file = open_regular(path, most)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else shown(error)
        raise UserError(thing, f"{path} ({reason})", "It must be a file that can be read.",
                        hint or "Check the path and its rights.") from error
    if not os.fstat(file.fileno()).st_size:
        file.close()
        raise UserError(thing, f"{path} (an empty file)", "It must be a file with content.",
                        hint or "Check that the download or the copy is complete.")
    return file


def read_foreign(path: Path, thing: str, most: int, hint: str = "") -> bytes:
    """Return the content of a file of at most ``most`` bytes; arguments and errors as :func:`open_foreign`."""
    with open_foreign(path, thing, most, hint) as file:
        # Python allocates as many bytes as it is asked for, so the bound itself must not be asked for.
        return file.read(os.fstat(file.fileno()).st_size)


def _check_status(status: os.stat_result, most: int | None) -> None:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind:
        raise NotAFile(errno.EINVAL, f"it is {kind}")
    if most is not None and status.st_size > most:
        raise NotAFile(errno.EINVAL, f"it has {status.st_size:,} bytes, and at most {most:,} are read")


def kind_of_file(file: BinaryIO) -> str:
    """Return what an open file is, as :func:`kind_of`; of a zip archive without its end, that it is cut off."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if not head.startswith(_ZIP):
        return kind_of(head, size)
    # The index stands at the end, before a comment of up to 64 KiB.
    file.seek(max(0, size - _ZIP_TAIL))
    return "a zip archive" if _ZIP_END in file.read(_ZIP_TAIL) else CUT_ZIP


def kind_of(content: bytes, size: int | None = None) -> str:
    """Return what a file is by what it begins with, such as "a web page"; empty where that is not known.

    Args:
        content: Its first bytes, :data:`HEAD_BYTES` of them where it has so many.
        size: Bytes of the whole file, where ``content`` is not all of it.
    """
    head = content[:HEAD_BYTES]
    size = len(content) if size is None else size
    if not size:
        return "an empty file"
    if head[257:262] == b"ustar":
        return "a tar archive"
    if not head.strip(b"\0"):
        return "nothing but zeros at its beginning, as a download leaves that never came"
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_WEB) or text.startswith((b"<!--", b"<?xml")) and any(mark in text for mark in _WEB):
        return _WEB_PAGE
    if text.startswith(b"<?xml") or text.startswith(b"<error>"):
        return _ERROR_ANSWER if b"<error>" in text and b"<code>" in text else "XML"
    if head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= size - 8:
        return "a safetensors file"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    try:
        # The last character can be cut.
        letters = head.decode("utf-8") if len(head) < HEAD_BYTES else head[:-4].decode("utf-8", "ignore")
    except UnicodeDecodeError:
        return ""
    if not all(letter.isprintable() or letter.isspace() for letter in letters):
        return ""
    return "JSON text" if text[:1] in (b"{", b"[") else "text"


def not_text(content: bytes) -> str:
    """Return what a file is that should be text of ours and holds something that a tool or a server put there.

    Empty for any other text, whose content its reader checks.
    """
    kind = kind_of(content)
    return kind if b"\0" in content[:HEAD_BYTES] or kind in _NO_TEXT_OF_OURS else ""
