"""Connections to an S3 endpoint for many GET requests: http.client's, kept open and used by one thread at a time.

urllib3 takes as much time again for each request, which is most of what a small object costs. Behind a proxy
botocore's own session is used all the same.
"""

import contextlib
import http.client
import ssl
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, LifoQueue
from typing import Any
from urllib.parse import urlsplit

_STALE = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)


class Answer:
    """An answer whose body is not read yet.

    Attributes:
        status: HTTP status.
        headers: Found whatever the letters' case.
        readinto: Fills a buffer and returns how much of it; 0 at the end.
    """

    def __init__(self, status: int, headers: Mapping[str, str], readinto: Callable[[memoryview], int]) -> None:
        self.status, self.headers, self.readinto = status, headers, readinto


class DirectTransport:
    """Requests to one endpoint without a proxy.

    Args:
        endpoint: Scheme, host and port.
        connect_seconds: How long a connection may take.
        read_seconds: How long the server may stay silent.
        ca_file: Authorities that are trusted.
    """

    def __init__(self, endpoint: str, connect_seconds: float, read_seconds: float, ca_file: str | None) -> None:
        parts = urlsplit(endpoint)
        self._host, self._port = parts.hostname, parts.port
        self._connect_seconds, self._read_seconds = connect_seconds, read_seconds
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._idle: LifoQueue[http.client.HTTPConnection] = LifoQueue()

    @contextlib.contextmanager
    def get(self, url: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Send a request; the connection serves others once the body was read to its end, and is closed else.

        Raises:
            OSError: The network failed.
            http.client.HTTPException: The answer is none.
        """
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection, answer = self._answer(target, headers)
        try:
            yield Answer(answer.status, answer.headers, answer.readinto)
        finally:
            if answer.isclosed() and not answer.will_close:
                self._idle.put(connection)
            else:
                connection.close()

    def _answer(self, target: str,
                headers: Mapping[str, str]) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Return a connection and its answer; one that the server closed while it was idle is not used."""
        while True:
            try:
                connection, fresh = self._idle.get_nowait(), False
            except Empty:
                connection, fresh = self._connect(), True
            try:
                connection.request("GET", target, headers=headers)
                return connection, connection.getresponse()
            except _STALE:
                connection.close()
                if fresh:
                    raise
            except BaseException:
                connection.close()
                raise

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._connect_seconds)
        else:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._connect_seconds,
                                                     context=self._tls)
        connection.connect()
        connection.sock.settimeout(self._read_seconds)
        return connection


class ProxyTransport:
    """Requests by botocore's session, which knows proxies."""

    def __init__(self, session: Any) -> None:
        self._session = session

    @contextlib.contextmanager
    def get(self, url: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Send a request; see :class:`DirectTransport`."""
        from botocore.awsrequest import AWSRequest

        answer = self._session.send(AWSRequest("GET", url, dict(headers), stream_output=True).prepare())

        def readinto(buffer: memoryview) -> int:
            block = answer.raw.read(len(buffer))
            buffer[:len(block)] = block
            return len(block)

        try:
            yield Answer(answer.status_code, answer.headers, readinto)
        finally:
            answer.raw.close()


def transport(endpoint: str, config: Any, authorities: Any) -> DirectTransport | ProxyTransport:
    """Return what reaches an endpoint.

    Args:
        endpoint: Scheme, host and port.
        config: botocore's configuration of the client: timeouts and number of connections.
        authorities: File of trusted authorities, or True for botocore's own.
    """
    from botocore.httpsession import URLLib3Session, get_cert_path
    from botocore.utils import get_environ_proxies

    proxies = get_environ_proxies(endpoint)
    timeouts = (config.connect_timeout, config.read_timeout)
    if proxies:
        return ProxyTransport(URLLib3Session(verify=authorities, proxies=proxies, timeout=timeouts,
                                             max_pool_connections=config.max_pool_connections))
    return DirectTransport(endpoint, *timeouts, get_cert_path(authorities))
