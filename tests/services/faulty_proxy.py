"""A proxy in front of an HTTP service that loses answers, refuses requests, resets connections and holds back.

    with faulty_proxy(endpoint, decide) as address: ...

`decide` is called with every request (method, path with query), from several threads, and says what becomes of it.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Fate:
    """What becomes of a request.

    `carried_out`: the service gets it. `answer`: None for the service's own, "reset" for a connection that is reset
    instead, else a status with the error code of `code` and these `headers`. `after` is waited for before the service
    gets the request, `until` before its answer is given.
    """

    carried_out: bool = True
    answer: int | str | None = None
    code: str = "ServerBusy"
    headers: dict[str, str] = field(default_factory=dict)
    after: threading.Event | None = None
    until: threading.Event | None = None


PASSED = Fate()
LOST = Fate(answer="reset")
NEVER_ARRIVED = Fate(carried_out=False, answer="reset")


@contextlib.contextmanager
def faulty_proxy(endpoint: str, decide: Callable[[str, str], Fate]) -> Iterator[str]:
    """Run a proxy for as long as the context lasts; yield its address, with the path of `endpoint`."""
    target = urlsplit(endpoint)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fate = decide(self.command, self.path)
            if fate.after is not None:
                fate.after.wait(60)
            status, headers, content = fate.answer or 0, list(fate.headers.items()), b""
            if fate.carried_out:
                found = self._forward(body)
                if fate.answer is None:
                    status, headers, content = found
            if fate.until is not None:
                fate.until.wait(60)
            if status == "reset":
                self._reset()
                return
            if isinstance(fate.answer, int):
                headers.append(("x-ms-error-code", fate.code))
            self.send_response_only(int(status))
            for name, text in headers:
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, text)
            if self.command == "HEAD":
                content = b""
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_any

        def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
            with contextlib.closing(connection):
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                answer = connection.getresponse()
                return answer.status, answer.getheaders(), answer.read()

        def _reset(self) -> None:
            # A socket that does not linger is closed by RST.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{target.path}"
    finally:
        server.shutdown()
        server.server_close()
