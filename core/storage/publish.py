"""Put a finished bundle where a model server or a person picks it up, whole or not at all."""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional

from core.bundle.manifest import MANIFEST, Manifest, damage
from core.errors import UserError
from core.storage.digest import BLOCK_BYTES, sha256_file
from core.storage.location import local_path

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"[1-9][0-9]*")
_UNFINISHED = ".publishing-"


@dataclass(frozen=True)
class Publication:
    """Where a bundle lies.

    Attributes:
        location: Absolute path of the version's folder.
        version: Its number.
        created: False where the same content had been published before.
    """

    location: Path
    version: int
    created: bool


def publish(bundle: Path, destination: str, model_name: str) -> Publication:
    """Copy ``bundle``, a folder with a manifest (``core.bundle``), to ``<destination>/<model_name>/<version>/``.

    The version is the next positive integer, or the existing one that holds the same content, undamaged. Everything
    is written to a hidden folder beside and renamed once: a reader never sees part of a bundle.

    Raises:
        UserError: The destination cannot be written or is not a folder of this machine, the model's name cannot be a
            folder's, or the bundle has no manifest.
    """
    models = _models_folder(destination, model_name)
    manifest = Manifest.read(bundle)
    with _destination_errors(models), _sole_writer(models):
        same = _version_with(models, manifest.content_sha256)
        if same is not None:
            return Publication(models / str(same), same, created=False)
        version = max(_versions(models), default=0) + 1
        _write_version(models / str(version), bundle, manifest)
    return Publication(models / str(version), version, created=True)


def check_destination(destination: str, model_name: str) -> None:
    """Check, without writing, that something could be published; an empty destination publishes nothing.

    Raises:
        UserError: As :func:`publish`.
    """
    models = _models_folder(destination or os.curdir, model_name)
    folder = next(path for path in (models, *models.parents) if path.exists())
    if destination and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise UserError("destination", models, f"It must be a folder that can be written, and {folder} is none.",
                        "Change its rights or choose another destination.")


def _models_folder(destination: str, model_name: str) -> Path:
    if not _MODEL_NAME.fullmatch(model_name):
        raise UserError("parameter model_name", repr(model_name), "It becomes a folder's name, so it must be letters, "
                        "digits, '.', '_' and '-', and begin with a letter or digit.", "Choose such a name.")
    return local_path(destination, "destination") / model_name


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
    with open(source, "rb") as original, open(target, "wb") as copy:
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


def _versions(models: Path) -> List[int]:
    return sorted(int(path.name) for path in models.iterdir() if _VERSION.fullmatch(path.name))


def _version_with(models: Path, content_sha256: str) -> Optional[int]:
    """Return the newest version with this content, undamaged."""
    for version in reversed(_versions(models)):
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
