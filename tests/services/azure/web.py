"""WebServer: one plane over HTTP(S), with a log of calls and the faults that a test asks for.

server.fault("PUT .*/queues/orders", status=429, headers={"Retry-After": "1"})   # once, nothing is applied
server.fault("PUT .*", lost=True)                                               # applied, and the answer never comes
server.fault("DELETE .*", delay=0.5, times=3)
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import sys
import threading
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Call:
    """A request. `path` is unquoted and without the query."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body of a request to Azure Resource Manager."""
        made = json.loads(self.body or b"{}")
        return made if isinstance(made, dict) else {}


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    body: bytes = b""
    type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, value: Any, **headers: str) -> Answer:
        """Return a response with JSON in it."""
        return cls(status, json.dumps(value).encode(), headers=headers)


@dataclass
class Fault:
    """What happens to the calls whose method and path match, a number of times."""

    pattern: re.Pattern[str]
    status: int = 0
    code: str = "Injected"
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False
    delay: float = 0.0
    times: int = 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that break off, which is what tests are about; say everything else."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class WebServer:
    """Serves `answer` on a free port of 127.0.0.1 while the context lasts."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        """With a TLS context, it speaks https (and http too, to who begins so)."""
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self._lock = threading.Lock()
        plane = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # Unbuffered, each answer would wait 40 ms for a delayed acknowledgement.
            timeout = 60

            def setup(self) -> None:
                if context is not None and self.request.recv(1, socket.MSG_PEEK) == b"\x16":  # a TLS handshake
                    self.request = context.wrap_socket(self.request, server_side=True)
                super().setup()

            def handle(self) -> None:
                if not plane.takes_over(self):
                    super().handle()

            def finish(self) -> None:
                with contextlib.suppress(OSError):
                    super().finish()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def handle_any(self) -> None:
                plane._handle(self)

            def do_CONNECT(self) -> None:
                """Be the proxy in front of itself: the names of real hosts lead here, over real TLS."""
                if context is None or not plane.stands_for(self.path.rpartition(":")[0]):
                    self.send_error(502, f"nobody knows {self.path}")
                    return
                self.send_response(200)
                self.end_headers()
                self.wfile.flush()
                self.request = context.wrap_socket(self.request, server_side=True)
                super().setup()
                self.close_connection = False  # Even if it was asked for by HTTP/1.0, as Python does.

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = handle_any

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.scheme = "https" if context else "http"
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """The address, without a slash at the end."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fault(self, pattern: str, **more: Any) -> None:
        """Have something happen to the next calls whose `METHOD path` matches the whole pattern; see `Fault`."""
        with self._lock:
            self.faults.append(Fault(re.compile(pattern, re.IGNORECASE), **more))

    def requests(self, method: str = "", path: str = "") -> list[Call]:
        """Return the calls so far with a method, whose path contains a text."""
        return [c for c in list(self.calls) if (not method or c.method == method) and path.lower() in c.path.lower()]

    def answer(self, call: Call) -> Answer:
        """Do what the call asks for."""
        raise NotImplementedError

    def refusal(self, status: int, code: str, message: str, headers: Mapping[str, str]) -> Answer:
        """Put an error into this plane's words."""
        raise NotImplementedError

    def stands_for(self, host: str) -> bool:
        """Tell whether a client that takes this server for its proxy finds the host `host` in it."""
        return False

    def takes_over(self, handler: StreamRequestHandler) -> bool:
        """Serve a connection that is not HTTP; tell whether this was one."""
        return False

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        parts = urllib.parse.urlsplit(handler.path)
        call = Call(
            handler.command,
            urllib.parse.unquote(parts.path),
            dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True)),
            {key.lower(): value for key, value in handler.headers.items()},
            handler.rfile.read(length),
        )
        fault = self._fault_for(call)
        if fault is not None and fault.delay:
            time.sleep(fault.delay)
        if fault is not None and fault.status and not fault.lost:
            answer = self.refusal(fault.status, fault.code, "injected by the test", fault.headers)
        else:
            answer = self.answer(call)
        if fault is not None and fault.lost:
            handler.close_connection = True
            return
        handler.send_response(answer.status)
        handler.send_header("Content-Type", answer.type)
        handler.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(answer.body)
        handler.wfile.flush()

    def _fault_for(self, call: Call) -> Fault | None:
        with self._lock:
            self.calls.append(call)
            for fault in self.faults:
                if fault.pattern.fullmatch(f"{call.method} {call.path}"):
                    fault.times -= 1
                    if fault.times <= 0:
                        self.faults.remove(fault)
                    return fault
        return None
