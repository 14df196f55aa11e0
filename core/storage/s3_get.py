"""Reading S3 objects: many small ones at little cost each, parts of big ones at once, every fault met.

boto3's client takes milliseconds of one core for a request, more than a small object's transfer. Here botocore signs,
and nothing else of the client is run. Nor does the client repeat what fails while a body is read.
"""

import contextlib
import http.client
import random
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import parse_qs, quote, urlsplit

from core.base.errors import UserError
from core.base.text import bounded_repr
from core.storage.s3_client import ATTEMPTS, S3Connection, raise_for, s3_errors
from core.storage.s3_transport import Answer, transport

BLOCK_BYTES = 1 << 20
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 20.0
_MISSING_ATTEMPTS, _EXPIRED_ATTEMPTS = 5, 3
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired")
_TRANSIENT = ("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling", "ThrottlingException",
              "RequestLimitExceeded", "OperationAborted")
_TRANSIENT_STATUS = (408, 429, 500, 502, 503, 504)
_CODE = re.compile(rb"<Code>(\w{1,60})</Code>")


@dataclass
class Reading:
    """An object or a span of it that is being read.

    Attributes:
        key: The object's key.
        take: Gets each block, which is valid during the call, and the place in the object where it begins, in order.
        place: The next byte to read.
        stop: The byte after the last, or None for the object's end.
        etag: What the object's ETag must be, or empty while it is not known.
        listed: Whether a listing has told of the object, so that "not found" is worth another try.
        headers: Those of the last answer, found whatever the letters' case.
    """

    key: str
    take: Callable[[memoryview, int], None]
    place: int = 0
    stop: int | None = None
    etag: str = ""
    listed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


class _Broken(Exception):
    """A request failed such that it may succeed when it is sent again."""

    def __init__(self, cause: str, attempts: int | None = None, code: str = "", status: int = 0) -> None:
        super().__init__(cause)
        self.attempts, self.code, self.status = attempts or ATTEMPTS, code, status


