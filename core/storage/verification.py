"""Whether a downloaded file is what is stored: by an object's MD5, its parts' MD5s or a stored sha256.

S3's ETag is the MD5 of an object that was sent in one piece, and ``MD5(the parts' MD5s)-<number of parts>`` of one that
was sent in parts, unless it is encrypted with a key of the user's
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html). How long the parts were it does not tell.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path

SHA256_KEY = "sha256"
PART_BYTES_KEY = "part-bytes"
"""Metadata that uploads of this project carry."""
MIB = 1 << 20
_PLAIN = re.compile(r"[0-9a-f]{32}")
_OF_PARTS = re.compile(r"([0-9a-f]{32})-([1-9][0-9]{0,4})")
_USUAL_PARTS = (16, 8, 5, 32, 64, 10, 15, 25, 50, 100, 128, 256, 512, 1024, 6, 7, 12, 20, 24, 48, 96, 200)


def trusted_etag(etag: str, headers: Mapping[str, str]) -> str:
    """Return the ETag where it is made of MD5s, as far as the headers of an answer tell; else an empty text."""
    encryption = headers.get("x-amz-server-side-encryption", "")
    opaque = encryption.startswith("aws:kms") or "x-amz-server-side-encryption-customer-algorithm" in headers
    return "" if opaque or not (_PLAIN.fullmatch(etag) or _OF_PARTS.fullmatch(etag)) else etag


def is_plain_md5(etag: str) -> bool:
    """Return whether an ETag is the MD5 of an object sent in one piece."""
    return _PLAIN.fullmatch(etag) is not None


def part_sizes(etag: str, size: int, stored: str = "") -> list[int]:
    """Return the part sizes in bytes that an ETag of parts could stand for, the most likely first.

    Args:
        stored: The part size that the object's metadata tells, if any.
    """
    match = _OF_PARTS.fullmatch(etag)
    if match is None:
        return []
    count = int(match.group(2))
    candidates = [int(stored)] if re.fullmatch(r"[1-9][0-9]{0,12}", stored) else []
    candidates += [mebibytes * MIB for mebibytes in _USUAL_PARTS]
    if count == 1:
        candidates.append(max(size, 1))
    return [candidate for candidate in dict.fromkeys(candidates) if max(-(-size // candidate), 1) == count]


def parts_etag(path: Path, size: int, part_bytes: int, pool: Executor) -> str:
    """Return the ETag that a file would have if it had been sent in parts of ``part_bytes``."""
    starts = range(0, max(size, 1), part_bytes)
    digests = list(pool.map(lambda start: md5_of(path, start, min(start + part_bytes, size)), starts))
    return f"{hashlib.md5(b''.join(digests)).hexdigest()}-{len(digests)}"


def md5_of(path: Path, start: int, stop: int) -> bytes:
    """Return the MD5 of the bytes from ``start`` up to ``stop`` of a file."""
    digest = hashlib.md5()
    for block in blocks(path, start, stop):
        digest.update(block)
    return digest.digest()


def blocks(path: Path, start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes from ``start`` up to ``stop`` of a file in blocks of 1 MiB."""
    with open(path, "rb") as file:
        for place in range(start, stop, MIB):
            yield os.pread(file.fileno(), min(MIB, stop - place), place)


def matches(path: Path, size: int, etag: str, metadata: tuple[str, str], pool: Executor) -> bool | None:
    """Return whether a file is the object, or None where nothing that is known of the object can tell.

    Args:
        etag: Its ETag as :func:`trusted_etag` returns it.
        metadata: Its stored sha256 and part size, or empty texts.
    """
    from core.base.digest import sha256_file

    stored_sha256, stored_part = metadata
    if is_plain_md5(etag):
        return md5_of(path, 0, size).hex() == etag
    sizes = part_sizes(etag, size, stored_part)
    if any(parts_etag(path, size, part_bytes, pool) == etag for part_bytes in sizes):
        return True
    if stored_sha256:
        return sha256_file(path) == stored_sha256
    return False if stored_part and sizes else None
