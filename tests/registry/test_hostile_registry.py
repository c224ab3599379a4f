"""A hostile registry: logins and content stay encrypted and at home, and no answer of it hangs or breaks a command."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from dstream.bounded_json import InvalidJson, parse_json
from dstream.diagnostics import DiagnosticsError
from dstream.registry.errors import RegistryError
from dstream.registry.index import parse_index
from dstream.registry.oci.cache import Cache
from dstream.registry.oci.client import RegistryClient
from dstream.registry.oci.content import OCI_MANIFEST, parse_descriptor, parse_manifest
from dstream.registry.oci.credentials import find_credentials
from dstream.registry.oci.push import Pusher
from dstream.registry.oci.reference import parse_reference
from dstream.registry.oci.transport import Transport
from dstream.registry.settings import Settings

Reply = tuple[int, dict[str, str], bytes]
PASSWORD = "s3cret"
BASIC = "Basic " + base64.b64encode(f"ada:{PASSWORD}".encode()).decode()


class Server:
    """A server on loopback, with TLS if it has a certificate, that answers as a function says, and keeps requests."""

    def __init__(self, reply: Callable[[str, str, str | None], Reply], context: ssl.SSLContext | None = None) -> None:
        self.reply, self.seen = reply, []
        server = self
        scheme = "https" if context else "http"

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.seen.append((self.command, self.path, self.headers.get("Authorization"), body))
                status, headers, content = server.reply(self.command, self.path, self.headers.get("Authorization"))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = answer

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.host = f"localhost:{self.http.server_address[1]}"
        self.url = f"{scheme}://{self.host}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Start servers; https ones are trusted, and the login of any `registry` is ada's."""
    authority, running = trustme.CA(), []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)

    def start(reply: Callable[[str, str, str | None], Reply], *, tls: bool = True) -> Server:
        server = Server(reply, context if tls else None)
        running.append(server)
        monkeypatch.setenv(f"DSTREAM_AUTH_{server.host.replace(':', '_')}", f"ada:{PASSWORD}")
        return server

    yield start
    for server in running:
        server.http.shutdown()
        server.http.server_close()


def client(server: Server) -> RegistryClient:
    return RegistryClient(server.host, Transport(Settings(), sleep=lambda seconds: None))


def nothing(method: str, path: str, login: str | None) -> Reply:
    return 404, {}, b""


def guarded(then: Callable[[str, str], Reply]) -> Callable[[str, str, str | None], Reply]:
    """A registry that wants a login, and then answers."""

    def reply(method: str, path: str, login: str | None) -> Reply:
        if path == "/v2/":
            return 200, {}, b"{}"
        return then(method, path) if login == BASIC else (401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")

    return reply


@pytest.mark.parametrize("where", ["plain http", "another port", "plain http, relative", "file", "broken"])
def test_an_upload_s_address_gets_neither_login_nor_content_unless_it_is_at_home(serve, where: str) -> None:
    elsewhere = serve(nothing, tls=where == "another port")
    place = {
        "plain http": f"http://{elsewhere.host}/take",
        "another port": f"https://{elsewhere.host}/take",
        "plain http, relative": f"http:////{elsewhere.host}/take",
        "file": "file:///etc/passwd",
        "broken": "https://[::1/take",
    }[where]
    registry = serve(
        guarded(lambda method, path: (202, {"Location": place}, b"") if method == "POST" else (404, {}, b""))
    )
    with pytest.raises(RegistryError) as problem:
        Pusher(client(registry), "a/b").blob(b"content of the provider")
    if where == "another port":  # it may have the content, which is encrypted; the login is not for it
        assert [login for _, _, login, _ in elsewhere.seen] == [None]
    else:
        assert elsewhere.seen == []
        assert problem.value.diagnostics[0].summary in ("Redirect to plain http", "Malformed registry address")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "POST"])