class ObjectReader:
    """GET requests to one bucket, for any number of threads.

    Args:
        connection: What boto3 found.
        bucket: The bucket.
    """

    def __init__(self, connection: S3Connection, bucket: str) -> None:
        self._connection, self._bucket = connection, bucket
        with s3_errors(f"s3://{bucket}", "read"):
            # The client knows endpoint, region and where the bucket's name goes; its signature is thrown away.
            signed = urlsplit(connection.client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": "x"}))
        self._region = parse_qs(signed.query)["X-Amz-Credential"][0].split("/")[2]
        endpoint = f"{signed.scheme}://{signed.netloc}"
        self._base = endpoint + signed.path[:-1]
        self._transport = transport(endpoint, connection.client.meta.config, connection.authorities)

    def read(self, reading: Reading) -> None:
        """Read to the end; where a request breaks off, another goes on at that place.

        Raises:
            UserError: It cannot be read; object and cause are named.
        """
        failures = 0
        while True:
            before = reading.place
            try:
                with s3_errors(self.uri(reading.key), "read"):
                    return self._request(reading)
            except _Broken as broken:
                failures = 1 if reading.place - before >= BLOCK_BYTES else failures + 1
                if failures >= broken.attempts:
                    self._give_up(reading, broken, failures)
                pause(failures)

    def uri(self, key: str) -> str:
        """Return an object's location, for messages."""
        return f"s3://{self._bucket}/{key}"

    def _request(self, reading: Reading) -> None:
        url, headers = self._signed(reading)
        with contextlib.ExitStack() as stack:
            with self._network_errors():
                answer = stack.enter_context(self._transport.get(url, headers))
            reading.headers = answer.headers
            if answer.status not in (200, 206):
                error = memoryview(bytearray(8192))
                with self._network_errors():
                    length = answer.readinto(error)
                self._refused(reading, answer.status, bytes(error[:length]))
            self._take_all(reading, answer, self._length(reading, answer.status))
        if reading.place != reading.stop:
            raise _Broken(f"the answer ended after {reading.place} of {reading.stop} bytes")

    def _take_all(self, reading: Reading, answer: Answer, length: int) -> None:
        buffer = memoryview(bytearray(min(BLOCK_BYTES, max(length, 1))))
        while True:
            with self._network_errors():
                count = answer.readinto(buffer)
            if not count:
                return
            reading.take(buffer[:count], reading.place)
            reading.place += count

    def _signed(self, reading: Reading) -> tuple[str, dict[str, str]]:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest

        headers = {"If-Match": f'"{reading.etag}"'} if reading.etag else {}
        if reading.place > 0 or (reading.stop or 0) > 0:
            headers["Range"] = f"bytes={reading.place}-{'' if reading.stop is None else reading.stop - 1}"
        request = AWSRequest("GET", self._base + quote(reading.key, safe="/~"), headers)
        credentials = self._connection.credentials.get_frozen_credentials()
        S3SigV4Auth(credentials, "s3", self._region).add_auth(request)
        return request.url, dict(request.headers.items())

    def _length(self, reading: Reading, status: int) -> int:
        """Check that the answer begins where it should, and return its length; learn the object's end and ETag."""
        if status == 200 and reading.place > 0:
            raise UserError(f"object {self.uri(reading.key)}", "the service sent all of it where a part was asked for",
                            "The service must know the header Range.", "Use another S3-compatible service.")
        if status == 206 and not reading.headers.get("content-range", "").startswith(f"bytes {reading.place}-"):
            raise _Broken(f"the answer's range is {bounded_repr(reading.headers.get('content-range'), 80)}")
        try:
            length = int(reading.headers.get("content-length", ""))
        except ValueError:
            raise _Broken("the answer tells no length") from None
        reading.etag = reading.etag or reading.headers.get("etag", "").strip('"')
        if reading.stop is None:
            reading.stop = reading.place + length
        elif reading.place + length != reading.stop:
            raise _Broken(f"the answer has {length} bytes where {reading.stop - reading.place} were asked for")
        return length

    def _refused(self, reading: Reading, status: int, body: bytes) -> NoReturn:
        found = _CODE.search(body)
        code = found.group(1).decode("ascii") if found else ""
        if status == 412:
            raise UserError(f"object {self.uri(reading.key)}", "its ETag changed", "It must not change while it is "
                            "read, or after it was resolved.", "Start the run again to use the new object.")
        if code in _EXPIRED:
            raise _Broken(code, _EXPIRED_ATTEMPTS, code, status)
        if code in _TRANSIENT or status in _TRANSIENT_STATUS:
            raise _Broken(code or f"HTTP {status}", code=code, status=status)
        if status == 404 and reading.listed and code != "NoSuchBucket":
            raise _Broken(code or "HTTP 404", _MISSING_ATTEMPTS, code or "NoSuchKey", status)
        raise_for(self.uri(reading.key), "read", code or ("NoSuchKey" if status == 404 else ""), status)

    def _give_up(self, reading: Reading, broken: _Broken, failures: int) -> NoReturn:
        if broken.status:
            raise_for(self.uri(reading.key), "read", broken.code, broken.status, broken)
        raise UserError(f"object {self.uri(reading.key)}", f"{broken}", f"The service must send it whole; {failures} "
                        "requests in a row failed.", "Check the endpoint and the network, or try again later.")

    @contextlib.contextmanager
    def _network_errors(self) -> Iterator[None]:
        from botocore.exceptions import ConnectionError as BotoConnectionError
        from botocore.exceptions import HTTPClientError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise UserError(f"server of s3://{self._bucket}", error.verify_message, "Its certificate must be signed by "
                            "an authority that is trusted.", "Set AWS_CA_BUNDLE to that authority's file.") from error
        except (OSError, http.client.HTTPException, BotoConnectionError, HTTPClientError, HTTPError) as error:
            raise _Broken(f"{type(error).__name__}: {error}") from error


def pause(failures: int) -> None:
    """Wait before a request is sent again: longer after each failure, and never as long as other threads do."""
    time.sleep(min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2 ** (failures - 1)) * random.uniform(0.5, 1.0))
