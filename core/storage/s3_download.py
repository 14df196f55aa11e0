"""Bringing S3 objects into files: parts of big ones at once, many small ones at once, each verified."""

import hashlib
import itertools
import os
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from core.errors import UserError
from core.storage.s3_get import BLOCK_BYTES, ObjectReader, Reading
from core.storage.store import StoredObject, check_name
from core.storage.verification import (
    MIB,
    PART_BYTES_KEY,
    SHA256_KEY,
    is_plain_md5,
    matches,
    md5_of,
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
Span = Tuple[int, int]


@dataclass(frozen=True)
class Target:
    """A file that an object is brought into.

    Attributes:
        path: The file; it has the object's name only once it is verified, so this is a place beside.
        journal: Where finished spans are written down, so that a killed download goes on; None does not.
    """

    path: Path
    journal: Optional[Path] = None


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
            self._download_small(info, beside, advance)
            places.put(info, beside)

        _run_all(small, (info for info in missing if info.size <= SPAN_BYTES))
        for info in missing:
            if info.size > SPAN_BYTES:
                key = hashlib.sha256(f"{info.etag} {info.name}".encode()).hexdigest()[:24]
                target = Target(work / f"big-{key}", work / f"big-{key}.journal")
                self.download(info, target, advance)
                places.put(info, target.path)
                target.journal.unlink()

    def _download_small(self, info: StoredObject, path: Path, advance: Advance) -> None:
        """Bring one object in by one request; the common case has its MD5 as the ETag."""
        if info.size > 0 and not is_plain_md5(info.etag):
            return self.download(info, Target(path), advance)
        for _ in range(_TRIES):
            digest = hashlib.md5()
            with open(path, "wb", buffering=0) as file:
                def take(block: bytes, place: int, file=file, digest=digest) -> None:
                    digest.update(block)
                    file.write(block)

                reading = Reading(self._prefix + info.name, take, 0, info.size, info.etag, listed=True)
                self._reader.read(reading)
            if digest.hexdigest() == info.etag:
                return advance(info.size)
            if not trusted_etag(info.etag, reading.headers):
                break
        # The slow way tells whether the ETag means nothing or the content is wrong.
        self.download(info, Target(path), advance)

    def _download_once(self, info: StoredObject, target: Target, pool: ThreadPoolExecutor, advance: Advance) -> bool:
        candidates = part_sizes(info.etag, info.size)
        span = candidates[0] if candidates and candidates[0] <= _LARGEST_SPAN_BYTES else SPAN_BYTES
        spans = [(start, min(start + span, info.size)) for start in range(0, max(info.size, 1), span)]
        done = _finished_spans(target, info.size)
        headers: Dict[str, str] = {}
        with open(target.path, "r+b" if done else "wb") as file:
            file.truncate(info.size)

            def bring(span: Span) -> bytes:
                if span in done:
                    advance(span[1] - span[0])
                    return md5_of(target.path, *span)
                digest = hashlib.md5()

                def take(block: bytes, place: int) -> None:
                    digest.update(block)
                    _write_all(file.fileno(), block, place)
                    advance(len(block))

                reading = Reading(self._prefix + info.name, take, span[0], span[1], info.etag, listed=True)
                self._reader.read(reading)
                headers.update(reading.headers)
                _note_finished(target, span)
                return digest.digest()

            futures = [pool.submit(bring, span) for span in spans]
            try:
                whole = hashlib.md5() if is_plain_md5(info.etag) else None
                digests = [self._follow(future, span, target.path, whole) for future, span in zip(futures, spans)]
            except BaseException:
                for future in futures:
                    future.cancel()
                raise
        if not headers:
            headers = self._headers(info)
        if _agrees(info.etag, digests, whole):
            return True
        return self._verify(info, target.path, headers, pool)

    @staticmethod
    def _follow(future: "Future[bytes]", span: Span, path: Path, whole: Optional["hashlib._Hash"]) -> bytes:
        """Wait for a span; an MD5 over the whole object takes it in while later spans arrive."""
        digest = future.result()
        if whole is not None:
            for block in _blocks(path, span):
                whole.update(block)
        return digest

    def _headers(self, info: StoredObject) -> Dict[str, str]:
        reading = Reading(self._prefix + info.name, lambda block, place: None, 0, min(info.size, 1), info.etag, True)
        self._reader.read(reading)
        return reading.headers

    def _verify(self, info: StoredObject, path: Path, headers: Dict[str, str], pool: ThreadPoolExecutor) -> bool:
        stored = (headers.get(f"x-amz-meta-{SHA256_KEY}", ""), headers.get(f"x-amz-meta-{PART_BYTES_KEY}", ""))
        found = matches(path, info.size, trusted_etag(info.etag, headers), stored, pool)
        return self._same_again(info, path) if found is None else found

    def _same_again(self, info: StoredObject, path: Path) -> bool:
        """Read an object that tells nothing of its content a second time, and compare."""
        with open(path, "rb") as file:
            same = [True]

            def take(block: bytes, place: int) -> None:
                same[0] = same[0] and os.pread(file.fileno(), len(block), place) == block

            self._reader.read(Reading(self._prefix + info.name, take, 0, info.size, info.etag, listed=True))
        return same[0]


class _Places:
    """The files of a folder that objects become."""

    def __init__(self, folder: Path, infos: Iterable[StoredObject]) -> None:
        self._folder = folder
        self._made: Set[str] = set()
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
            done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
            for future in waiting:
                future.cancel()
            for future in done:
                future.result()
    finally:
        pool.shutdown()


def _batches(items: Iterable[StoredObject], size: int) -> Iterator[List[StoredObject]]:
    iterator = iter(items)
    return iter(lambda: list(itertools.islice(iterator, size)), [])


def _agrees(etag: str, digests: Sequence[bytes], whole: Optional["hashlib._Hash"]) -> bool:
    if whole is not None:
        return whole.hexdigest() == etag
    return f"{hashlib.md5(b''.join(digests)).hexdigest()}-{len(digests)}" == etag


def _blocks(path: Path, span: Span) -> Iterator[bytes]:
    with open(path, "rb") as file:
        for place in range(span[0], span[1], BLOCK_BYTES):
            yield os.pread(file.fileno(), min(BLOCK_BYTES, span[1] - place), place)


def _write_all(descriptor: int, block: bytes, place: int) -> None:
    view = memoryview(block)
    while view:
        written = os.pwrite(descriptor, view, place)
        view, place = view[written:], place + written


def _finished_spans(target: Target, size: int) -> Set[Span]:
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
