"""Downloads of S3 objects: parts of large ones and many small ones in parallel, each verified.

s3transfer restarts an interrupted download and verifies nothing; hence GET requests of boto3's client, which retries
refused requests, and here what must be retried once a response has begun.
"""

import contextlib
import hashlib
import itertools
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, IncompleteReadError
from s3transfer.utils import S3_RETRYABLE_DOWNLOAD_ERRORS

from core.base.errors import UserError
from core.base.threads import DaemonThreadPool
from core.storage.s3_client import ATTEMPTS, error_code, s3_errors
from core.storage.s3_pace import SLOW_ATTEMPTS, TooSlow
from core.storage.store import StoredObject, check_name
from core.storage.verification import (
    MIB,
    PART_BYTES_KEY,
    SHA256_KEY,
    blocks,
    is_plain_md5,
    matches,
    part_sizes,
    trusted_etag,
)

SPAN_BYTES = 16 * MIB
"""Objects above this are read in spans of about this size."""
_LARGEST_SPAN_BYTES = 64 * MIB
SPAN_THREADS, OBJECT_THREADS = 4, 12
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 20.0
_BLOCK_BYTES = MIB
_TRIES = 3
_REFUSED_ATTEMPTS = {"ExpiredToken": 3, "ExpiredTokenException": 3, "TokenRefreshRequired": 3, "NoSuchKey": 5, "404": 5}
"""Refusals that botocore does not retry: a token that is renewed, an object that the listing has named."""

Advance = Callable[[int], None]
"""Called with the number of bytes received; a negative number takes some back."""
Take = Callable[[bytes, int], None]
"""Called with a block and its offset in the object."""
Span = tuple[int, int]


@dataclass(frozen=True)
class Target:
    """A file that an object is downloaded to.

    Attributes:
        path: A temporary file: only a verified object gets its own name.
        journal: Where finished spans are recorded, so that a killed download is resumed; None does not.
    """

    path: Path
    journal: Path | None = None

    def finished(self, size: int) -> set[Span]:
        """Return the spans that a killed download of ``size`` bytes had finished; a line that it left half is none."""
        if self.journal is None or not self.journal.is_file() or not self.path.is_file():
            return set()
        if self.path.stat().st_size != size:
            return set()
        lines = self.journal.read_text(encoding="ascii", errors="replace").split("\n")[:-1]
        pairs = (line.split() for line in lines)
        return {(int(pair[0]), int(pair[1])) for pair in pairs if len(pair) == 2 and all(map(str.isdigit, pair))}

    def note(self, span: Span) -> None:
        """Record a finished span."""
        if self.journal is not None:
            with open(self.journal, "a", encoding="ascii") as journal:
                journal.write(f"{span[0]} {span[1]}\n")


