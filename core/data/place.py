"""Where a data set's folder is on this machine: in place, built in, unpacked from an archive, or fetched from S3."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.base.digest import sha256_file
from core.base.errors import UserError
from core.base.suggest import suggestion
from core.data import digits
from core.storage.archive import SUFFIXES, is_archive, unpack
from core.storage.location import Scheme, parse_location
from core.storage.store import StoredObject, check_names

_LAYOUT_RULE = "It must be a folder in COCO or Pascal VOC layout, or an archive of one."


@dataclass(frozen=True)
class Place:
    """A data set on this machine.

    Attributes:
        uri: Where it comes from, complete and without ``?latest``.
        source: Digest of the archive or of the listing on S3 that it was taken from; empty for a folder.
        objects: The listing of a prefix on S3; empty for anything else.
    """

    uri: str
    root: Path
    source: str = ""
    objects: tuple[StoredObject, ...] = ()


def locate(uri: str, wanted: Callable[[str], bool] = lambda name: True) -> Place:
    """Find a data set, and download or unpack it into the cache where it is not a folder of this machine.

    Args:
        wanted: Returns by the name, relative to the data folder, whether an object below a prefix on S3 is
            downloaded. An archive always is.

    Raises:
        UserError: It is not there, cannot be fetched or is of no known kind.
    """
    from core.storage.source import resolve_latest

    location = parse_location(uri, "data")
    if location.scheme is Scheme.BUILTIN:
        if location.path != "digits":
            raise UserError("data", repr(uri), "The only built-in data set is builtin://digits.",
                            "Use that, or pass a folder.")
        options = digits.DigitsOptions.from_query(location.query)
        return Place(options.uri, digits.materialise(options))
    if location.scheme is Scheme.S3:
        return _on_s3(uri, wanted)
    path = Path(resolve_latest(location, "data").path)
    if path.is_dir():
        return Place(str(path), path)
    if path.is_file() and is_archive(path.name):
        digest = sha256_file(path)
        return Place(str(path), _unpacked(path, digest, path.stat().st_size), digest)
    if path.exists():
        raise UserError("data", path, _LAYOUT_RULE, f"Pass the folder, or an archive ({', '.join(SUFFIXES)}).")
    parent = path.parent
    near = suggestion(path.name, (entry.name for entry in parent.iterdir())) if parent.is_dir() else ""
    raise UserError("data folder", path, f"It does not exist{near}." if near or parent.is_dir()
                    else f"It does not exist, nor does {parent}.", "Pass the data set's folder, or builtin://digits.")


def _on_s3(uri: str, wanted: Callable[[str], bool]) -> Place:
    from core.storage.fetch import fetch
    from core.storage.source import listing_source, resolve_source

    source = resolve_source(uri, "data")
    if not source.single:
        check_names((info.name for info in source.objects), source.uri)
        # A part has a digest of its own, so the cache never takes it for the whole.
        part = listing_source(source.uri, (info for info in source.objects if wanted(info.name)))
        return Place(source.uri, fetch(part), source.digest, source.objects)
    if not is_archive(source.uri):
        raise UserError("data", source.uri, _LAYOUT_RULE, f"Pass the prefix, or an archive ({', '.join(SUFFIXES)}).")
    return Place(source.uri, _unpacked(fetch(source), source.digest, source.size), source.digest)


def _unpacked(archive: Path, digest: str, size: int) -> Path:
    """Return the folder of an archive's content; where all of it lies in one folder, that one."""
    from core.storage.fetch import cached_folder

    def fill(folder: Path, work: Path) -> None:
        # A killed call leaves it partly filled, and unpacking cannot resume.
        shutil.rmtree(folder)
        folder.mkdir()
        unpack(archive, folder)

    key = hashlib.sha256(f"unpacked {digest}".encode()).hexdigest()
    folder = cached_folder(key, fill, size)
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder
