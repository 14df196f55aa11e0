"""The lowest rate at which an S3 server may send or take bytes, as curl's --speed-limit and --speed-time.

A timeout ends the wait for the next byte alone: a server that sends one every two seconds never meets it. Here the
seconds spent waiting for the network are counted with the bytes that moved in them. How long a server takes
until it responds does not count; the timeout limits that.
"""

import io
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)

from core.base.errors import UserError

SPEED_LIMIT_VARIABLE = "MMDET_COMPRESS_S3_SPEED_LIMIT"
_LOWEST_RATE, _WINDOW_SECONDS = 1024.0, 30.0
_BLOCK_BYTES = 1 << 20
SLOW_ATTEMPTS = 2
"""How many times a request is sent whose bytes move too slowly."""


class TooSlow(Exception):
    """Fewer bytes moved than the lowest rate asks for; not an OSError, so that urllib3 and botocore pass it on."""


class Pace:
    """Bytes and seconds of waiting of one request after another.

    Args:
        rate: The lowest rate in bytes a second.
        seconds: How many seconds of waiting it is measured over.
    """

    def __init__(self, rate: float, seconds: float) -> None:
        self._rate, self._seconds = rate, seconds
        self.begin()

    def begin(self) -> None:
        """Start measuring another request."""
        self._answering = False
        self._count, self._waited = 0, 0.0

    def received(self, count: int, waited: float) -> None:
        """Note bytes that have arrived, as :meth:`sent`; how long the first took, the timeout limits."""
        if self._answering:
            self.sent(count, waited)
        else:
            self.begin()
            self._answering = True

    def sent(self, count: int, waited: float) -> None:
        """Note bytes that the server has taken; raise TooSlow where they and those before were too few."""
        self._count, self._waited = self._count + count, self._waited + waited
        if self._waited < self._seconds:
            return
        if self._count < self._rate * self._waited:
            raise TooSlow(f"{self._count:,} bytes moved in {self._waited:.0f} s of waiting, and at least "
                          f"{self._rate:,.0f} a second must")
        self._count, self._waited = 0, 0.0


def lowest_rate() -> float:
    """Return the lowest rate in bytes a second; raise UserError where the variable holds no number."""
    text = os.environ.get(SPEED_LIMIT_VARIABLE, "")
    try:
        rate = float(text or _LOWEST_RATE)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < 1e12:
        raise UserError(f"variable {SPEED_LIMIT_VARIABLE}", repr(text[:100]), "It must be a number of bytes a second, "
                        "or 0 for no limit.", "Correct it or unset it.")
    return rate


def keep_pace(client: Any, read_timeout: float) -> None:
    """Hold a boto3 client's requests to the lowest rate.

    Args:
        read_timeout: Seconds a server may stay silent; the rate is measured over at most as many.
    """
    new_pace = partial(Pace, lowest_rate(), min(_WINDOW_SECONDS, read_timeout))
    # botocore offers no way to give connections of one's own; tests/core/storage/test_pace.py sees if this one closes.
    client._endpoint.http_session._pool_classes_by_scheme.update(
        http=_pool_class(AWSHTTPConnectionPool, AWSHTTPConnection, read_timeout, new_pace),
        https=_pool_class(AWSHTTPSConnectionPool, AWSHTTPSConnection, read_timeout, new_pace))


def slowness(error: BaseException) -> TooSlow | None:
    """Return the :class:`TooSlow` that botocore's error stands for, or None."""
    cause = getattr(error, "kwargs", {}).get("error")
    return cause if isinstance(cause, TooSlow) else None


def _pool_class(pool: type, connection: type, timeout: float, new_pace: Callable[[], Pace]) -> type:
    class PacedConnection(connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._pace = new_pace()

        def connect(self) -> None:
            super().connect()
            # urllib3 leaves the shorter one of connecting in force while a request is sent.
            self.sock.settimeout(timeout)
            self.sock = _PacedSocket(self.sock, self._pace)

        def request(self, *arguments: Any, **options: Any) -> Any:
            self._pace.begin()
            return super().request(*arguments, **options)

    return type("PacedPool", (pool,), {"ConnectionCls": PacedConnection})


class _PacedSocket:
    """A socket whose bytes are counted."""

    def __init__(self, sock: Any, pace: Pace) -> None:
        self._sock, self._pace = sock, pace

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendall(self, contents: Any) -> None:
        left = memoryview(contents).cast("B")
        while left:
            started = time.monotonic()
            try:
                count = self._sock.send(left[:_BLOCK_BYTES])
            except TimeoutError as error:
                # Buffers on the way took the first megabytes at once: only this shows how slow the server is.
                raise TooSlow(f"no byte was taken in {time.monotonic() - started:.0f} s, and at least one must "
                              "be") from error
            self._pace.sent(count, time.monotonic() - started)
            left = left[count:]

    def makefile(self, mode: str, buffering: int = -1) -> Any:
        raw = _PacedReader(self._sock.makefile(mode, buffering=0), self._pace)
        return raw if buffering == 0 else io.BufferedReader(raw)


class _PacedReader(io.RawIOBase):
    def __init__(self, raw: Any, pace: Pace) -> None:
        super().__init__()
        self._raw, self._pace = raw, pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        started = time.monotonic()
        count = self._raw.readinto(buffer)
        self._pace.received(count or 0, time.monotonic() - started)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
