"""S3 in memory, for boto3's calls of publishing, and clients of it that an adversary stands in the way of."""

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from core.base.errors import Terminated

WRITES = ("put_object", "delete_object", "create_multipart_upload", "upload_part", "complete_multipart_upload",
          "abort_multipart_upload")


@dataclass
class MemoryS3:
    """One bucket: every request is done at once and whole, and seen by all later ones.

    Attributes:
        objects: Content, metadata and time of each object by its key.
        uploads: Key and parts of each unfinished multipart upload by its id.
        late: Requests that are still on their way.
        clock: The time.
    """

    objects: dict[str, tuple[bytes, dict[str, str], datetime]] = field(default_factory=dict)
    uploads: dict[str, tuple[str, dict[int, bytes]]] = field(default_factory=dict)
    late: list[Callable[[], Any]] = field(default_factory=list)
    clock: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    begun: int = 0

    def do(self, operation: str, **request: Any) -> Any:
        """Do what a request of boto3's client asks for.

        Raises:
            ClientError: It is refused.
        """
        self.clock += timedelta(seconds=1)
        return getattr(self, f"_{operation}")(**request)

    def _put_object(self, Key, Body, Metadata=None, IfNoneMatch=None, **others):
        if IfNoneMatch and Key in self.objects:
            raise refusal("PreconditionFailed", 412)
        self.objects[Key] = (bytes(Body), Metadata or {}, self.clock)
        return {}

    def _head_object(self, Key, **others):
        return self._described(Key, "404")

    def _get_object(self, Key, IfMatch, **others):
        found = self._described(Key, "NoSuchKey")
        if IfMatch != found["ETag"]:
            raise refusal("PreconditionFailed", 412)
        return {**found, "Body": io.BytesIO(self.objects[Key][0]), "ResponseMetadata": {"HTTPHeaders": {}}}

    def _described(self, key, absent):
        if key not in self.objects:
            raise refusal(absent, 404)
        content, metadata, modified = self.objects[key]
        return {"ContentLength": len(content), "ETag": f'"{hashlib.md5(content).hexdigest()}"', "Metadata": metadata,
                "LastModified": modified}

    def _delete_object(self, Key, **others):
        self.objects.pop(Key, None)
        return {}

    def _create_multipart_upload(self, Key, **others):
        self.begun += 1
        self.uploads[f"upload {self.begun}"] = (Key, {})
        return {"UploadId": f"upload {self.begun}"}

    def _upload_part(self, Key, UploadId, PartNumber, Body, **others):
        self._upload(UploadId)[1][PartNumber] = bytes(Body)
        return {"ETag": hashlib.md5(Body).hexdigest()}

    def _complete_multipart_upload(self, Key, UploadId, **others):
        key, parts = self._upload(UploadId)
        self.objects[key] = (b"".join(parts[number] for number in sorted(parts)), {}, self.clock)
        del self.uploads[UploadId]
        return {}

    def _abort_multipart_upload(self, Key, UploadId, **others):
        self._upload(UploadId)
        del self.uploads[UploadId]
        return {}

    def _upload(self, upload_id):
        if upload_id not in self.uploads:
            raise refusal("NoSuchUpload", 404)
        return self.uploads[upload_id]

    def _list_objects_v2(self, Prefix, **others):
        return [{"Contents": [{"Key": key, "Size": len(content), "LastModified": modified,
                               "ETag": f'"{hashlib.md5(content).hexdigest()}"'}
                              for key, (content, _, modified) in self.objects.items() if key.startswith(Prefix)]}]

    def _list_multipart_uploads(self, Prefix, **others):
        return [{"Uploads": [{"Key": key, "UploadId": upload_id} for upload_id, (key, _) in self.uploads.items()
                             if key.startswith(Prefix)]}]


def refusal(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "request")


class Killed(BaseException):
    """The process is gone: nothing that it still tries reaches anybody."""


class Client:
    """Calls of boto3's client as publishing uses them, each by way of ``send``.

    Args:
        send: Gets an operation's name and a function that does it at the server.
    """

    def __init__(self, server: MemoryS3, send: Callable[[str, Callable[[], Any]], Any]) -> None:
        self._server, self._send = server, send

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return lambda **request: self._send(operation, lambda: self._server.do(operation, **request))

    def get_paginator(self, operation: str) -> Any:
        def paginate(**request: Any) -> Iterator[Any]:
            yield from getattr(self, operation)(**request)

        return SimpleNamespace(paginate=paginate)


class Actor:
    """Work in a thread that stands still before each of its requests, until it is told what becomes of that.

    Attributes:
        asks: The operation that it stands before, or None once it has ended.
        result: What the work returned.
        error: What it raised instead.
    """

    def __init__(self, server: MemoryS3, work: Callable[[Client], Any]) -> None:
        self._server, self._work = server, work
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._dead = False
        self.asks: str | None = None
        self.result: Any = None
        self.error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()
        self._stands.acquire()

    def step(self, arrives: str = "once", answer: str = "given") -> None:
        """Let one request be done or not, and be answered or not; return when the next one is asked for.

        Args:
            arrives: The request is done ``once``, ``twice``, ``never``, ``late`` or ``again late``: once, and again
                whenever the adversary likes.
            answer: It is ``given`` where the request is done, ``lost``, or the process is ``terminated`` or ``killed``
                while it waits for it.
        """
        self._fate = (arrives, answer)
        self._go.release()
        self._stands.acquire()

    def _run(self) -> None:
        try:
            self.result = self._work(Client(self._server, self._send))
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.error = error
        self.asks = None
        self._stands.release()

    def _send(self, operation: str, request: Callable[[], Any]) -> Any:
        if self._dead:
            raise Killed
        self.asks = operation
        self._stands.release()
        self._go.acquire()
        arrives, answer = self._fate
        result: Any = None
        for _ in range({"once": 1, "again late": 1, "twice": 2}.get(arrives, 0)):
            try:
                result = request()
            except ClientError as error:
                result = error
        if "late" in arrives and operation in WRITES:
            self._server.late.append(request)
        if answer == "killed":
            self._dead = True
            raise Killed
        if answer == "terminated":
            raise Terminated
        if answer == "lost" or arrives in ("never", "late"):
            raise ReadTimeoutError(endpoint_url="memory")
        if isinstance(result, ClientError):
            raise result
        return result
