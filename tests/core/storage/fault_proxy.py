"""A proxy between a client and an S3 server that does to chosen answers what networks and servers do on bad days."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>canned</Message></Error>'


@dataclass(frozen=True)
class Fault:
    """What happens to one answer.

    Attributes:
        status: Answer with this status and no request to the server; 0 passes the server's answer on.
        code: The S3 error code in that answer.
        reset_after: Reset the connection after so many bytes of the body.
        end_after: Close it in good order after so many bytes, below the Content-Length that was announced.
        stall_after: Say nothing more after so many bytes, until the proxy ends.
        flip_at: Change the byte at this place of the body.
        flip_upload: Change the first byte of the request's body.
        drip_seconds: Send the answer's bytes one at a time, so far apart, headers included.
        sip_seconds: Take the request's body a little at a time, so far apart.
        arrives: How often the server gets the request.
        late: Keep the request, or another one like it, for :meth:`FaultProxy.deliver_late`.
        lose_answer: Close the connection instead of answering.
        silent: Never answer.
    """

    status: int = 0
    code: str = ""
    reset_after: int | None = None
    end_after: int | None = None
    stall_after: int | None = None
    flip_at: int | None = None
    flip_upload: bool = False
    drip_seconds: float = 0.0
    sip_seconds: float = 0.0
    arrives: int = 1
    late: bool = False
    lose_answer: bool = False
    silent: bool = False


Plan = Callable[[str, str, int], Fault | None]
"""Gets a request's method, its path and how many of that method came before; returns the fault, or None."""


class FaultProxy:
    """Passes requests on to ``upstream`` and lets ``plan`` choose faults.

    Attributes:
        endpoint: Where it listens.
        plan: May be changed between requests.
        seen: Method and path of every request.
        late: Requests that are kept: method, path, headers and body.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.plan: Plan = lambda method, path, before: None
        self.seen: list[str] = []
        self.late: list[tuple] = []
        self.lock, self.ended = threading.Lock(), threading.Event()
        proxy = self

        class Handler(_Handler):
            def next_fault(self) -> Fault | None:
                with proxy.lock:
                    before = sum(line.startswith(f"{self.command} ") for line in proxy.seen)
                    proxy.seen.append(f"{self.command} {self.path}")
                return proxy.plan(self.command, self.path, before)

            def forward(self, body: bytes, fault: Fault) -> tuple:
                answers = [proxy.forward(self.command, self.path, self.headers, body) for _ in range(fault.arrives)]
                if fault.late:
                    proxy.late.append((self.command, self.path, self.headers, body))
                return answers[-1] if answers else (0, [], b"")

            def stall(self) -> None:
                proxy.ended.wait()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"

    def forward(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, list, bytes]:
        """Let the server answer a request: status, headers and body."""
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def deliver_late(self) -> None:
        """Let the oldest request that is kept arrive; nobody hears the answer."""
        self.forward(*self.late.pop(0))

    def count(self, method: str) -> int:
        """Return how many requests of a method came."""
        return sum(line.startswith(f"{method} ") for line in self.seen)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def next_fault(self) -> Fault | None:
        raise NotImplementedError

    def forward(self, body: bytes, fault: Fault) -> tuple[int, list, bytes]:
        raise NotImplementedError

    def stall(self) -> None:
        raise NotImplementedError

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        fault = self.next_fault() or Fault()
        body = self._body(fault)
        if len(body) < int(self.headers.get("Content-Length") or 0):
            self.close_connection = True
            return None
        if fault.status:
            return self._answer(fault.status, [("Content-Type", "application/xml")],
                                ERROR.format(code=fault.code).encode(), Fault())
        if fault.flip_upload and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        status, headers, content = self.forward(body, fault)
        if fault.silent:
            self.stall()
        if fault.silent or fault.lose_answer or not status:
            self.close_connection = True
            return None
        if fault.drip_seconds:
            self.wfile = _Dripping(self.wfile, fault.drip_seconds)
        with suppress(BrokenPipeError, ConnectionResetError):
            self._answer(status, headers, content, fault)

    def _body(self, fault: Fault) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        if not fault.sip_seconds:
            return self.rfile.read(length)
        body = b""
        while len(body) < length:
            time.sleep(fault.sip_seconds)
            sip = self.rfile.read(min(512, length - len(body)))
            if not sip:
                break
            body += sip
        return body

    def _answer(self, status: int, headers: list, body: bytes, fault: Fault) -> None:
        self.send_response_only(status)
        kept = [(name, value) for name, value in headers if name.lower() not in ("connection", "transfer-encoding")]
        if self.command != "HEAD" and not any(name.lower() == "content-length" for name, _ in kept):
            kept.append(("Content-Length", str(len(body))))
        for name, value in kept:
            self.send_header(name, value)
        self.end_headers()
        if fault.flip_at is not None and fault.flip_at < len(body):
            body = body[:fault.flip_at] + bytes([body[fault.flip_at] ^ 1]) + body[fault.flip_at + 1:]
        cuts = [cut for cut in (fault.reset_after, fault.end_after, fault.stall_after) if cut is not None]
        self.wfile.write(body[:cuts[0]] if cuts else body)
        self.wfile.flush()
        if fault.stall_after is not None:
            self.stall()
        if cuts:
            if fault.reset_after is not None:
                # A linger time of 0 makes close() send RST.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.shutdown(socket.SHUT_RD)
                self.rfile.close()
                self.wfile.close()
                self.connection.close()
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve


class _Dripping:
    """A file that takes bytes as slowly as a server that has all the time in the world."""

    def __init__(self, file: Any, seconds: float) -> None:
        self._file, self._seconds = file, seconds

    def write(self, contents: bytes) -> None:
        for place in range(len(contents)):
            self._file.write(contents[place:place + 1])
            self._file.flush()
            time.sleep(self._seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """Run a proxy while the block runs."""
    proxy = FaultProxy(upstream)
    thread = threading.Thread(target=proxy.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.ended.set()
        proxy.server.shutdown()
        proxy.server.server_close()
        thread.join()
