"""What an S3 service says of its objects, taken apart without trust: a server may leave out or invent anything."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from core.base.errors import UserError
from core.base.text import bounded_repr, shown
from core.storage.store import StoredObject

MOST_OBJECTS, MOST_PAGES = 10_000_000, 200_000
_MOST_KEY_BYTES, _MOST_ETAG, _LARGEST = 1024, 256, 1 << 63
_SERVICE = "Check the endpoint: it must be an S3 service."


def listed_objects(pages: Iterable[Mapping[str, Any]], prefix: str, uri: str) -> list[StoredObject]:
    """Return the objects of a listing by name; keys that end in a slash are consoles' folder marks and left out.

    Args:
        prefix: What every key must begin with; the names are what follows it.

    Raises:
        UserError: The answer cannot be read, or a key, size, ETag or date is missing, malformed or there twice.
    """
    found: dict[str, StoredObject] = {}
    for entry in _entries(pages, uri):
        key = entry.get("Key")
        if not isinstance(key, str) or not key.startswith(prefix) or len(key.encode("utf-8", "replace")) > (
                _MOST_KEY_BYTES):
            raise UserError(f"listing of {uri}", f"the key {bounded_repr(key)}",
                            f"A key has up to {_MOST_KEY_BYTES} bytes and begins with {prefix!r}.", _SERVICE)
        if key.endswith("/"):
            continue
        name = key[len(prefix):]
        if name in found:
            raise UserError(f"listing of {uri}", f"the key {bounded_repr(key)} twice", "An object is listed once.",
                            _SERVICE)
        found[name] = stored_object(name, entry.get("Size"), entry, uri)
    return sorted(found.values(), key=lambda info: info.name)


def stored_object(name: str, size: Any, answer: Mapping[str, Any], uri: str) -> StoredObject:
    """Return what an answer says of one object.

    Args:
        size: Its bytes, as the service says.
        answer: Holds ``ETag`` and ``LastModified``.

    Raises:
        UserError: One of them is missing or malformed.
    """
    etag, modified = answer.get("ETag"), answer.get("LastModified")
    if type(size) is not int or not 0 <= size < _LARGEST:
        raise _missing("size", size, name, uri)
    if not isinstance(etag, str) or not etag.strip('"') or len(etag) > _MOST_ETAG or not etag.isprintable():
        raise _missing("ETag", etag, name, uri)
    try:
        # Listings tell fractions of a second, headers do not.
        when = modified.astimezone(UTC).replace(microsecond=0) if isinstance(modified, datetime) else None
    except (OverflowError, ValueError):
        when = None
    if when is None:
        raise _missing("date", modified, name, uri)
    return StoredObject(name, size, etag.strip('"'), when)


def _entries(pages: Iterable[Mapping[str, Any]], uri: str) -> Iterable[Mapping[str, Any]]:
    from botocore.parsers import ResponseParserError

    count = 0
    try:
        for number, page in enumerate(pages):
            entries = page.get("Contents", [])
            count += len(entries)
            if number >= MOST_PAGES or count > MOST_OBJECTS:
                raise UserError(f"listing of {uri}", f"more than {MOST_OBJECTS:,} objects or {MOST_PAGES:,} pages",
                                "A listing is read up to there.", "Choose a longer prefix.")
            if not all(isinstance(entry, Mapping) for entry in entries):
                raise TypeError("an entry that is none")
            yield from entries
    except (ResponseParserError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError,
            ValueError) as error:
        raise UserError(f"listing of {uri}", f"{type(error).__name__}: {shown(error)}",
                        "The answer must be a listing of objects (ListObjectsV2).", _SERVICE) from error


def _missing(what: str, value: Any, name: str, uri: str) -> UserError:
    found = "no" if value is None else bounded_repr(value)
    return UserError(f"object {bounded_repr(name)} of {uri}", f"{found} {what}",
                     "An S3 service states size, ETag and date of every object.", _SERVICE)
