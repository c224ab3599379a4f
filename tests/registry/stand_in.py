"""A registry that misbehaves on order: one manifest and one blob, tokens, redirects, cut connections, errors."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from dstream.registry.oci.content import OCI_MANIFEST, Descriptor, digest_of


@dataclass
class Script:
    """What the server does."""

    blob: bytes = b"x" * 3_000_000
    login: tuple[str, str] | None = None
    """With a login, a Bearer token is wanted, which only this login gets."""
    refresh: str = ""
    """The identity token that gets one as well."""
    cut_after: int = 0
    """Bytes after which the next answers with a blob are cut off."""
    cuts: int = 0
    ranges: bool = True
    errors: list[int] = field(default_factory=list)
    """Statuses of the next answers."""
    redirect: str = ""
    """Where blobs are, as a template with the path."""
    realm: str = ""
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    port: int = 0

    @property
    def host(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def descriptor(self) -> Descriptor:
        """The blob."""
        return Descriptor("application/octet-stream", digest_of(self.blob), len(self.blob))

    def paths(self, part: str) -> list[dict[str, str]]:
        """The headers of all requests whose path holds `part`."""
        return [headers for _, path, headers in self.asked if part in path]


@contextmanager
def stand_in(script: Script) -> Iterator[Script]:
    """Serve on loopback for as long as the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(script))
    server.daemon_threads = True
    script.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            script.asked.append(("POST", self.path, dict(self.headers)))
            right = form.get("refresh_token") == [script.refresh]
            self.answer(200 if right else 401, b'{"access_token":"good"}')

        def do_GET(self) -> None:
            script.asked.append(("GET", self.path, {name.lower(): value for name, value in self.headers.items()}))
            path = urlsplit(self.path).path
            if path == "/token":
                wanted = base64.b64encode(":".join(script.login or ("", "")).encode()).decode()
                right = self.headers.get("Authorization") == f"Basic {wanted}"
                self.answer(200 if right else 401, b'{"token":"good"}')
            elif script.errors and path != "/v2/":
                self.answer(script.errors.pop(0), b'{"errors":[{"code":"X","message":"so"}]}', Retry_After="0")
            elif script.login and self.headers.get("Authorization") != "Bearer good" and not path.startswith("/cdn/"):
                realm = script.realm or f"http://{script.host}/token"
                scope = "repository:a/b:pull"
                self.answer(401, WWW_Authenticate=f'Bearer realm="{realm}",service="s",scope="{scope}"')
            elif path.startswith("/v2/a/b/blobs/") and script.redirect:
                self.answer(307, Location=script.redirect + path.rpartition("/")[2])
            elif "/blobs/" in path or path.startswith("/cdn/"):
                self.send_blob()
            elif path == "/v2/a/b/manifests/v1":
                raw = b'{"schemaVersion":2}'
                if script.cuts:
                    self.cut(raw)
                    return
                self.answer(200, raw, Content_Type=OCI_MANIFEST, Docker_Content_Digest="sha256:" + "0" * 64)
            elif path == "/v2/a/b/tags/list":
                more = "last" not in self.path
                link = f'<http://{script.host}/v2/a/b/tags/list?last=v1>; rel="next"'
                self.answer(200, b'{"tags":["v1"]}' if more else b'{"tags":["v2"]}', **({"Link": link} if more else {}))
            elif path == "/v2/":
                self.answer(200)
            else:
                self.answer(404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"no such thing"}]}')

        def cut(self, raw: bytes) -> None:
            """Answer with less than was announced."""
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw) + 10))
            self.end_headers()
            self.wfile.write(raw)
            self.close_connection = True

        def send_blob(self) -> None:
            given = self.headers.get("Range", "")
            start = int(given.removeprefix("bytes=").rstrip("-")) if given and script.ranges else 0
            body = script.blob[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(script.blob) - 1}/{len(script.blob)}")
            self.end_headers()
            if script.cuts:
                script.cuts -= 1
                self.wfile.write(body[: script.cut_after])
                self.wfile.flush()
                self.close_connection = True
                return
            self.wfile.write(body)

    return Handler