def test_no_redirect_leads_from_https_to_http_even_on_loopback(serve, method: str) -> None:
    plain = serve(nothing, tls=False)
    registry = serve(guarded(lambda method, path: (307, {"Location": f"http://{plain.host}{path}"}, b"")))
    found = client(registry)
    try:
        with found.request(method, "/v2/a/b/blobs/x", "repository:a/b:pull", {}, b"content") as response:
            assert response.status == 307 and method not in ("GET", "HEAD")
    except RegistryError as problem:
        assert problem.diagnostics[0].summary == "Redirect to plain http"
    assert plain.seen == []


def test_a_login_is_not_answered_to_who_asks_after_a_redirect(serve) -> None:
    """The registry sends a blob's reader to another server, which asks for a token at its own address."""
    thief = serve(lambda method, path, login: (401, {"WWW-Authenticate": f'Bearer realm="{thief.url}/token"'}, b"")
                  if path.startswith("/blob") else (200, {}, b'{"token":"x"}'))  # fmt: skip
    registry = serve(lambda method, path, login: (307, {"Location": f"{thief.url}/blob"}, b""))
    with pytest.raises(RegistryError):
        client(registry).manifest("a/b", "v1")
    assert [login for _, _, login, _ in thief.seen] == [None]


@pytest.mark.parametrize(
    "realm", ["http://{plain}/token", "HTTP://{plain}/token", "//{plain}/token", "ftp://{plain}/", "https://[", ""]
)
def test_a_token_is_not_fetched_over_plain_http(serve, realm: str) -> None:
    plain = serve(lambda method, path, login: (200, {}, b'{"token":"x"}'), tls=False)
    where = realm.format(plain=plain.host)
    registry = serve(lambda method, path, login: (401, {"WWW-Authenticate": f'Bearer realm="{where}"'}, b""))
    with pytest.raises(RegistryError, match="Untrusted token endpoint"):
        client(registry).tags("a/b")
    assert plain.seen == []


@pytest.mark.parametrize(
    "link", ["https://{other}/v2/a/b/tags/list?last=x", "//{other}/x", "{url}//{other}/x", "/v2/../\\{other}"]
)
def test_the_next_page_is_at_the_same_registry(serve, link: str) -> None:
    other = serve(nothing)
    registry: Server = serve(
        guarded(
            lambda method, path: (
                (200, {"Link": f'<{link.format(other=other.host, url=registry.url)}>; rel="next"'}, b'{"tags":[]}')
                if "n=1000" in path
                else (200, {}, b'{"tags":["v1"]}')
            )
        )
    )
    assert client(registry).tags("a/b") == ["v1"]
    assert other.seen == []


