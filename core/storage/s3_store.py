"""A bucket's prefix as a store."""

import base64
import hashlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from core.base.digest import sha256_file
from core.base.files import new_file
from core.storage.s3_client import ATTEMPTS, connect, s3_errors
from core.storage.s3_download import Downloader, Target
from core.storage.s3_get import ObjectReader
from core.storage.s3_listing import listed_objects, stored_object
from core.storage.store import NotSupported, ObjectExists, ObjectNotFound, Store, StoredObject, check_name
from core.storage.verification import PART_BYTES_KEY, SHA256_KEY

PART_BYTES = 16 << 20
MOST_PARTS = 10000
THREADS = 4


class S3Store(Store):
    """Objects below ``s3://bucket/prefix``.

    Args:
        bucket: The bucket, which exists.
        prefix: What every key begins with, without slashes at its ends; empty for the whole bucket.
        attempts: So often a request is sent before it counts as failed.
    """

    def __init__(self, bucket: str, prefix: str, attempts: int = ATTEMPTS) -> None:
        super().__init__(f"s3://{bucket}/{prefix}".rstrip("/"))
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._connection = connect(attempts)
        self._client = self._connection.client
        self._reader: ObjectReader | None = None

    def list(self, prefix: str = "") -> list[StoredObject]:
        """See :class:`Store`; keys that end in a slash are consoles' folder marks and not listed."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix)
        with s3_errors(self.uri(prefix), "list"):
            return listed_objects(pages, self._prefix, self.uri(prefix))

    def find(self, name: str) -> StoredObject | None:
        """See :class:`Store`."""
        try:
            head = self._head(name)
        except ObjectNotFound:
            return None
        return stored_object(name, head.get("ContentLength"), head, self.uri(name))

    def read(self, name: str) -> bytes:
        """See :class:`Store`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "object"
            self.download(name, path)
            return path.read_bytes()

    def write(self, name: str, contents: bytes, only_new: bool = False) -> None:
        """See :class:`Store`; ``only_new`` needs a server that knows If-None-Match to hold against a race."""
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
            # A request whose answer was lost and that was sent again finds what it wrote itself.
            if self._contents(name) != contents:
                raise

    def _contents(self, name: str) -> bytes | None:
        """Return an object's contents, or None where somebody has deleted it in the meantime."""
        try:
            return self.read(name)
        except ObjectNotFound:
            return None

    def download(self, name: str, path: Path) -> None:
        """See :class:`Store`."""
        head = self._head(name)
        info = stored_object(name, head.get("ContentLength"), head, self.uri(name))
        with new_file(path) as partial:
            self.downloader().download(info, Target(partial))

    def downloader(self) -> Downloader:
        """Return what brings objects, by the names that they have here, into files."""
        if self._reader is None:
            self._reader = ObjectReader(self._connection, self._bucket)
        return Downloader(self._reader, self._prefix)

    def upload(self, path: Path, name: str) -> None:
        """See :class:`Store`; the server compares every part with its MD5, and an object appears when it is whole."""
        size = path.stat().st_size
        metadata = {SHA256_KEY: sha256_file(path), PART_BYTES_KEY: str(part_size(size))}
        with s3_errors(self.uri(name), "write"):
            if size <= PART_BYTES:
                self._put(name, path.read_bytes(), {"Metadata": metadata})
            else:
                self._upload_parts(path, size, name, metadata)

    def delete(self, name: str) -> None:
        """See :class:`Store`."""
        with s3_errors(self.uri(name), "delete"):
            self._client.delete_object(**self._key(name))

    def _put(self, name: str, contents: bytes, options: dict[str, Any]) -> None:
        with s3_errors(self.uri(name), "write"):
            self._client.put_object(**self._key(name), Body=contents, ContentMD5=_content_md5(contents), **options)

    def _key(self, name: str) -> dict[str, str]:
        check_name(name, self.location)
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    def _head(self, name: str) -> dict[str, Any]:
        with s3_errors(self.uri(name), "read"):
            return self._client.head_object(**self._key(name))

    def _upload_parts(self, path: Path, size: int, name: str, metadata: dict[str, str]) -> None:
        key, part_bytes = self._key(name), part_size(size)
        upload = {**key, "UploadId": self._client.create_multipart_upload(**key, Metadata=metadata)["UploadId"]}

        def send(number: int) -> dict[str, Any]:
            with open(path, "rb") as file:
                contents = os.pread(file.fileno(), part_bytes, (number - 1) * part_bytes)
            etag = self._client.upload_part(**upload, PartNumber=number, Body=contents,
                                            ContentMD5=_content_md5(contents))["ETag"]
            return {"PartNumber": number, "ETag": etag}

        try:
            with ThreadPoolExecutor(THREADS) as pool:
                parts = list(pool.map(send, range(1, -(-size // part_bytes) + 1)))
            self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except BaseException:
            self._client.abort_multipart_upload(**upload)
            raise


def part_size(size: int) -> int:
    """Return the bytes of a part such that an object of ``size`` bytes has at most 10,000 parts."""
    return max(PART_BYTES, -(-size // MOST_PARTS))


def _content_md5(contents: bytes) -> str:
    return base64.b64encode(hashlib.md5(contents).digest()).decode("ascii")
