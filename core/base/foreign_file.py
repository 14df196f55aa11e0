"""Opening files that may be anything, and saying what they are instead of what was expected."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from core.base.errors import UserError

HEAD_BYTES = 1024
CUT_ZIP = "a zip archive that is cut off, as its index at the end is missing"
_ZIP, _ZIP_END, _ZIP_TAIL = b"PK\x03\x04", b"PK\x05\x06", 65_557
_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
          stat.S_IFDIR: "a folder"}
# What files begin with, and what they are called; the first that fits counts.
_BEGINNINGS = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer in place of the file: `git lfs pull` fetches it"),
    (_ZIP, "a zip archive"), (_ZIP_END, "an empty zip archive"), (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"), (b"\xfd7zXZ\0", "an xz file"), (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"), (b"\x28\xb5\x2f\xfd", "a zstd file"), (b"\x89HDF", "an HDF5 file, as Keras writes"),
    (b"GGUF", "a GGUF file"), (b"TFL3", "a TensorFlow Lite model"), (b"\x7fELF", "a program"),
    (b"\x89PNG\r\n", "a PNG image"), (b"\xff\xd8\xff", "a JPEG image"), (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"), (b"MM\0*", "a TIFF image"), (b"BM", "a BMP image"), (b"%PDF", "a PDF file"),
    (b"\x80\x02", "a pickle"), (b"\x80\x03", "a pickle"), (b"\x80\x04", "a pickle"), (b"\x80\x05", "a pickle"),
    (b"\x93NUMPY", "a numpy array"))
_WEB = (b"<!doctype html", b"<html", b"<head", b"<body")


def open_foreign(path: Path, thing: str, most: int | None = None) -> BinaryIO:
    """Open a regular file for reading; a FIFO or a device is never waited for.

    Args:
        path: Where it lies; links are followed.
        thing: What it should be, for messages.
        most: Bytes that it may have.

    Raises:
        UserError: There is none, it is something else than a file, may not be read, is empty or is too large.
    """
    problem, size = "", 0
    try:
        problem = _KINDS.get(stat.S_IFMT(os.stat(path).st_mode), "")
        if not problem:
            # It could be replaced by a FIFO in between.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_size and (most is None or status.st_size <= most):
                return os.fdopen(descriptor, "rb")
            os.close(descriptor)
            problem, size = _KINDS.get(stat.S_IFMT(status.st_mode), ""), status.st_size
    except (OSError, ValueError) as error:
        raise UserError(thing, path, f"It must be a file ({_reason(error)}).",
                        "Check the path and its rights.") from error
    if problem:
        raise UserError(thing, path, f"It must be a file, and is {problem}.", "Give the path of a file.")
    if not size:
        raise UserError(thing, path, "It is an empty file.", "Check that the download or the copy is complete.")
    raise UserError(thing, path, f"It has {size:,} bytes, and at most {most:,} are read.",
                    "Check that it is the right file.")


def read_foreign(path: Path, thing: str, most: int) -> bytes:
    """Return the content of a regular file of at most ``most`` bytes; errors as :func:`open_foreign`."""
    with open_foreign(path, thing, most) as file:
        return file.read(most)


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
        return "a web page, such as an error or a log-in"
    if text.startswith(b"<?xml") or text.startswith(b"<error>"):
        return "a storage service's error answer" if b"<error>" in text and b"<code>" in text else "XML"
    if head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= size - 8:
        return "a safetensors file"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    return _kind_of_text(head, text)


def _kind_of_text(head: bytes, text: bytes) -> str:
    try:
        # The last character can be cut.
        letters = head.decode("utf-8") if len(head) < HEAD_BYTES else head[:-4].decode("utf-8", "ignore")
    except UnicodeDecodeError:
        return ""
    if not all(letter.isprintable() or letter.isspace() for letter in letters):
        return ""
    return "JSON text" if text[:1] in (b"{", b"[") else "text"


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return "its name holds a NUL or half a character"
    if error.errno == errno.ENOENT:
        return "there is none"
    return error.strerror or type(error).__name__