@pytest.mark.parametrize("loop", ["same page", "two pages", "new pages"])
def test_pages_without_end_are_an_error(serve, loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dstream.registry.oci.client._PAGES", 30)
    count = iter(range(10_000))
    names = {"same page": lambda: "x", "two pages": lambda: str(next(count) % 2), "new pages": lambda: str(next(count))}
    registry = serve(
        guarded(
            lambda method, path: (
                200,
                {"Link": f'</v2/a/b/tags/list?last={names[loop]()}>; rel="next"'},
                b'{"tags":["v1"]}',
            )
        )
    )
    with pytest.raises(RegistryError, match="Registry error") as problem:
        client(registry).tags("a/b")
    assert "has no end" in problem.value.diagnostics[0].detail


DEEP = b'{"tags":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
ODD = [
    DEEP,
    b'{"tags":' + b'{"a":' * 500 + b"1" + b"}" * 501,
    b"[]",
    b'{"tags":{}}',
    b'{"tags":[1]}',
    b'{"tags":["v1\\u001b[2J"]}',
    b'{"tags":["v1"],"tags":["v2"]}',
    b'{"tags":["\\ud800"]}',
    b'{"tags":[NaN]}',
    b'{"tags":[1e999]}',
    b'{"tags":[' + b"9" * 5000 + b"]}",
    b"\xff\xfe{\x00}\x00",
    b"",
]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_an_answer_that_is_no_list_of_names_is_an_error(serve, body: bytes) -> None:
    registry = serve(guarded(lambda method, path: (200, {}, body)))
    for ask in (lambda: client(registry).tags("a/b"), lambda: client(registry).manifest("a/b", "v1")):
        with pytest.raises(RegistryError):
            ask()
    error = serve(guarded(lambda method, path: (418, {}, body)))
    with pytest.raises(RegistryError, match="Registry error"):
        client(error).tags("a/b")


@pytest.mark.parametrize(
    "body", [DEEP, b'{"token":{}}', b'{"token":"a\\r\\nX: y"}', b'{"token":1}', b'{"access_token":[]}', b"null"]
)
def test_a_token_that_is_none_is_an_error(serve, body: bytes) -> None:
    registry: Server = serve(
        lambda method, path, login: (
            (200, {}, body)
            if path.startswith("/token")
            else (401, {"WWW-Authenticate": f'Bearer realm="{registry.url}/token"'}, b"")
        )
    )
    with pytest.raises(RegistryError, match="Missing registry token"):
        client(registry).tags("a/b")


def test_an_encoding_that_was_not_requested_is_not_unpacked(serve) -> None:
    import gzip

    bomb = gzip.compress(b'{"tags":["' + b"v" * 20_000_000 + b'"]}')
    registry = serve(guarded(lambda method, path: (200, {"Content-Encoding": "gzip"}, bomb)))
    with pytest.raises(RegistryError, match="Registry error"):
        client(registry).tags("a/b")


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("3", 3, 3),
        (20, 15, 20),
        (9999, 30, 30),
        (-9999, 0.5, 0.5),
        ("9" * 5000, 30, 30),
        ("nan", 0.5, 0.5),
        ("-5", 0.5, 0.5),
        ("Mon, 99 Foo 99999 99:99:99 GMT", 0.5, 0.5),
        ("", 0.5, 0.5),
    ],
)
def test_a_server_says_how_long_to_wait_in_seconds_or_with_a_date(
    serve, header: str | int, least: float, most: float
) -> None:
    if isinstance(header, int):
        header = formatdate(time.time() + header, usegmt=True)
    registry = serve(lambda method, path, login: (503, {"Retry-After": header}, b""))
    waits: list[float] = []
    with pytest.raises(RegistryError):
        RegistryClient(registry.host, Transport(Settings(), sleep=waits.append)).tags("a/b")
    assert least <= waits[0] <= most


MANIFEST = {"schemaVersion": 2, "mediaType": OCI_MANIFEST}
DESCRIPTOR = {"mediaType": "x", "digest": f"sha256:{0:064}", "size": 1}


@pytest.mark.parametrize(
    "change",
    [{"size": True}, {"size": 1.0}, {"size": "1"}, {"size": -1}, {"size": 1 << 62}, {"size": None}, {"digest": ["x"]},
     {"digest": "sha256:0"}, {"mediaType": ["x"]}, {"mediaType": 1}, {"annotations": ["x"]}, {"platform": "linux"},
     {"artifactType": {}}],
    ids=str,
)  # fmt: skip
def test_a_descriptor_of_another_type_is_refused(change: dict) -> None:
    assert parse_descriptor(DESCRIPTOR, "x").size == 1
    with pytest.raises(RegistryError, match="Malformed manifest"):
        parse_descriptor({**DESCRIPTOR, **change}, "x")
    with pytest.raises(RegistryError, match="Malformed manifest"):
        parse_manifest(json.dumps({**MANIFEST, "layers": [{**DESCRIPTOR, **change}]}).encode(), "", "x").descriptors(
            "layers"
        )


@pytest.mark.parametrize(
    "change",
    [{"schemaVersion": True}, {"schemaVersion": 2.0}, {"schemaVersion": "2"}, {"artifactType": []}, {"mediaType": {}}],
    ids=str,
)
def test_a_manifest_of_another_type_is_refused(change: dict) -> None:
    with pytest.raises(RegistryError, match="Malformed manifest"):
        parse_manifest(json.dumps({**MANIFEST, **change}).encode(), "", "x")
    with pytest.raises(RegistryError, match="Malformed manifest"):
        parse_manifest(json.dumps({**MANIFEST, "layers": {}}).encode(), "", "x").descriptors("layers")


