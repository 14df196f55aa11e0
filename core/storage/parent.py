"""The checkpoint a run starts from, where one is given."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.base.digest import sha256_file
from core.base.errors import UserError
from core.base.text import bounded_repr
from core.storage.fetch import fetch
from core.storage.location import Scheme, local_path, parse_location
from core.storage.source import resolve_latest, resolve_single

THING = "checkpoint"


@dataclass(frozen=True)
class ParentRef:
    """A checkpoint as it travels between stages.

    Attributes:
        uri: Absolute path of the file, or the object's URI; empty when the run trains its own.
        digest: SHA-256 of the file in hexadecimal, or the object's digest (see ``core.storage.source``); empty
            likewise.
    """

    uri: str
    digest: str

    def to_json(self) -> dict[str, str]:
        """Return the reference as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ParentRef":
        """Return the reference that :meth:`to_json` wrote; raise UserError where ``value`` is none."""
        if set(value) != {"uri", "digest"} or not all(isinstance(item, str) for item in value.values()):
            raise UserError("checkpoint reference", bounded_repr(value), "It must have uri and digest, both text.",
                            "Pass the resolve stage's output unchanged.")
        return cls(uri=value["uri"], digest=value["digest"])


def resolve_parent(location: str) -> ParentRef:
    """Find and digest the checkpoint at ``location``; an empty location stands for none.

    On S3 nothing is downloaded.

    Raises:
        UserError: There is no file or object.
    """
    if not location:
        return ParentRef("", "")
    parsed = resolve_latest(parse_location(location, THING), THING)
    if parsed.scheme is Scheme.S3:
        source = resolve_single(str(parsed), THING)
        return ParentRef(source.uri, source.digest)
    path = local_path(str(parsed), THING)
    if not path.is_file():
        raise UserError(THING, path, "It must be a file that exists.",
                        "Check the path, or leave the parameter empty to train a model first.")
    return ParentRef(str(path), sha256_file(path))


def open_parent(parent: ParentRef) -> Path | None:
    """Return the checkpoint's path, or None where the run trains its own; from S3 it is fetched into the cache.

    Raises:
        UserError: The file is gone or is no longer the one that was resolved.
    """
    if not parent.uri:
        return None
    found = resolve_parent(parent.uri)
    if found.digest != parent.digest:
        raise UserError(THING, parent.uri, f"It changed after the run had begun: its digest was {parent.digest} and is "
                        f"now {found.digest}.", "Start the run again to use the new file.")
    if parse_location(parent.uri).scheme is Scheme.S3:
        return fetch(resolve_single(parent.uri, THING))
    return Path(found.uri)
