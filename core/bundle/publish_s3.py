"""Publishing to S3, which has no rename: a protocol whose every step can be lost, repeated, delayed or the last one.

Of a version ``<v>`` there are the claim ``.claims/<v>``, the objects ``<v>/<file>`` and the manifest
``<v>/bundle.json``. Its states, which are passed in this order and never backwards:

=========  =====================================================  ===================================================
state      what is stored                                         who makes it
=========  =====================================================  ===================================================
free       nothing
claimed    the claim, which holds the SHA-256 of the manifest     the one of all publishers whose claim is new
objects    some or all objects                                    publishers of the very manifest in the claim
committed  every object and the manifest; the claim is deleted    the same, by completing the manifest's upload
closed     the claim, which says "closed"; no manifest ever       a later publisher, a day after the claim was written
=========  =====================================================  ===================================================

What holds whatever happens, with the S3 semantics that it rests on
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel: a read or listing that begins
after a write was answered sees it; an object is replaced whole or not at all):

- Below ``<v>/`` nobody writes other bytes than those that the manifest in the claim describes: claims are written with
  If-None-Match, and a number is never claimed twice. So a request that is repeated or lands late writes what is there.
- The manifest is sent before the first object, as a multipart upload, and commits by the completion of that, once every
  object was acknowledged. A publisher deletes nothing but its claim, and that after it has read the manifest.
- A publisher that finds the claim of its own manifest, of a killed publisher or a living one, goes on from what is
  there. So the outcome of a request that nobody heard of is found out by whoever publishes the bundle next.
- Objects are deleted only of a version that is closed: the claim says so, the objects were listed, all uploads of the
  manifest that were begun until then were aborted, and still there is no manifest. Publishers read the claim after they
  have begun the manifest's upload, so each either sees that the version is closed or has lost its upload. The number
  stays taken.

A server that does not know If-None-Match leaves one gap: of two publishers that claim a number at the same instant both
may take it for theirs, unless one reads the other's claim.
"""

import contextlib
import hashlib
import logging
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.base.digest import sha256_file
from core.base.errors import UserError
from core.base.threads import DaemonThreadPool
from core.bundle.manifest import MANIFEST, MOST_BYTES, FileRecord, Manifest
from core.storage.s3_store import PreparedWrite, S3Store, part_size
from core.storage.store import ObjectExists, StoredObject
from core.storage.verification import matches

_CLAIMS = ".claims/"
_CLOSED = b"closed"
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
# Politeness alone: a living publisher whose version is closed fails, and nothing else happens.
_ABANDONED = timedelta(days=1)
_MOST_CLAIMS = 100

