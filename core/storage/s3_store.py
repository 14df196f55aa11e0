"""A bucket's prefix as a store."""

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3transfer.manager import TransferConfig, TransferManager

from core.base.digest import sha256_file
from core.base.files import new_file
from core.base.threads import DaemonThreadPool
from core.storage.s3_client import ATTEMPTS, answers_of, connect, s3_errors
from core.storage.s3_download import Downloader, Target
from core.storage.s3_listing import listed_objects, stored_object
from core.storage.store import NotSupported, ObjectExists, ObjectNotFound, Store, StoredObject, check_name
from core.storage.verification import PART_BYTES_KEY, SHA256_KEY

PART_BYTES = 16 << 20
MOST_PARTS = 10000
THREADS = 4


@dataclass(frozen=True)
class PreparedWrite:
    """An object whose content the service has, and which does not appear before it is committed.

    Attributes:
        etag: ETag of its one part.
    """

    name: str
    upload_id: str
    etag: str


class S3Store(Store):
    """Objects below ``s3://bucket/prefix``.

    Args:
        bucket: The bucket, which exists.
        prefix: What every key begins with, without slashes at its ends; empty for the whole bucket.
        attempts: How many times a request is sent before it counts as failed.
        client: What to use instead of a boto3 client of its own.
    """

    def __init__(self, bucket: str, prefix: str, attempts: int = ATTEMPTS, client: Any = None) -> None:
        super().__init__(f"s3://{bucket}/{prefix}".rstrip("/"))
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._client = connect(attempts) if client is None else client

    def list(self, prefix: str = "") -> list[StoredObject]:
        """See :class:`Store`; keys that end in a slash are consoles' folder marks and not listed."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix)
        with s3_errors(self.uri(prefix), "list"), answers_of(self.uri(prefix)):
            return listed_objects(pages, self._prefix, self.uri(prefix))

    def find(self, name: str) -> StoredObject | None:
        try:
            head = self._head(name)
        except ObjectNotFound:
            return None
        return self._described(name, head)

    def read(self, name: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "object"
            self.download(name, path)
            return path.read_bytes()

    def write(self, name: str, contents: bytes, only_new: bool = False) -> None:
        """See :class:`Store`; ``only_new`` needs a server that knows If-None-Match to hold against a race.

        An object that is there with these contents is taken for what an earlier request wrote whose answer was lost.
        """
        condition = {"IfNoneMatch": "*"} if only_new else {}
        try:
            self._put(name, contents, condition)
        except NotSupported:
            if not only_new:
                raise
            if self.find(name) is not None:
                raise ObjectExists(f"object {self.uri(name)}", "exists", "It must not be replaced.",
                                   "Choose another name.") from None
            self._put(name, contents, {})
        except ObjectExists:
            if not self.holds(name, contents):
                raise

    def download(self, name: str, path: Path) -> None:
        info = self._described(name, self._head(name))
        with new_file(path) as partial:
            self.downloader().download(info, Target(partial))

    def downloader(self) -> Downloader:
        """Return a downloader of objects by the names that they have here."""
        return Downloader(self._client, self._bucket, self._prefix)

    def upload(self, path: Path, name: str, sha256: str = "") -> None:
        """See :class:`Store`; the server compares every request's body with the sha256 in its signature."""
        size = path.stat().st_size
        metadata = {SHA256_KEY: sha256 or sha256_file(path), PART_BYTES_KEY: str(part_size(size))}
        if size <= PART_BYTES:
            self._put(name, path.read_bytes(), {"Metadata": metadata})
            return
        key = self._key(name)
        settings = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=part_size(size),
                                  max_request_concurrency=THREADS)
        manager = TransferManager(self._client, settings, executor_cls=DaemonThreadPool)
        with s3_errors(self.uri(name), "write"):
            transfer = manager.upload(str(path), key["Bucket"], key["Key"], extra_args={"Metadata": metadata})
            try:
                transfer.result()
            except Exception:
                manager.shutdown()
                raise
            except BaseException:
                # Threads that wait for the network are left to themselves.
                transfer.cancel()
                raise
            manager.shutdown()

    def delete(self, name: str) -> None:
        with s3_errors(self.uri(name), "delete"):
            self._client.delete_object(**self._key(name))

    def prepare(self, name: str, contents: bytes) -> PreparedWrite:
        """Send an object's contents such that :meth:`commit` makes it appear and :meth:`revoke` prevents that for good.

        A multipart upload can be completed or aborted, once, whatever is repeated, delayed or lost on the way
        (https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html).
        """
        key = self._key(name)
        with s3_errors(self.uri(name), "write"):
            upload_id = self._client.create_multipart_upload(**key)["UploadId"]
            etag = self._client.upload_part(**key, UploadId=upload_id, PartNumber=1, Body=contents)["ETag"]
        return PreparedWrite(name, upload_id, etag)

    def commit(self, prepared: PreparedWrite) -> None:
        """Make a prepared object appear.

        Raises:
            ObjectNotFound: It was revoked, or committed before.
            UserError: The service fails; the object may have appeared, or may still do so.
        """
        with s3_errors(self.uri(prepared.name), "write"):
            self._client.complete_multipart_upload(
                **self._key(prepared.name), UploadId=prepared.upload_id,
                MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": prepared.etag}]})

    def discard(self, prepared: PreparedWrite) -> None:
        """Abort one prepared write."""
        with contextlib.suppress(ObjectNotFound), s3_errors(self.uri(prepared.name), "delete"):
            self._client.abort_multipart_upload(**self._key(prepared.name), UploadId=prepared.upload_id)

    def revoke(self, name: str) -> None:
        """Make sure that nothing that was prepared for ``name`` until now can be committed any more."""
        key = self._key(name)
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=key["Key"])
        with s3_errors(self.uri(name), "list"), answers_of(self.uri(name)):
            uploads = [upload for page in pages for upload in page.get("Uploads", []) if upload["Key"] == key["Key"]]
        for upload in uploads:
            self.discard(PreparedWrite(name, upload["UploadId"], ""))

    def stored_sha256(self, name: str) -> str:
        """Return the SHA-256 that :meth:`upload` stored with an object, or an empty text where it has none.

        Raises:
            ObjectNotFound: There is no such object.
        """
        return self._head(name)["Metadata"].get(SHA256_KEY, "")

    def _put(self, name: str, contents: bytes, options: dict[str, Any]) -> None:
        with s3_errors(self.uri(name), "write"):
            self._client.put_object(**self._key(name), Body=contents, **options)

    def _key(self, name: str) -> dict[str, str]:
        check_name(name, self.location)
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    def _head(self, name: str) -> dict[str, Any]:
        with s3_errors(self.uri(name), "read"), answers_of(self.uri(name)):
            return self._client.head_object(**self._key(name))

    def _described(self, name: str, head: dict[str, Any]) -> StoredObject:
        return stored_object(name, head.get("ContentLength"), head, self.uri(name))


def part_size(size: int) -> int:
    """Return the bytes of a part such that an object of ``size`` bytes has at most 10,000 parts."""
    return max(PART_BYTES, -(-size // MOST_PARTS))