ENTRY = {"name": "a/b", "tier": "community", "kinds": ["input"], "source": "ghcr.io/a/b", "description": "x"}


@pytest.mark.parametrize(
    "form",
    [{"format": True}, {"format": 1.0}, {"providers": {}}, {"providers": [1]},
     {"providers": [{**ENTRY, "kinds": [[]]}]}, {"providers": [{**ENTRY, "kinds": [{}]}]},
     {"providers": [{**ENTRY, "name": 1}]},
     {"providers": [{**ENTRY, "description": ["x"]}]}, {"providers": [{**ENTRY, "homepage": {}}]}],
    ids=str,
)  # fmt: skip
def test_an_index_of_other_types_is_refused(form: dict) -> None:
    right = {"format": 1, "providers": [ENTRY]}
    assert len(parse_index(json.dumps(right).encode(), "x")) == 1
    for raw in (json.dumps({**right, **form}).encode(), DEEP):
        with pytest.raises(RegistryError, match="Unreadable index"):
            parse_index(raw, "x")


@pytest.mark.parametrize("raw", [DEEP, b"\xff", b"[]", b'{"auths":{},"auths":{}}', b"{", b'{"x":' + b"9" * 5000 + b"}"])
def test_a_login_file_and_a_helper_that_say_nonsense_are_errors(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "config.json").write_bytes(raw)
    environment = {"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path), "PATH": str(tmp_path)}
    with pytest.raises(RegistryError, match="Invalid credentials"):
        find_credentials("r.example", environment)
    (tmp_path / "config.json").write_text('{"credsStore":"odd"}')
    (tmp_path / "said").write_bytes(raw)
    helper = tmp_path / "docker-credential-odd"
    helper.write_text(f"#!/bin/sh\nexec /bin/cat {tmp_path}/said\n")
    helper.chmod(0o755)
    with pytest.raises(RegistryError, match="Credential helper failure"):
        find_credentials("r.example", environment)


def test_a_helper_s_answer_of_other_types_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"credsStore":"odd"}')
    helper = tmp_path / "docker-credential-odd"
    helper.write_text("""#!/bin/sh\necho '{"Username":["a"],"Secret":true}'\n""")
    helper.chmod(0o755)
    with pytest.raises(RegistryError, match="Credential helper failure"):
        find_credentials("r.example", {"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path), "PATH": str(tmp_path)})


def test_a_tag_and_a_repository_of_the_same_path_do_not_meet_in_the_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    references = [
        parse_reference(text)
        for text in ("r.example/a/b:c", "r.example/a/b/c:d", "r.example/a:b", "r.example/a/b/c/d:e")
    ]
    for number, reference in enumerate(references):
        cache.remember(reference, f"sha256:{number:064}")
    for number, reference in enumerate(references):
        assert cache.remembered(reference) == f"sha256:{number:064}"
        assert cache.tags(reference) == [reference.tag]
    assert sorted(cache.refs()) == sorted((str(each), f"sha256:{number:064}") for number, each in enumerate(references))


@pytest.mark.parametrize(
    "text", ["[" * 65 + "]" * 65, '{"a":1,"a":1}', "Infinity", "-1e400", '"\\udc00"', "01", "1 2", "'x'"]
)
def test_the_reader_refuses_what_two_readers_may_understand_differently(text: str) -> None:
    with pytest.raises(InvalidJson):
        parse_json(text)


def test_a_name_that_is_repeated_among_many_is_found_without_delay() -> None:
    many = ",".join(f'"{number}":1' for number in range(200_000))
    with pytest.raises(InvalidJson, match="'199999' twice"):
        parse_json(f'{{{many},"199999":2}}')


def test_the_reader_reads_what_is_right() -> None:
    value = {"a": [1, 2.5, -0.0, "\U0001f600", None, True], "b": {"": {}}}
    assert parse_json(json.dumps(value)) == value
    assert parse_json("[" * 64 + "]" * 64)
    with pytest.raises(InvalidJson):
        parse_json(b'"' + b"x" * 100 + b'"', limit=99)
    assert issubclass(RegistryError, DiagnosticsError)
