"""Publishing to S3, which has no rename: all objects first and one small manifest last.

A version counts as published once its manifest is there. Two publishers cannot write the same version: each first
claims one by an object ``.claims/<version>`` that must be new (If-None-Match). Where a server ignores that condition,
the claim is read again, and only a write within the same instant goes unseen.
"""

import contextlib
import re
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.base.digest import sha256_file
from core.base.errors import UserError
from core.bundle.manifest import MANIFEST, FileRecord, Manifest
from core.storage.s3_store import S3Store
from core.storage.store import ObjectExists, StoredObject
from core.storage.verification import matches

_CLAIMS = ".claims/"
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
# No publisher works for a day: what one left before that, it left for good.
_ABANDONED = timedelta(days=1)
_MOST_CLAIMS = 100


class S3Publisher:
    """Publishes bundles of one model.

    Args:
        store: Where the model's versions lie.
    """

    def __init__(self, store: S3Store) -> None:
        self._store = store

    def version_with(self, bundle: Path, manifest: Manifest, only: int | None) -> int | None:
        """Return the newest published version with the same content, undamaged as far as a listing tells.

        ``only`` looks at one version alone.
        """
        listing = self._listing()
        for version in sorted(_published(listing) & ({only} if only else set(listing)), reverse=True):
            theirs = self.manifest_of(version)
            if theirs is not None and theirs.content_sha256 == manifest.content_sha256:
                with ThreadPoolExecutor(2) as pool:
                    if all(_is_sound(listing[version].get(name), record, bundle / name, manifest.files.get(name), pool)
                           for name, record in theirs.files.items()):
                        return version
        return None

    def manifest_of(self, version: int) -> Manifest | None:
        """Return a published version's manifest, or None where it is no manifest of this program."""
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(UserError):
            self._store.download(f"{version}/{MANIFEST}", Path(folder) / MANIFEST)
            return Manifest.read(Path(folder))
        return None

    def is_published(self, version: int) -> bool:
        """Return whether a version's manifest is there."""
        return self._store.find(f"{version}/{MANIFEST}") is not None

    def write(self, bundle: Path, manifest: Manifest, version: int | None) -> int:
        """Write a bundle as ``version``, or the next one where None, and return its number.

        Raises:
            UserError: A file is not the one that the manifest describes, the version is being published by somebody
                else, or the service fails.
        """
        self._clear_abandoned()
        with self._claimed(version) as number:
            written: list[str] = []
            try:
                for name, record in manifest.files.items():
                    if sha256_file(bundle / name) != record.sha256:
                        raise UserError("bundle file", bundle / name, "It is not the file that the bundle's manifest "
                                        "describes: it changed.", "Let nothing write to the bundle and publish again.")
                    written.append(f"{number}/{name}")
                    self._store.upload(bundle / name, written[-1])
                self._store.write(f"{number}/{MANIFEST}", (bundle / MANIFEST).read_bytes(), only_new=True)
            except BaseException:
                for name in written:
                    self._store.delete(name)
                raise
        return number

    @contextlib.contextmanager
    def _claimed(self, version: int | None) -> Iterator[int]:
        """Hold a version that nobody has published or begun."""
        following = max([0, *self._listing(), *self._claims()]) + 1
        for number in [version] if version else range(following, following + _MOST_CLAIMS):
            mine = uuid.uuid4().hex.encode("ascii")
            try:
                self._store.write(f"{_CLAIMS}{number}", mine, only_new=True)
            except ObjectExists:
                continue
            if self._store.read(f"{_CLAIMS}{number}") != mine:
                continue
            try:
                if self.is_published(number):
                    continue
                yield number
                return
            finally:
                self._store.delete(f"{_CLAIMS}{number}")
        place = self._store.uri(str(version or following))
        raise UserError("destination", place, "Somebody else is publishing this version.",
                        "Wait and try again; what a killed publisher left is cleared after a day.")

    def _listing(self) -> dict[int, dict[str, StoredObject]]:
        """Return the objects of every version by their names in it."""
        versions: dict[int, dict[str, StoredObject]] = {}
        for info in self._store.list():
            version, _, name = info.name.partition("/")
            if name and _VERSION.fullmatch(version):
                versions.setdefault(int(version), {})[name] = info
        return versions

    def _claims(self) -> dict[int, StoredObject]:
        return {int(info.name[len(_CLAIMS):]): info for info in self._store.list(_CLAIMS)
                if _VERSION.fullmatch(info.name[len(_CLAIMS):])}

    def _clear_abandoned(self) -> None:
        for version, claim in self._claims().items():
            if datetime.now(UTC) - claim.modified > _ABANDONED:
                if not self.is_published(version):
                    for info in self._store.list(f"{version}/"):
                        self._store.delete(info.name)
                self._store.delete(claim.name)


def check_s3_destination(store: S3Store) -> None:
    """Check within seconds that a bundle could be published: list, write and delete a small object.

    Raises:
        UserError: The service is not reached, or the credentials do not suffice; the action is named.
    """
    store.list(_CLAIMS)
    probe = f".preflight-{uuid.uuid4().hex}"
    store.write(probe, b"")
    store.delete(probe)


def _published(listing: dict[int, dict[str, StoredObject]]) -> set[int]:
    return {version for version, names in listing.items() if MANIFEST in names}


def _is_sound(info: StoredObject | None, record: FileRecord, path: Path, ours: FileRecord | None,
              pool: ThreadPoolExecutor) -> bool:
    """Return whether an object is there, of its size, and, where this bundle has the same file, of its content."""
    if info is None or info.size != record.bytes:
        return False
    return ours != record or matches(path, info.size, info.etag, ("", ""), pool) is not False
