"""Put a finished bundle where a model server or a person picks it up, whole or not at all."""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.base.digest import BLOCK_BYTES, sha256_file
from core.base.errors import UserError
from core.base.files import naming_full_disk
from core.bundle.manifest import MANIFEST, Manifest, damage
from core.storage.location import Location, Scheme, parse_location

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"[1-9][0-9]*")
_UNFINISHED = ".publishing-"
_PREFLIGHT_ATTEMPTS = 3


@dataclass(frozen=True)
class Publication:
    """Where a bundle lies.

    Attributes:
        location: Absolute path of the version's folder, or its URI on S3.
        version: Its number.
        created: False where the same content had been published before.
    """

    location: Path | str
    version: int
    created: bool


def publish(bundle: Path, destination: str, model_name: str, version: int | None = None) -> Publication:
    """Copy ``bundle``, a folder with a manifest (``core.bundle``), to ``<destination>/<model_name>/<version>/``.

    Without a ``version`` it is the next positive integer, or the existing one that holds the same content, undamaged.
    In a folder everything is written to a hidden one beside and renamed once; on S3 the manifest is written last: a
    reader never sees part of a bundle.

    Args:
        bundle: The folder.
        destination: A folder of this machine or ``s3://bucket/prefix``.
        model_name: The model's folder there.
        version: A version to publish as; nothing is done where it holds the same content.

    Raises:
        UserError: The destination cannot be written, the model's name cannot be a folder's, the bundle has no
            manifest, or the version holds other content.
    """
    if version is not None and version < 1:
        raise UserError("version", version, "It must be a positive integer.", "Leave it out to publish the next one.")
    manifest = Manifest.read(bundle)
    location = _models_location(destination, model_name)
    if location.scheme is Scheme.S3:
        return _publish_on_s3(bundle, manifest, location, version)
    models = Path(location.path)
    with _destination_errors(models), _sole_writer(models):
        same = _version_with(models, manifest.content_sha256, version)
        if same is not None:
            return Publication(models / str(same), same, created=False)
        version = version or max(_versions(models), default=0) + 1
        if (models / str(version)).exists():
            raise _other_content(models / str(version))
        _write_version(models / str(version), bundle, manifest)
    return Publication(models / str(version), version, created=True)


def check_destination(destination: str, model_name: str, version: int = 0) -> None:
    """Check that something could be published; an empty destination publishes nothing.

    In a folder nothing is written; on S3 a small object is written and deleted.

    Args:
        destination: A folder of this machine, ``s3://bucket/prefix``, or empty.
        model_name: The model's folder there.
        version: The version to publish as, which must be free; 0 stands for the next one.

    Raises:
        UserError: As :func:`publish`, or the version is there already.
    """
    if version < 0:
        raise UserError("parameter model_version", version, "It must be a positive integer, or 0 for the next one.",
                        "Leave it at 0.")
    location = _models_location(destination or os.curdir, model_name)
    if location.scheme is Scheme.S3:
        from core.bundle.publish_s3 import S3Publisher, check_s3_destination
        from core.storage.s3_store import S3Store

        store = S3Store(location.bucket, location.key, attempts=_PREFLIGHT_ATTEMPTS)
        check_s3_destination(store)
        taken = version > 0 and S3Publisher(store).is_published(version)
    else:
        models = Path(location.path)
        folder = next(path for path in (models, *models.parents) if path.exists())
        if destination and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            raise UserError("destination", models, f"It must be a folder that can be written, and {folder} is none.",
                            "Change its rights or choose another destination.")
        taken = bool(destination) and version > 0 and (models / str(version)).exists()
    if taken:
        raise UserError("parameter model_version", version, f"{location} has this version already.",
                        "Choose a free one, or 0, which publishes the next one and the same content only once.")


def _publish_on_s3(bundle: Path, manifest: Manifest, location: Location, version: int | None) -> Publication:
    from core.bundle.publish_s3 import S3Publisher
    from core.storage.s3_store import S3Store

    publisher = S3Publisher(S3Store(location.bucket, location.key))
    same = publisher.version_with(bundle, manifest, version)
    if same is not None:
        return Publication(f"{location}/{same}", same, created=False)
    if version is not None and publisher.is_published(version):
        raise _other_content(f"{location}/{version}")
    written = publisher.write(bundle, manifest, version)
    return Publication(f"{location}/{written}", written, created=True)


def _other_content(place: object) -> UserError:
    return UserError("destination", place, "A version that is published never gets other content.",
                     "Leave the version out to publish the next one.")


def _models_location(destination: str, model_name: str) -> Location:
    if not _MODEL_NAME.fullmatch(model_name):
        raise UserError("parameter model_name", repr(model_name), "It becomes a folder's name, so it must be letters, "
                        "digits, '.', '_' and '-', and begin with a letter or digit.", "Choose such a name.")
    location = parse_location(destination, "destination")
    if location.query or location.scheme is Scheme.BUILTIN:
        raise UserError("destination", location, "It must be a folder or s3://bucket/prefix, without options.",
                        "Give such a location.")
    return Location(location.scheme, f"{location.path}/{model_name}")


def _write_version(target: Path, bundle: Path, manifest: Manifest) -> None:
    unfinished = target.with_name(f"{_UNFINISHED}{uuid.uuid4().hex}")
    try:
        for name, record in manifest.files.items():
            _copy(bundle / name, unfinished / name, record.sha256)
        _copy(bundle / MANIFEST, unfinished / MANIFEST, sha256_file(bundle / MANIFEST))
        for folder in sorted((path for path in unfinished.rglob("*") if path.is_dir()), reverse=True):
            _sync_folder(folder)
        _sync_folder(unfinished)
        os.rename(unfinished, target)
        _sync_folder(target.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _copy(source: Path, target: Path, expected: str) -> None:
    """Copy a file durably and check that its bytes were still the ones digested."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with naming_full_disk(target), open(source, "rb") as original, open(target, "wb") as copy:
        for block in iter(lambda: original.read(BLOCK_BYTES), b""):
            digest.update(block)
            copy.write(block)
        copy.flush()
        os.fsync(copy.fileno())
    if digest.hexdigest() != expected:
        raise UserError("bundle file", source, "It is not the file that the bundle's manifest describes: it changed.",
                        "Let nothing write to the bundle and publish again.")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(str(folder), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _versions(models: Path) -> list[int]:
    return sorted(int(path.name) for path in models.iterdir() if _VERSION.fullmatch(path.name))


def _version_with(models: Path, content_sha256: str, only: int | None) -> int | None:
    """Return the newest version with this content, undamaged; ``only`` looks at one alone."""
    for version in reversed([version for version in _versions(models) if only in (None, version)]):
        folder = models / str(version)
        with contextlib.suppress(UserError):
            manifest = Manifest.read(folder)
            if manifest.content_sha256 == content_sha256 and not damage(folder, manifest):
                return version
    return None


@contextlib.contextmanager
def _sole_writer(models: Path) -> Iterator[None]:
    """Hold the model's folder, so that two publishers take turns, and clear what a killed one left."""
    models.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(str(models), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for abandoned in models.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(abandoned)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _destination_errors(models: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise UserError("destination", models, f"It must be a folder that can be written ({error.strerror}: "
                            f"{error.filename}).", "Change its rights or choose another destination.") from error
        raise