class Downloader:
    """Downloads objects of one bucket to files.

    Memory is bounded: each thread holds a block of 1 MiB.

    Args:
        prefix: What is before an object's name in its key.
    """

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix

    def download(self, info: StoredObject, target: Target, advance: Advance = lambda count: None) -> None:
        """Download one object; spans that its journal records are not requested again.

        Raises:
            UserError: It cannot be read, or its content differs from its ETag or stored sha256 again and again.
        """
        if info.size <= SPAN_BYTES and self._download_small(info, target, advance):
            return
        for _ in range(_TRIES):
            with DaemonThreadPool(SPAN_THREADS) as pool:
                if self._download_spans(info, target, pool, advance):
                    return
            advance(-info.size)
            target.path.unlink()
            if target.journal is not None:
                target.journal.unlink(missing_ok=True)
        raise UserError(f"object {self._uri(info)}",
                        f"its content does not match its ETag {info.etag} or its stored sha256",
                        f"What arrives must be what is stored; {_TRIES} downloads were not.",
                        "Look for a faulty network or server, or write the object again.")

    def download_all(self, infos: Sequence[StoredObject], folder: Path, work: Path, advance: Advance) -> None:
        """Download objects into a folder under their names; existing files are kept, a killed call is resumed.

        Args:
            work: A folder on the same file system, for what is not whole yet.

        Raises:
            UserError: An object cannot be read or has a name that no file can have.
        """
        places = _Places(folder, infos)
        work.mkdir(parents=True, exist_ok=True)
        missing = []
        for info in infos:
            if places.has(info):
                advance(info.size)
            else:
                missing.append(info)
        counter = itertools.count()

        def small(info: StoredObject) -> None:
            beside = work / f"small-{next(counter)}"
            self.download(info, Target(beside), advance)
            places.put(info, beside)

        _run_all(small, (info for info in missing if info.size <= SPAN_BYTES))
        for info in missing:
            if info.size > SPAN_BYTES:
                key = hashlib.sha256(f"{info.etag} {info.name}".encode()).hexdigest()[:24]
                target = Target(work / f"big-{key}", work / f"big-{key}.journal")
                self.download(info, target, advance)
                places.put(info, target.path)
                target.journal.unlink()

    def _uri(self, info: StoredObject) -> str:
        return f"s3://{self._bucket}/{self._prefix}{info.name}"

    def _download_small(self, info: StoredObject, target: Target, advance: Advance) -> bool:
        """Download one object by one request and return whether its ETag confirms it."""
        for _ in range(_TRIES if is_plain_md5(info.etag) else 0):
            digest = hashlib.md5()
            target.path.write_bytes(b"")
            answer = self._download_span(info, (0, info.size), target.path, digest, lambda count: None)
            if digest.hexdigest() == info.etag:
                advance(info.size)
                return True
            if not trusted_etag(info.etag, _headers(answer)):
                break
        return False

    def _download_spans(self, info: StoredObject, target: Target, pool: DaemonThreadPool, advance: Advance) -> bool:
        answer = self._read(info, (0, min(info.size, 1)), lambda block, place: None)
        metadata = answer.get("Metadata", {})
        check = _Check(info.etag, metadata.get(SHA256_KEY, ""))
        candidates = part_sizes(info.etag, info.size)
        span = candidates[0] if candidates and candidates[0] <= _LARGEST_SPAN_BYTES else SPAN_BYTES
        spans = [(start, min(start + span, info.size)) for start in range(0, max(info.size, 1), span)]
        done = target.finished(info.size)
        with open(target.path, "r+b" if done else "wb") as file:
            file.truncate(info.size)

        def finish(span: Span) -> bytes:
            digest = check.part_hash()
            if span in done:
                advance(span[1] - span[0])
                for block in blocks(target.path, *span) if digest is not None else ():
                    digest.update(block)
            else:
                self._download_span(info, span, target.path, digest, advance)
                target.note(span)
            return digest.digest() if digest is not None else b""

        for future, span in zip([pool.submit(finish, span) for span in spans], spans):
            check.add(future.result(), target.path, span)
        if check.agrees():
            return True
        stored = (metadata.get(SHA256_KEY, ""), metadata.get(PART_BYTES_KEY, ""))
        found = matches(target.path, info.size, trusted_etag(info.etag, _headers(answer)), stored, pool)
        return self._downloads_the_same(info, target.path) if found is None else found

    def _download_span(self, info: StoredObject, span: Span, path: Path, digest: "hashlib._Hash | None",
                       advance: Advance) -> Mapping[str, Any]:
        # A descriptor of its own: a thread that an interruption left to itself must not write to another file.
        with open(path, "r+b") as file:
            file.seek(span[0])

            def take(block: bytes, place: int) -> None:
                if digest is not None:
                    digest.update(block)
                file.write(block)
                advance(len(block))

            return self._read(info, span, take)

    def _downloads_the_same(self, info: StoredObject, path: Path) -> bool:
        """Return whether a second download is the same, for an object without any checksum of its content."""
        with open(path, "rb") as file:
            same = [True]

            def take(block: bytes, place: int) -> None:
                same[0] = same[0] and os.pread(file.fileno(), len(block), place) == block

            self._read(info, (0, info.size), take)
        return same[0]

    def _read(self, info: StoredObject, span: Span, take: Take) -> Mapping[str, Any]:
        """Read bytes of an object in order; where a response breaks off, another request resumes there.

        Returns:
            boto3's answer to the last request.

        Raises:
            UserError: They cannot be read, or the object is no longer the one that was listed.
        """
        place, failures = span[0], 0
        with s3_errors(self._uri(info), "read"):
            while True:
                begun = place
                try:
                    answer = self._ask(info, (place, span[1]))
                    with contextlib.closing(answer["Body"]) as body:
                        while block := body.read(min(_BLOCK_BYTES, span[1] - place)):
                            take(block, place)
                            place += len(block)
                    if place == span[1]:
                        return answer
                    raise IncompleteReadError(actual_bytes=place, expected_bytes=span[1])
                except (*S3_RETRYABLE_DOWNLOAD_ERRORS, TooSlow, ClientError) as error:
                    failures = 1 if place - begun >= _BLOCK_BYTES else failures + 1
                    attempts = SLOW_ATTEMPTS if isinstance(error, TooSlow) else ATTEMPTS
                    if isinstance(error, ClientError):
                        attempts = _REFUSED_ATTEMPTS.get(error_code(error), 1)
                    if failures >= attempts:
                        raise
                # Longer after each failure, and never as long as other threads wait.
                time.sleep(min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2 ** (failures - 1)) * random.uniform(0.5, 1.0))

    def _ask(self, info: StoredObject, span: Span) -> dict[str, Any]:
        options = {"Range": f"bytes={span[0]}-{span[1] - 1}"} if span[0] < span[1] and span != (0, info.size) else {}
        answer = self._client.get_object(
            Bucket=self._bucket, Key=self._prefix + info.name, IfMatch=f'"{info.etag}"', **options)
        if options and not str(answer.get("ContentRange", "")).startswith(f"bytes {span[0]}-"):
            raise UserError(f"object {self._uri(info)}", "the service sent the whole object where a part was requested",
                            "The service must support the Range header.", "Use another S3-compatible service.")
        return answer


