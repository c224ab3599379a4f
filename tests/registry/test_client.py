"""The client against a registry that misbehaves: what comes is right or refused; logins stay where they belong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstream.registry.errors import Denied, NotThere, RegistryError, Tampered, Unreachable
from dstream.registry.oci.client import RegistryClient
from dstream.registry.oci.content import Descriptor
from dstream.registry.oci.transport import Transport, is_loopback
from dstream.registry.settings import RegistrySettings, Settings
from tests.registry.stand_in import Script, stand_in


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home without any login, and no proxy."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def script() -> Iterator[Script]:
    with stand_in(Script()) as running:
        yield running


def client(script: Script, settings: Settings | None = None) -> RegistryClient:
    return RegistryClient(script.host, Transport(settings or Settings(), sleep=lambda seconds: None))


def test_a_download_that_is_cut_off_goes_on_where_it_was(script: Script, tmp_path: Path) -> None:
    script.cuts, script.cut_after = 3, 700_000
    seen: list[int] = []
    client(script).blob("a/b", script.descriptor, tmp_path / "blob", lambda done, size: seen.append(done))
    assert (tmp_path / "blob").read_bytes() == script.blob
    ranges = [headers.get("range") for headers in script.paths("/blobs/")]
    assert ranges == [None, "bytes=700000-", "bytes=1400000-", "bytes=2100000-"]
    assert seen == sorted(seen)
    assert seen[-1] == len(script.blob)


def test_a_later_command_goes_on_with_what_an_earlier_one_has(script: Script, tmp_path: Path) -> None:
    (tmp_path / "blob.partial").write_bytes(script.blob[:1_000_000])
    client(script).blob("a/b", script.descriptor, tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == script.blob
    assert script.paths("/blobs/")[0]["range"] == "bytes=1000000-"
    assert not (tmp_path / "blob.partial").exists()


def test_a_server_without_ranges_sends_all_of_it_again(script: Script, tmp_path: Path) -> None:
    script.cuts, script.cut_after, script.ranges = 1, 700_000, False
    client(script).blob("a/b", script.descriptor, tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == script.blob


@pytest.mark.parametrize("start", [b"y" * 1000, b"y" * 4_000_000])
def test_a_wrong_beginning_is_found_out_and_thrown_away(script: Script, tmp_path: Path, start: bytes) -> None:
    (tmp_path / "blob.partial").write_bytes(start)
    if len(start) < len(script.blob):
        with pytest.raises(Tampered):
            client(script).blob("a/b", script.descriptor, tmp_path / "blob")
        assert not list(tmp_path.glob("blob*"))
    client(script).blob("a/b", script.descriptor, tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == script.blob


def test_wrong_content_a_wrong_size_and_no_progress_are_refused(script: Script, tmp_path: Path) -> None:
    right = script.descriptor
    for size in (right.size - 1, right.size + 1):
        with pytest.raises(Tampered):
            client(script).blob("a/b", Descriptor("", right.digest, size), tmp_path / "blob")
    script.blob = b"z" * right.size
    with pytest.raises(Tampered):
        client(script).blob("a/b", right, tmp_path / "blob")
    with pytest.raises(Tampered):
        client(script).manifest("a/b", "v1")  # its digest header names other content
    assert not list(tmp_path.glob("blob*"))


def test_a_manifest_that_breaks_off_is_out_of_reach_and_no_bug(script: Script) -> None:
    script.cuts = 1
    with pytest.raises(Unreachable, match="Download interrupted"):
        client(script).manifest("a/b", "v1")


def test_reading_is_tried_again_after_errors_that_pass_but_not_for_ever(script: Script) -> None:
    script.errors = [503, 429, 500]
    assert client(script).tags("a/b") == ["v1", "v2"]  # over two pages
    script.errors = [503] * 9
    with pytest.raises(RegistryError, match="Registry error"):
        client(script).tags("a/b")
    assert len(script.errors) == 5


def test_a_token_is_got_once_with_the_login_and_used_again(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.login = ("ada", "pass:word")
    with pytest.raises(Denied, match="Registry access denied"):
        client(script).tags("a/b")
    monkeypatch.setenv(f"DSTREAM_AUTH_{script.host.replace('.', '_').replace(':', '_')}", "ada:pass:word")
    script.asked.clear()
    assert client(script).tags("a/b") == ["v1", "v2"]
    assert len(script.paths("/token")) == 1
    assert "scope=repository%3Aa%2Fb%3Apull" in next(path for _, path, _ in script.asked if "/token" in path)


def test_an_identity_token_is_exchanged(script: Script, tmp_path: Path) -> None:
    script.login, script.refresh = ("ada", "x"), "refresh-me"
    (tmp_path / ".docker").mkdir()
    auths = {script.host: {"identitytoken": "refresh-me"}}
    (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": auths}))
    assert client(script).tags("a/b") == ["v1", "v2"]


def test_a_login_is_never_sent_to_another_host(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script.login = ("ada", "secret")
    monkeypatch.setenv(f"DSTREAM_AUTH_{script.host.replace('.', '_').replace(':', '_')}", "ada:secret")
    with stand_in(Script()) as elsewhere:
        script.redirect = f"http://{elsewhere.host}/cdn/"
        client(script).blob("a/b", script.descriptor, tmp_path / "blob")
        assert [headers.get("authorization") for headers in elsewhere.paths("/cdn/")] == [None]
    script.redirect = "http://registry.example/cdn/"
    with pytest.raises(RegistryError, match="Redirect to plain http"):
        client(script).blob("a/b", script.descriptor, tmp_path / "other")
    script.realm = "http://tokens.example/token"
    with pytest.raises(RegistryError, match="Untrusted token endpoint"):
        client(script).tags("a/b")


def test_what_is_not_there_and_who_is_not_there_are_told_apart(script: Script) -> None:
    with pytest.raises(NotThere, match="Not found in the registry"):
        client(script).manifest("no/such", "v1")
    port = script.port
    gone = RegistryClient("127.0.0.1:1", Transport(Settings(), sleep=lambda seconds: None))
    with pytest.raises(Unreachable, match="Registry unreachable"):
        gone.tags("a/b")
    offline = client(script, Settings(offline=True))
    script.asked.clear()
    with pytest.raises(Unreachable, match="Offline"):
        offline.tags("a/b")
    assert not script.asked
    assert port == script.port


def test_plain_http_is_for_loopback_and_for_those_who_are_named() -> None:
    for host in ("127.0.0.1:5000", "localhost", "[::1]:5000", "127.9.9.9"):
        assert is_loopback(host)
    for host in ("localhost.example", "10.0.0.1", "127.0.0.1.example", "registry:5000"):
        assert not is_loopback(host)
    settings = Settings({"registry:5000": RegistrySettings(insecure=True), "*": RegistrySettings(insecure=True)})
    transport = Transport(settings)
    assert transport.may_see_secrets("http://registry:5000/token")
    assert not transport.may_see_secrets("http://other:5000/token")
    assert transport.may_see_secrets("https://other:5000/token")


def test_requests_go_through_the_proxy_that_is_set(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://{script.host}")
    monkeypatch.setenv("no_proxy", "")
    transport = Transport(Settings({"registry.example": RegistrySettings(insecure=True)}), sleep=lambda seconds: None)
    with transport.send("GET", "http://registry.example/v2/a/b/tags/list") as response:
        assert response.status == 200
    assert script.asked[-1][1] == "http://registry.example/v2/a/b/tags/list"
    assert script.asked[-1][2]["host"] == "registry.example"
