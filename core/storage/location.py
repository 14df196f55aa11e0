"""Locations as users write them: plain paths, file:// URIs, and what is built in."""

import os
import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Dict
from urllib.parse import parse_qsl, unquote, urlsplit

from core.errors import UserError


class Scheme(Enum):
    """Where a location lies."""

    FILE = "file"
    BUILTIN = "builtin"


@dataclass(frozen=True)
class Location:
    """A location taken apart.

    Attributes:
        scheme: Where it lies.
        path: An absolute path of this machine, or the name of something built in.
        query: Options of something built in, by name.
    """

    scheme: Scheme
    path: str
    query: Dict[str, str] = field(default_factory=dict)


def parse_location(location: str, thing: str = "location") -> Location:
    """Take a location apart.

    Args:
        location: A path, absolute or from the current folder; a ``file:`` URI of this machine; or ``builtin://name``
            with options as a query.
        thing: What lies there, for messages.

    Raises:
        UserError: The location is empty, malformed, on another machine, or on a storage service.
    """
    if not location or "\0" in location:
        raise UserError(thing, repr(location), "It must be a path or a URI.", "Write one, such as /data/set.")
    if location.startswith("file:"):
        return Location(Scheme.FILE, _path_of_uri(location, thing))
    scheme, separator, rest = location.partition("://")
    if not separator:
        return Location(Scheme.FILE, os.path.abspath(os.path.expanduser(location)))
    if scheme != Scheme.BUILTIN.value:
        raise UserError(thing, _without_secrets(location),
                        f"{scheme}:// is not supported yet; storage services come later.",
                        "Give a folder or file of this machine, as a path or a file:// URI.")
    name, _, query = rest.partition("?")
    return Location(Scheme.BUILTIN, name.rstrip("/"), _options(query, location, thing))


def local_path(location: str, thing: str = "location") -> Path:
    """Return the absolute path of a location on this machine.

    Raises:
        UserError: As :func:`parse_location`; or it is something built in.
    """
    parsed = parse_location(location, thing)
    if parsed.scheme is not Scheme.FILE:
        raise UserError(thing, location, "It must be a path of this machine.", "Give a path or a file:// URI.")
    return Path(parsed.path)


def _without_secrets(location: str) -> str:
    """Return a URI without the user part and the query, where keys and signatures stand."""
    return re.sub(r"//[^/]*@", "//***@", location).partition("?")[0]


def _path_of_uri(location: str, thing: str) -> str:
    try:
        parts = urlsplit(location)
    except ValueError as error:
        raise UserError(thing, location, f"It is not a URI ({error}).", "Write file:///path.") from error
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise UserError(thing, location, "A file URI has three slashes before an absolute path of this machine.",
                        "Write file:///path.")
    path = unquote(parts.path)
    if "\0" in path or parts.query or parts.fragment:
        raise UserError(thing, location, "A file URI is only a path; '?', '#' and '%' are written %3F, %23, %25.",
                        "Write it so, or as a plain path.")
    return os.path.abspath(path)


def _options(query: str, location: str, thing: str) -> Dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError as error:
        raise UserError(thing, location, f"What follows '?' is not name=value pairs ({error}).",
                        "Write for example builtin://digits?seed=1.") from error
    if len(dict(pairs)) != len(pairs):
        raise UserError(thing, location, "An option is given twice.", "Give each option once.")
    return dict(pairs)
