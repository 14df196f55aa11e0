"""One way to list, read and write objects, whether they lie in a folder of this machine or on a storage service."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from core.base.errors import UserError
from core.base.text import bounded_repr
from core.storage.location import Location, Scheme, parse_location


@dataclass(frozen=True)
class StoredObject:
    """What a listing says of an object.

    Attributes:
        name: Its name below the store's location, with forward slashes.
        etag: Changes whenever the content does; on S3 mostly the MD5, or one of the parts' MD5s.
        modified: When it was last written, in UTC; on S3 in whole seconds.
    """

    name: str
    size: int
    etag: str
    modified: datetime


class ObjectNotFound(UserError):
    """There is no such object."""


class AccessDenied(UserError):
    """The object or the place exists or not; these credentials or permissions give no access to it."""


class ObjectExists(UserError):
    """An object that had to be new is there already."""


class NotSupported(UserError):
    """The service does not support the request."""


class Store(ABC):
    """Objects below one location.

    A reader sees an object whole or not at all: writing puts the new content in the old one's place at once.

    Every method raises :class:`ObjectNotFound`, :class:`AccessDenied` or another UserError that names the object and
    the cause, once retries are of no use; and OSError where this machine's own disk is full.

    Attributes:
        location: Where it lies, for messages and for ``open_store``.
    """

    def __init__(self, location: str) -> None:
        self.location = location

    @abstractmethod
    def list(self, prefix: str = "") -> list[StoredObject]:
        """Return the objects whose names begin with ``prefix``, by name; an absent place holds none."""

    @abstractmethod
    def find(self, name: str) -> StoredObject | None:
        """Return what is known of one object, or None where there is none."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return an object's content, verified; for small ones, as it is held in memory."""

    def holds(self, name: str, contents: bytes) -> bool:
        """Return whether an object is there with these contents; another size is not read, whatever it is."""
        try:
            info = self.find(name)
            return info is not None and info.size == len(contents) and self.read(name) == contents
        except ObjectNotFound:
            return False

    @abstractmethod
    def write(self, name: str, contents: bytes, only_new: bool = False) -> None:
        """Write an object from memory.

        Args:
            only_new: Refuse to replace an object; of two writers at a time one wins.

        Raises:
            ObjectExists: ``only_new``, and it is there.
        """

    @abstractmethod
    def download(self, name: str, path: Path) -> None:
        """Copy an object, verified, to a file, which takes the place of ``path`` when it is whole."""

    @abstractmethod
    def upload(self, path: Path, name: str, sha256: str = "") -> None:
        """Copy a file to an object, verified.

        Args:
            sha256: The file's SHA-256 in hexadecimal where it is known, which saves reading it once more.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete an object; one that is not there is deleted already."""

    def uri(self, name: str) -> str:
        """Return where an object lies, for messages."""
        return f"{self.location.rstrip('/')}/{name}"


def check_name(name: str, store: str) -> None:
    """Refuse a name that is empty or absolute, or has empty parts, ``.``, ``..`` or control characters."""
    if any(part in ("", ".", "..") for part in name.split("/")) or any(ord(letter) < 32 for letter in name):
        raise UserError("object name", f"{bounded_repr(name)} in {store}", "It must be names between slashes, without "
                        "'.', '..', control characters or a slash at its ends.", "Rename the object.")


def check_names(names: Iterable[str], store: str) -> None:
    """Refuse names that :func:`check_name` refuses, and those that are also the folder of another."""
    files = set(names)
    for name in files:
        check_name(name, store)
    folders = {str(folder) for name in files for folder in PurePosixPath(name).parents}
    for name in sorted(files & folders):
        raise UserError("object", f"{name} in {store}", "No object's name may be another's folder: both cannot be "
                        "files.", "Rename one of them.")


def open_store(location: str, thing: str = "location") -> Store:
    """Return the store at a location: a path, a ``file://`` URI or ``s3://bucket/prefix``.

    Nothing is read or made yet; S3's endpoint, region and credentials are boto3's own (see docs/storage.md).

    Raises:
        UserError: The location is malformed or cannot hold objects.
    """
    parsed = parse_location(location, thing)
    if parsed.query or parsed.scheme is Scheme.BUILTIN:
        raise UserError(thing, parsed, "Objects are kept in a folder or below s3://bucket/prefix, without options.",
                        "Give such a location.")
    return store_at(parsed)


def store_at(location: Location) -> Store:
    """Return the store at a parsed location; its options are not looked at."""
    if location.scheme is Scheme.S3:
        from core.storage.s3_store import S3Store

        return S3Store(location.bucket, location.key)
    from core.storage.folder_store import FolderStore

    return FolderStore(Path(location.path))
