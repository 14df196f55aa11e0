"""Locations as users write them: plain paths, file:// and s3:// URIs, and what is built in.

``?`` begins options in a URI. Apart from that an s3:// URI is taken as the AWS command line takes it: the key stands
there as it is, without percent-encoding.
"""

import os
import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from core.base.errors import UserError

LATEST = "latest"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


class Scheme(Enum):
    """Where a location lies."""

    FILE = "file"
    S3 = "s3"
    BUILTIN = "builtin"


@dataclass(frozen=True)
class Location:
    """A location taken apart.

    Attributes:
        path: An absolute path of this machine, a bucket and key with ``/`` between, or the name of something built in.
    """

    scheme: Scheme
    path: str
    query: dict[str, str] = field(default_factory=dict)

    @property
    def bucket(self) -> str:
        """Return an S3 location's bucket."""
        return self.path.partition("/")[0]

    @property
    def key(self) -> str:
        """Return an S3 location's key or prefix, without slashes at its ends."""
        return self.path.partition("/")[2]

    def __str__(self) -> str:
        if self.scheme is Scheme.FILE:
            return self.path
        return f"{self.scheme.value}://{self.path}"


def parse_location(location: str, thing: str = "location") -> Location:
    """Take a location apart.

    Args:
        location: A path, absolute or from the current folder; a ``file:`` URI of this machine; ``s3://bucket/prefix``;
            or ``builtin://name``. URIs may have options as a query.

    Raises:
        UserError: The location is empty, malformed, on another machine, or of a kind that is not known.
    """
    if not location or "\0" in location:
        raise UserError(thing, repr(location), "It must be a path or a URI.", "Write one, such as /data/set.")
    if location.startswith("file:"):
        return _file_uri(location, thing)
    if not _SCHEME.match(location):
        return Location(Scheme.FILE, os.path.abspath(os.path.expanduser(location)))
    scheme, _, rest = location.partition("://")
    path, _, query = rest.partition("?")
    if scheme == Scheme.S3.value:
        return Location(Scheme.S3, _bucket_and_key(path, location, thing), _latest_option(query, location, thing))
    if scheme != Scheme.BUILTIN.value:
        raise UserError(thing, without_secrets(location), f"{scheme}:// is not a known kind of location.",
                        "Give a path, a file:// URI or s3://bucket/prefix.")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError as error:
        raise UserError(thing, location, f"What follows '?' is not name=value pairs ({error}).",
                        "Write for example builtin://digits?seed=1.") from error
    if len(dict(pairs)) != len(pairs):
        raise UserError(thing, location, "An option is given twice.", "Give each option once.")
    return Location(Scheme.BUILTIN, path.rstrip("/"), dict(pairs))


def local_path(location: str, thing: str = "location") -> Path:
    """Return the absolute path of a location on this machine.

    Raises:
        UserError: As :func:`parse_location`; or it is something built in.
    """
    parsed = parse_location(location, thing)
    if parsed.scheme is not Scheme.FILE or parsed.query:
        raise UserError(thing, without_secrets(location), "It must be a path of this machine.",
                        "Give a path or a file:// URI.")
    return Path(parsed.path)


def without_secrets(location: str) -> str:
    """Return a URI without the user part and the query, where keys and signatures stand."""
    return re.sub(r"//[^/]*@", "//***@", location).partition("?")[0]


def _bucket_and_key(path: str, location: str, thing: str) -> str:
    bucket, _, key = path.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise UserError(thing, without_secrets(location), "After s3:// stands a bucket: letters, digits, '.', '_' and "
                        "'-'; never keys or passwords.", "Write s3://bucket/prefix.")
    parts = key.strip("/").split("/") if key.strip("/") else []
    if any(part in ("", ".", "..") for part in parts) or any(ord(letter) < 32 for letter in key):
        raise UserError(thing, repr(without_secrets(location)), "Between its slashes a key has names other than '.' "
                        "and '..', without control characters.", "Write s3://bucket/prefix.")
    return "/".join([bucket, *parts])


def _file_uri(location: str, thing: str) -> Location:
    try:
        parts = urlsplit(location)
    except ValueError as error:
        raise UserError(thing, location, f"It is not a URI ({error}).", "Write file:///path.") from error
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise UserError(thing, location, "A file URI has three slashes before an absolute path of this machine.",
                        "Write file:///path.")
    path = unquote(parts.path)
    if "\0" in path or parts.fragment:
        raise UserError(thing, location, "In a file URI '?', '#' and '%' of the path are written %3F, %23, %25.",
                        "Write it so, or as a plain path.")
    return Location(Scheme.FILE, os.path.abspath(path), _latest_option(parts.query, location, thing))


def _latest_option(query: str, location: str, thing: str) -> dict[str, str]:
    """Return the one option of a stored location; others, such as a signature's, are refused and not repeated."""
    if not query:
        return {}
    name, _, pattern = query.partition("=")
    if name != LATEST or "&" in pattern or "/" in pattern:
        raise UserError(thing, without_secrets(location), f"After '?' only {LATEST} or {LATEST}=PATTERN can stand.",
                        "Write for example s3://bucket/models?latest=v*, and leave signatures to the credentials.")
    return {LATEST: pattern}
