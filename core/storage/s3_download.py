"""Bringing S3 objects into files: parts of big ones at once, many small ones at once, each verified."""

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from core.base.errors import UserError
from core.storage.s3_get import BLOCK_BYTES, ObjectReader, Reading
from core.storage.store import StoredObject, check_name
from core.storage.verification import (
    MIB,
    PART_BYTES_KEY,
    SHA256_KEY,
    is_plain_md5,
    matches,
    part_sizes,
    trusted_etag,
)

SPAN_BYTES = 16 * MIB
"""Objects above this are read in spans of about this size."""
_LARGEST_SPAN_BYTES = 64 * MIB
SPAN_THREADS, OBJECT_THREADS = 4, 12
_TRIES = 3

Advance = Callable[[int], None]
"""Told of bytes that have arrived; a negative number takes some back."""
Span = tuple[int, int]


@dataclass(frozen=True)
class Target:
    """A file that an object is brought into.

    Attributes:
        path: The file; it has the object's name only once it is verified, so this is a place beside.
        journal: Where finished spans are written down, so that a killed download goes on; None does not.
    """

    path: Path
    journal: Path | None = None


class Downloader:
    """Brings objects of one bucket into files.

    Memory is bounded: each thread holds a block of 1 MiB.

    Args:
        reader: Reads the bucket.
        prefix: What is before an object's name in its key.
    """

    def __init__(self, reader: ObjectReader, prefix: str) -> None:
        self._reader, self._prefix = reader, prefix

    def download(self, info: StoredObject, target: Target, advance: Advance = lambda count: None) -> None:
        """Bring one object into a file; what has arrived earlier by the same journal is not asked for again.

        Raises:
            UserError: It cannot be read, or its content differs from its ETag or stored sha256 again and again.
        """
        if info.size <= SPAN_BYTES:
            self._download_small(info, target, advance)
        else:
            self._download_spans(info, target, advance)

    def download_all(self, infos: Sequence[StoredObject], folder: Path, work: Path, advance: Advance) -> None:
        """Bring objects into a folder under their names; files that are there are kept, and those of a killed call
        continued.

        Args:
            infos: The objects, as listed.
            folder: Where they go.
            work: A folder on the same file system, for what is not whole yet.
            advance: Told of bytes that have arrived.

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

    def _download_small(self, info: StoredObject, target: Target, advance: Advance) -> None:
        """Bring one object in by one request; the common case has its MD5 as the ETag."""
        for _ in range(_TRIES if is_plain_md5(info.etag) else 0):
            digest = hashlib.md5()
            with open(target.path, "wb", buffering=0) as file:
                def take(block: memoryview, place: int, file=file, digest=digest) -> None:
                    digest.update(block)
                    _write_all(file.fileno(), block, place)

                reading = Reading(self._prefix + info.name, take, 0, info.size, info.etag, listed=True)
                self._reader.read(reading)
            if digest.hexdigest() == info.etag:
                return advance(info.size)
            if not trusted_etag(info.etag, reading.headers):
                break
        # The slow way tells whether the ETag means nothing or the content is wrong.
        self._download_spans(info, target, advance)

    def _download_spans(self, info: StoredObject, target: Target, advance: Advance) -> None:
        for _ in range(_TRIES):
            with ThreadPoolExecutor(SPAN_THREADS) as pool:
                if self._download_once(info, target, pool, advance):
                    return
            advance(-info.size)
            target.path.unlink()
            if target.journal is not None:
                target.journal.unlink(missing_ok=True)
        raise UserError(f"object {self._reader.uri(self._prefix + info.name)}",
                        f"its content does not match its ETag {info.etag} or its stored sha256",
                        f"What arrives must be what is stored; {_TRIES} downloads were not.",
                        "Look for a faulty network or server, or write the object again.")

    def _download_once(self, info: StoredObject, target: Target, pool: ThreadPoolExecutor, advance: Advance) -> bool:
        headers = self._headers(info)
        check = _Check(info.etag, headers.get(f"x-amz-meta-{SHA256_KEY}", ""))
        candidates = part_sizes(info.etag, info.size)
        span = candidates[0] if candidates and candidates[0] <= _LARGEST_SPAN_BYTES else SPAN_BYTES
        spans = [(start, min(start + span, info.size)) for start in range(0, max(info.size, 1), span)]
        done = _finished_spans(target, info.size)
        with open(target.path, "r+b" if done else "wb") as file:
            file.truncate(info.size)

            def bring(span: Span) -> bytes:
                digest = check.of_part()
                if span in done:
                    advance(span[1] - span[0])
                    for block in _blocks(target.path, span) if digest is not None else ():
                        digest.update(block)
                else:
                    self._bring(info, span, file.fileno(), digest, advance)
                    _note_finished(target, span)
                return digest.digest() if digest is not None else b""

            futures = [pool.submit(bring, span) for span in spans]
            try:
                for future, span in zip(futures, spans):
                    check.add(future.result(), target.path, span)
            except BaseException:
                for future in futures:
                    future.cancel()
                raise
        return check.agrees() or self._verify(info, target.path, headers, pool)

    def _bring(self, info: StoredObject, span: Span, descriptor: int, digest: Optional["hashlib._Hash"],
               advance: Advance) -> None:
        def take(block: memoryview, place: int) -> None:
            if digest is not None:
                digest.update(block)
            _write_all(descriptor, block, place)
            advance(len(block))

        self._reader.read(Reading(self._prefix + info.name, take, span[0], span[1], info.etag, listed=True))

    def _headers(self, info: StoredObject) -> Mapping[str, str]:
        reading = Reading(self._prefix + info.name, lambda block, place: None, 0, min(info.size, 1), info.etag, True)
        self._reader.read(reading)
        return reading.headers

    def _verify(self, info: StoredObject, path: Path, headers: Mapping[str, str], pool: ThreadPoolExecutor) -> bool:
        stored = (headers.get(f"x-amz-meta-{SHA256_KEY}", ""), headers.get(f"x-amz-meta-{PART_BYTES_KEY}", ""))
        found = matches(path, info.size, trusted_etag(info.etag, headers), stored, pool)
        return self._same_again(info, path) if found is None else found

    def _same_again(self, info: StoredObject, path: Path) -> bool:
        """Read an object that tells nothing of its content a second time, and compare."""
        with open(path, "rb") as file:
            same = [True]

            def take(block: memoryview, place: int) -> None:
                same[0] = same[0] and os.pread(file.fileno(), len(block), place) == block

            self._reader.read(Reading(self._prefix + info.name, take, 0, info.size, info.etag, listed=True))
        return same[0]


class _Check:
    """Whether the spans of an object, given in order, are what is stored; by the cheapest of what is known.

    A stored sha256 comes first: processors have instructions for it, and it takes less than half of MD5's time.
    """

    def __init__(self, etag: str, stored_sha256: str) -> None:
        self._etag, self._sha256 = etag, stored_sha256
        self._whole = hashlib.sha256() if stored_sha256 else hashlib.md5() if is_plain_md5(etag) else None
        self._parts: list[bytes] = []

    def of_part(self) -> Optional["hashlib._Hash"]:
        """Return what must take in a span while it arrives, or None where the whole is hashed behind."""
        return hashlib.md5() if self._whole is None else None

    def add(self, digest: bytes, path: Path, span: Span) -> None:
        """Take the next span, which lies in a file, while later ones arrive."""
        if self._whole is None:
            self._parts.append(digest)
            return
        for block in _blocks(path, span):
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
    pool = ThreadPoolExecutor(OBJECT_THREADS)
    try:
        for batch in _batches(items, 1000):
            futures = [pool.submit(work, item) for item in batch]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                for future in futures:
                    future.cancel()
            for future in futures:
                if not future.cancelled():
                    future.result()
    finally:
        pool.shutdown()


def _batches(items: Iterable[StoredObject], size: int) -> Iterator[list[StoredObject]]:
    iterator = iter(items)
    return iter(lambda: list(itertools.islice(iterator, size)), [])


def _blocks(path: Path, span: Span) -> Iterator[bytes]:
    with open(path, "rb") as file:
        for place in range(span[0], span[1], BLOCK_BYTES):
            yield os.pread(file.fileno(), min(BLOCK_BYTES, span[1] - place), place)


def _write_all(descriptor: int, block: memoryview, place: int) -> None:
    while block:
        written = os.pwrite(descriptor, block, place)
        block, place = block[written:], place + written


def _finished_spans(target: Target, size: int) -> set[Span]:
    """Return the spans that a killed download had finished; a line that it left half is none."""
    if target.journal is None or not target.journal.is_file() or not target.path.is_file():
        return set()
    if target.path.stat().st_size != size:
        return set()
    lines = target.journal.read_text(encoding="ascii", errors="replace").split("\n")[:-1]
    pairs = [line.split() for line in lines]
    return {(int(pair[0]), int(pair[1])) for pair in pairs if len(pair) == 2 and all(part.isdigit() for part in pair)}


def _note_finished(target: Target, span: Span) -> None:
    if target.journal is not None:
        with open(target.journal, "a", encoding="ascii") as journal:
            journal.write(f"{span[0]} {span[1]}\n")
