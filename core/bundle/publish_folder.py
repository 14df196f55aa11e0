"""Publishing to a folder: everything is written beside and renamed once.

The states of a version, which are passed in this order:

=========  ==========================================================================================================
state      what is on the disk
=========  ==========================================================================================================
free       nothing
writing    ``.publishing-<random>/`` with some of the files; its writer holds the model's folder by a lock (flock)
committed  ``<version>/`` with all files and the manifest, by one rename
=========  ==========================================================================================================

Files, folders and the folder that was renamed into are flushed (fsync) in this order, so that a power cut shows no
state that was not passed. The lock ends with its holder, however that ends; whoever holds it next deletes what is still
in the state *writing*. Nothing that is committed is changed or deleted. The folder's file system must know locks and
atomic renames, as local ones and NFS 4 do.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from core.base.digest import BLOCK_BYTES, sha256_file
from core.base.errors import UserError
from core.base.files import naming_full_disk
from core.bundle.manifest import MANIFEST, Manifest, damage

_VERSION = re.compile(r"[1-9][0-9]*")
_UNFINISHED = ".publishing-"


class FolderPublisher:
    """Publishes bundles of one model.

    Args:
        models: The folder of the model's versions; it is made where it is absent.
    """

    def __init__(self, models: Path) -> None:
        self._models = models

    def publish(self, bundle: Path, manifest: Manifest, version: int | None) -> tuple[int, bool]:
        """Publish a bundle as ``version``, or the next one where None.

        Returns:
            The version's number, and whether it was published by this call.

        Raises:
            UserError: The folder cannot be written, a file is not the one that the manifest describes, or the version
                holds other content.
            OSError: The disk is full or faulty.
        """
        with self._sole_writer():
            same = self._version_with(manifest.content_sha256, version)
            if same is not None:
                return same, False
            version = version or max(self._versions(), default=0) + 1
            target = self._models / str(version)
            if target.exists():
                raise UserError("destination", target, "A version that is published never gets other content.",
                                "Leave the version out to publish the next one.")
            _write_version(target, bundle, manifest)
        return version, True

    def is_taken(self, version: int) -> bool:
        """Return whether there is such a version."""
        return (self._models / str(version)).exists()

    def check_writable(self) -> None:
        """Raise UserError where the folder, or the nearest above it that exists, cannot be written."""
        folder = next(path for path in (self._models, *self._models.parents) if path.exists())
        if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            raise UserError("destination", self._models, f"It must be a folder that can be written, and {folder} is "
                            "none.", "Change its rights or choose another destination.")

    def _versions(self) -> list[int]:
        return sorted(int(path.name) for path in self._models.iterdir() if _VERSION.fullmatch(path.name))

    def _version_with(self, content_sha256: str, only: int | None) -> int | None:
        """Return the newest version with this content, undamaged; ``only`` looks at one alone."""
        for version in reversed([version for version in self._versions() if only in (None, version)]):
            folder = self._models / str(version)
            with contextlib.suppress(UserError):
                manifest = Manifest.read(folder)
                if manifest.content_sha256 == content_sha256 and not damage(folder, manifest):
                    return version
        return None

    @contextlib.contextmanager
    def _sole_writer(self) -> Iterator[None]:
        """Hold the model's folder, made durably, so that two publishers take turns; clear what a killed one left."""
        try:
            missing = [path for path in (self._models, *self._models.parents) if not path.exists()]
            self._models.mkdir(parents=True, exist_ok=True)
            for path in missing:
                _sync_folder(path.parent)
            with _opened(self._models) as descriptor:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                for abandoned in self._models.glob(f"{_UNFINISHED}*"):
                    shutil.rmtree(abandoned)
                yield
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
                raise UserError("destination", self._models, f"It must be a folder that can be written "
                                f"({error.strerror}: {error.filename}).",
                                "Change its rights or choose another destination.") from error
            raise


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
    with _opened(folder) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
