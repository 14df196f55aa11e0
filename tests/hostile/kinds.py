"""Files that are no checkpoint, config, annotation, archive or image, and what each is called."""

import os
from collections.abc import Callable
from pathlib import Path

SPARSE_BYTES = 10 << 30


def sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(SPARSE_BYTES)


def circle(path: Path) -> None:
    os.symlink(path.with_name("other"), path)
    os.symlink(path, path.with_name("other"))


# How something is put where a file is expected, and what a message says of it.
PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda path: None, "o such file"),
    "a folder": (lambda path: path.mkdir(), "a folder"),
    "a FIFO": (os.mkfifo, "a FIFO"),
    "a device": (lambda path: os.symlink("/dev/zero", path), "a device"),
    "a link to nothing": (lambda path: os.symlink("/nonexistent", path), "o such file"),
    "links in a circle": (circle, "symbolic links"),
    "an empty file": (lambda path: path.write_bytes(b""), "empty file"),
    "ten gigabytes of nothing": (sparse, "10,737,418,240 bytes, and at most"),
}
# What is in a file, and what it is called.
KINDS: dict[str, tuple[bytes, str]] = {
    "a web page": (b"\r\n<!DOCTYPE HTML>\n<html><body>Sign in</body></html>", "a web page"),
    "a web page with a comment first": (b"<!-- x --><html></html>", "a web page"),
    "XHTML": (b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'></html>", "a web page"),
    "an error answer": (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "error answer"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5\n",
                          "Git LFS pointer"),
    "a safetensors file": ((64).to_bytes(8, "little") + b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
                           .ljust(64) + bytes(4), "a safetensors file"),
    "zeros": (bytes(100_000), "zeros"),
    "a cut zip archive": (b"PK\x03\x04" + bytes(1000), "zip archive"),
    "a 7-Zip archive": (b"7z\xbc\xaf\x27\x1c" + bytes(100), "7-Zip"),
    "a RAR archive": (b"Rar!\x1a\x07\x01\0" + bytes(100), "RAR"),
    "an HDF5 file": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    "a program": (b"\x7fELF\x02\x01\x01\0" + bytes(100), "a program"),
    "a PDF file": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF"),
}