logger = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class S3Publisher:
    """Publishes bundles of one model.

    Args:
        store: Where the model's versions lie.
        now: The time, to know claims that were abandoned.
    """

    def __init__(self, store: S3Store, now: Callable[[], datetime] = _now) -> None:
        self._store, self._now = store, now

    def publish(self, bundle: Path, manifest: Manifest, version: int | None) -> tuple[int, bool]:
        """Publish a bundle as ``version``, or the next one where None.

        Returns:
            The version's number, and whether it was published by this call.

        Raises:
            UserError: A file is not the one that the manifest describes, the version is somebody else's, or the service
                fails; the message says where it is not known whether the bundle is published.
        """
        self._close_abandoned()
        same = self._version_with(bundle, manifest, version)
        if same is not None:
            return same, False
        if version is not None and self.is_taken(version):
            raise UserError("destination", self._store.uri(str(version)), "A version that is published never gets "
                            "other content, and one that was begun and given up is not used again.",
                            "Leave the version out to publish the next one.")
        for name, record in manifest.files.items():
            if sha256_file(bundle / name) != record.sha256:
                raise UserError("bundle file", bundle / name, "It is not the file that the bundle's manifest "
                                "describes: it changed.", "Let nothing write to the bundle and publish again.")
        contents = (bundle / MANIFEST).read_bytes()
        claim = hashlib.sha256(contents).hexdigest().encode("ascii")
        for number in [version] if version else self._free_versions(claim):
            prepared = self._prepare(number, claim, contents)
            if prepared is not None:
                created = self._write(number, prepared, bundle, manifest, contents)
                with contextlib.suppress(UserError):
                    if not created:
                        self._store.discard(prepared)
                    if created is not None:
                        self._store.delete(f"{_CLAIMS}{number}")
                if created is not None:
                    return number, created
        raise UserError("destination", self._store.uri(str(version or "")), "Somebody else is publishing this version, "
                        "or other objects lie there.",
                        "Wait and try again, or leave the version out to publish the next one.")

    def is_taken(self, version: int) -> bool:
        """Return whether a version is published, or was begun and given up, so that it can never be."""
        if self._store.find(f"{version}/{MANIFEST}") is not None:
            return True
        claim = self._store.find(f"{_CLAIMS}{version}")
        return claim is not None and _is_closed(claim)

    def _version_with(self, bundle: Path, manifest: Manifest, only: int | None) -> int | None:
        """Return the newest published version with the same content, undamaged as far as a listing tells."""
        listing = self._listing()
        published = {version for version, names in listing.items() if MANIFEST in names and only in (None, version)}
        for version in sorted(published, reverse=True):
            theirs, objects = self._manifest_of(version), listing[version]
            # Where this bundle has the same file, an object is compared by its content, else by its size.
            if theirs is not None and theirs.content_sha256 == manifest.content_sha256 and all(
                    self._holds(f"{version}/{name}", objects.get(name), record, bundle / name)
                    if manifest.files.get(name) == record else name in objects and objects[name].size == record.bytes
                    for name, record in theirs.files.items()):
                return version
        return None

    def _holds(self, name: str, info: StoredObject | None, record: FileRecord, path: Path) -> bool:
        """Return whether an object is a bundle's file, by its ETag, else by the sha256 that uploads store with it."""
        if info is None or info.size != record.bytes:
            return False
        with DaemonThreadPool(2) as pool:
            return bool(matches(path, info.size, info.etag, ("", str(part_size(info.size))), pool)
                        or self._store.stored_sha256(name) == record.sha256)

    def _manifest_of(self, version: int) -> Manifest | None:
        """Return a published version's manifest, or None where it is no manifest of this program."""
        stored = self._store.find(f"{version}/{MANIFEST}")
        if stored is None or stored.size > MOST_BYTES:
            return None
        with tempfile.TemporaryDirectory() as folder:
            self._store.download(stored.name, Path(folder) / MANIFEST)
            with contextlib.suppress(UserError):
                return Manifest.read(Path(folder))
        return None

    def _free_versions(self, claim: bytes) -> Iterator[int]:
        """Return the versions that may become this manifest's: those it has claimed already, then the next ones."""
        listing, claims = self._listing(), self._claims()
        for version, info in sorted(claims.items()):
            if info.size == len(claim) and self._store.holds(info.name, claim):
                yield version
        following = max([0, *listing, *claims]) + 1
        yield from range(following, following + _MOST_CLAIMS)

    def _prepare(self, version: int, claim: bytes, contents: bytes) -> PreparedWrite | None:
        """Claim a version and send its manifest, not to appear yet; return None where the version is not this one's."""
        try:
            self._store.write(f"{_CLAIMS}{version}", claim, only_new=True)
        except ObjectExists:
            return None
        prepared = self._store.prepare(f"{version}/{MANIFEST}", contents)
        # Now, not before: whoever closes the version from here on aborts this upload.
        if self._store.holds(f"{_CLAIMS}{version}", claim):
            return prepared
        # The claim is gone where a rival has committed the same manifest.
        return prepared if self._is_committed(version, contents) else None

    def _write(self, version: int, prepared: PreparedWrite, bundle: Path, manifest: Manifest,
               contents: bytes) -> bool | None:
        """Write what a version lacks and commit it.

        Returns:
            Whether this call committed it, False where it had been before; None where it is another's.
        """
        there = {info.name.partition("/")[2]: info for info in self._store.list(f"{version}/")}
        if MANIFEST in there:
            return False if self._is_committed(version, contents) else None
        for name, info in there.items():
            if name not in manifest.files or not self._holds(f"{version}/{name}", info, manifest.files[name],
                                                             bundle / name):
                return None
        for name, record in manifest.files.items():
            if name not in there:
                self._upload(bundle / name, f"{version}/{name}", record)
        self._commit(version, prepared, contents)
        return True

    def _upload(self, path: Path, name: str, record: FileRecord) -> None:
        try:
            self._store.upload(path, name, record.sha256)
        except UserError:
            # The answer may be what was lost, not the request.
            with contextlib.suppress(UserError):
                if self._holds(name, self._store.find(name), record, path):
                    return
            raise

    def _commit(self, version: int, prepared: PreparedWrite, contents: bytes) -> None:
        """Make the manifest appear, and find out whether it did."""
        failure: UserError | None = None
        try:
            self._store.commit(prepared)
        except UserError as error:
            failure = error
        try:
            if self._is_committed(version, contents):
                return
        except UserError as error:
            failure = failure or error
        place, claim = self._store.uri(str(version)), None
        with contextlib.suppress(UserError):
            claim = self._store.find(f"{_CLAIMS}{version}")
        if claim is not None and _is_closed(claim):
            raise UserError("destination", place, "This publication took so long that another one gave it up.",
                            "Publish the bundle again: it gets the next version.") from failure
        raise UserError("destination", place, f"It is not known whether its {MANIFEST} is stored "
                        f"({failure or 'it was acknowledged and is not found'}).",
                        "Publish the same bundle again: that finds it, or resumes.") from failure

    def _is_committed(self, version: int, contents: bytes) -> bool:
        return self._store.holds(f"{version}/{MANIFEST}", contents)

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

    def _close_abandoned(self) -> None:
        """Give up versions that were begun and not committed; what fails is left to the next publisher."""
        listing = self._listing()
        for version, claim in self._claims().items():
            objects = listing.get(version, {})
            if objects if _is_closed(claim) else self._now() - claim.modified > _ABANDONED:
                try:
                    self._close(version, claim)
                except UserError as error:
                    logger.warning("what a publication left behind is not cleared: %s", error)

    def _close(self, version: int, claim: StoredObject) -> None:
        manifest = f"{version}/{MANIFEST}"
        if self._store.find(manifest) is None:
            # In this order, as a publisher of the version may be anywhere; see the head of this file.
            self._store.write(claim.name, _CLOSED)
            objects = self._store.list(f"{version}/")
            self._store.revoke(manifest)
            if self._store.find(manifest) is None:
                for info in objects:
                    self._store.delete(info.name)
                return
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


def _is_closed(claim: StoredObject) -> bool:
    return claim.size == len(_CLOSED)