class _Check:
    """Whether the spans of an object, given in order, are what is stored; by the cheapest of what is known.

    A stored sha256 comes first: processors have instructions for it, and it takes less than half of MD5's time.
    """

    def __init__(self, etag: str, stored_sha256: str) -> None:
        self._etag, self._sha256 = etag, stored_sha256
        self._whole = hashlib.sha256() if stored_sha256 else hashlib.md5() if is_plain_md5(etag) else None
        self._parts: list[bytes] = []

    def part_hash(self) -> "hashlib._Hash | None":
        """Return the hash of a span to update while it arrives, or None where the whole is hashed afterwards."""
        return hashlib.md5() if self._whole is None else None

    def add(self, digest: bytes, path: Path, span: Span) -> None:
        """Take the next span, which lies in a file, while later ones arrive."""
        if self._whole is None:
            self._parts.append(digest)
            return
        for block in blocks(path, *span):
            self._whole.update(block)

    def agrees(self) -> bool:
        if self._whole is not None:
            return self._whole.hexdigest() == (self._sha256 or self._etag)
        return f"{hashlib.md5(b''.join(self._parts)).hexdigest()}-{len(self._parts)}" == self._etag


class _Places:
    """The files of a folder that objects become."""

    def __init__(self, folder: Path, infos: Iterable[StoredObject]) -> None:
        self._folder = folder
        self._made: set[str] = set()
        for info in infos:
            check_name(info.name, "the listing")

    def has(self, info: StoredObject) -> bool:
        try:
            return (self._folder / info.name).stat().st_size == info.size
        except OSError:
            return False

    def put(self, info: StoredObject, beside: Path) -> None:
        target = self._folder / info.name
        parent = info.name.rpartition("/")[0]
        try:
            if parent not in self._made:
                target.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(parent)
            os.replace(beside, target)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise UserError("object", info.name, "No object's name may be another's folder: both cannot be files.",
                            "Rename one of them.") from error


def _run_all(work: Callable[[StoredObject], None], items: Iterable[StoredObject]) -> None:
    """Do the work for every item in threads; the first failure ends it."""
    with DaemonThreadPool(OBJECT_THREADS) as pool:
        iterator = iter(items)
        for batch in iter(lambda: list(itertools.islice(iterator, 1000)), []):
            futures = [pool.submit(work, item) for item in batch]
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()


def _headers(answer: Mapping[str, Any]) -> Mapping[str, str]:
    return answer["ResponseMetadata"]["HTTPHeaders"]
