"""What a location on S3 holds at this moment: found without downloading, with a digest by which it is recognised.

The digest is the sha256 of the JSON list of [name, size, ETag] of every object, sorted by name; the name of an object
that is the location itself does not count.
"""

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from core.base.errors import UserError
from core.storage.location import LATEST, Location, Scheme, parse_location
from core.storage.store import ObjectNotFound, StoredObject, store_at

_SHOWN = 10


@dataclass(frozen=True)
class Source:
    """One object or all objects below a prefix.

    Attributes:
        uri: Where they lie, without options.
        digest: By which the content is recognised.
        objects: What is there, by name below the prefix.
        single: Whether the location is itself the one object.
    """

    uri: str
    digest: str
    objects: tuple[StoredObject, ...]
    single: bool

    @property
    def size(self) -> int:
        """Return the bytes of all objects."""
        return sum(info.size for info in self.objects)


def resolve_source(location: str, thing: str = "location") -> Source:
    """List an S3 location and return what it holds; nothing is downloaded.

    Raises:
        UserError: It is not on S3, holds nothing, or cannot be listed.
    """
    parsed = resolve_latest(parse_location(location, thing), thing)
    if parsed.scheme is not Scheme.S3:
        raise UserError(thing, parsed, "It must be s3://bucket/prefix.", "Give such a location.")
    objects = tuple(store_at(parsed).list())
    if objects or not parsed.key:
        if not objects:
            raise ObjectNotFound(thing, parsed, "The bucket holds no object.", "Check the location.")
        return Source(str(parsed), _digest(objects), objects, single=False)
    folder, _, name = parsed.path.rpartition("/")
    info = store_at(Location(Scheme.S3, folder)).find(name)
    if info is None:
        raise ObjectNotFound(thing, parsed, "There must be such an object, or objects below it.",
                             "Check bucket and key.")
    return Source(str(parsed), _digest((info,), named=False), (info,), single=True)


def listing_source(uri: str, objects: Iterable[StoredObject]) -> Source:
    """Return chosen objects below ``uri`` as a source."""
    chosen = tuple(objects)
    return Source(uri, _digest(chosen), chosen, single=False)


def resolve_single(location: str, thing: str) -> Source:
    """Return what an S3 location holds, as :func:`resolve_source`; raise UserError where it is not one object."""
    source = resolve_source(location, thing)
    if not source.single:
        raise UserError(thing, source.uri, "It must be an object, and is a prefix of several.",
                        "Write the object's whole key.")
    return source


def resolve_latest(location: Location, thing: str) -> Location:
    """Return the location that ``?latest`` or ``?latest=PATTERN`` stands for; others unchanged.

    Of what lies directly below the location, ``?latest`` is the folder or object that was written to last, and
    ``?latest=v*`` the one with the highest version among those whose names match: digits count as numbers, so that
    v10 comes after v9.

    Raises:
        UserError: Nothing lies there, or nothing matches.
    """
    if LATEST not in location.query:
        return location
    pattern = location.query[LATEST]
    store = store_at(location)
    written: dict[str, datetime] = {}
    for info in store.list():
        child = info.name.partition("/")[0]
        written[child] = max(info.modified, written.get(child, info.modified))
    names = [name for name in written if fnmatch.fnmatchcase(name, pattern or "*") and not name.startswith(".")]
    if not names:
        near = ", ".join(sorted(written)[:_SHOWN]) or "nothing"
        raise UserError(thing, f"{location}?{LATEST}={pattern}", f"Something below it must match; there is {near}.",
                        "Check the location and the pattern.")
    latest = max(names, key=version_key if pattern else lambda name: (written[name], version_key(name)))
    path = str(Path(location.path, latest)) if location.scheme is Scheme.FILE else f"{location.path}/{latest}"
    return Location(location.scheme, path)


def version_key(name: str) -> list[tuple[int, int | str]]:
    """Return what orders names such that their digits count as numbers: 2 before 10, v1.9 before v1.10."""
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(part)) if number % 2 else (0, part) for number, part in enumerate(parts)]


def _digest(objects: tuple[StoredObject, ...], named: bool = True) -> str:
    rows = sorted([info.name if named else "", info.size, info.etag] for info in objects)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
