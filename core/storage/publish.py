"""Put a finished bundle where a model server or a person picks it up, whole or not at all."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional

from core.errors import UserError
from core.storage.digest import BLOCK_BYTES, sha256_file
from core.storage.location import local_path

MANIFEST = "bundle.json"
SCHEMA = 1
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"[1-9][0-9]*")
_UNFINISHED = ".publishing-"


@dataclass(frozen=True)
class Bundle:
    """What is published together.

    Attributes:
        compressed: Folder of the compressed IR.
        fp32: Folder of the FP32 IR.
        summary: The run's summary.json.
        html: The run's report.
    """

    compressed: Path
    fp32: Path
    summary: Path
    html: Path

    def files(self) -> Dict[str, Path]:
        """Return each file under the relative path at which it is published, sorted.

        The compressed IR lies at the top, where a model server looks for ``*.xml`` and ``*.bin``
        (https://docs.openvino.ai/2024/ovms_docs_models_repository.html).
        """
        files = {"summary.json": self.summary, "report.html": self.html}
        for prefix, folder in (("", self.compressed), ("fp32/", self.fp32)):
            for path in folder.rglob("*"):
                if path.is_file():
                    files[prefix + path.relative_to(folder).as_posix()] = path
        return dict(sorted(files.items()))


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


def publish(bundle: Bundle, destination: str, model_name: str) -> Publication:
    """Copy ``bundle`` to ``<destination>/<model_name>/<version>/`` with a manifest of digests.

    The version is the next positive integer, or the existing one that holds the same content. Everything is
    written to a hidden folder beside and renamed once: a reader never sees part of a bundle.

    Raises:
        UserError: The destination cannot be written or is not a folder of this machine, or the model's name cannot
            be a folder's.
    """
    models = _models_folder(destination, model_name)
    files = bundle.files()
    digests = {name: sha256_file(path) for name, path in files.items()}
    with _destination_errors(models), _sole_writer(models):
        same = _version_with(models, digests)
        if same is not None:
            return Publication(models / str(same), same, created=False)
        version = max(_versions(models), default=0) + 1
        _write_version(models / str(version), model_name, files, digests)
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


def content_digest(digests: Dict[str, str]) -> str:
    """Return the SHA-256 over relative paths and file digests, in path order."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def _models_folder(destination: str, model_name: str) -> Path:
    if not _MODEL_NAME.fullmatch(model_name):
        raise UserError("parameter model_name", repr(model_name), "It becomes a folder's name, so it must be letters, "
                        "digits, '.', '_' and '-', and begin with a letter or digit.", "Choose such a name.")
    return local_path(destination, "destination") / model_name


def _write_version(target: Path, model_name: str, files: Dict[str, Path], digests: Dict[str, str]) -> None:
    unfinished = target.with_name(f"{_UNFINISHED}{uuid.uuid4().hex}")
    try:
        for name, source in files.items():
            _copy(source, unfinished / name, digests[name])
        manifest = {"schema": SCHEMA, "model_name": model_name, "version": int(target.name),
                    "content_sha256": content_digest(digests),
                    "files": {name: {"sha256": digest, "bytes": files[name].stat().st_size}
                              for name, digest in digests.items()}}
        _write_durably(unfinished / MANIFEST, json.dumps(manifest, indent=2).encode("utf-8") + b"\n")
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
        raise UserError("bundle file", source, "It changed while it was being published.",
                        "Let nothing write to the run's artifacts and publish again.")


def _write_durably(path: Path, contents: bytes) -> None:
    with open(path, "wb") as file:
        file.write(contents)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(str(folder), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _versions(models: Path) -> List[int]:
    return sorted(int(path.name) for path in models.iterdir() if _VERSION.fullmatch(path.name))


def _version_with(models: Path, digests: Dict[str, str]) -> Optional[int]:
    """Return the newest version that holds exactly these files, undamaged."""
    for version in reversed(_versions(models)):
        folder = models / str(version)
        present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        if present == digests.keys() | {MANIFEST} and all(
                sha256_file(folder / name) == digest for name, digest in digests.items()):
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
