"""dstream providers pull pulumi/NAME@VERSION, against an HTTP server of our own."""

import gzip
import hashlib
import io
import os
import re
import shutil
import tarfile
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dstream.registry import pulumi_unpacking
from dstream.registry.errors import Tampered
from dstream.registry.platforms import this_platform
from dstream.registry.pulumi_unpacking import unpack
from dstream_pulumi.plugin import Plugin
from dstream_sdk import InvalidError
from tests.e2e.commands import dstream

HERE = this_platform()


def archive(name: str = "pulumi-resource-acme", text: str = "#!/bin/sh\necho hello\n", link: str = "") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for member, body in ((name, text), ("README.md", "about")):
            entry = tarfile.TarInfo(member)
            entry.size, entry.mode = len(body), 0o644
            tar.addfile(entry, io.BytesIO(body.encode()))
        if link:
            entry = tarfile.TarInfo(link)
            entry.size = 4
            tar.addfile(entry, io.BytesIO(b"evil"))
    return made.getvalue()


@dataclass
class Releases:
    files: dict[str, bytes]
    url: str = ""
    asked: int = 0
    cut: bool = False


@pytest.fixture
def releases():
    found = Releases({f"pulumi-resource-acme-v1.2.3-{HERE.os}-{HERE.arch}.tar.gz": archive()})

    class Handler(BaseHTTPRequestHandler):
        wbufsize = -1

        def do_GET(self):
            found.asked += 1
            body = found.files.get(self.path.rpartition("/")[2])
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write((body or b"")[: 10 if found.cut else None])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}/plugins"
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def pull(releases, tmp_path):
    folder = tmp_path / "config"
    folder.mkdir()

    def run(*arguments, base=None, home=tmp_path / "pulumi"):
        env = {"DSTREAM_PULUMI_PLUGINS": base or releases.url, "PULUMI_HOME": str(home)}
        return dstream(folder, "providers", "pull", *arguments, env=env)

    run.folder, run.plugin = folder, tmp_path / "pulumi" / "plugins" / "resource-acme-v1.2.3" / "pulumi-resource-acme"
    return run


def test_a_plugin_is_fetched_to_where_pulumi_looks_and_its_checksum_is_locked(pull, releases):
    done = pull("pulumi/acme@1.2.3")
    assert done.code == 0, done.said
    assert os.access(pull.plugin, os.X_OK)
    lock = (pull.folder / ".dstream.lock.hcl").read_text()
    digest = hashlib.sha256(next(iter(releases.files.values()))).hexdigest()
    assert 'plugin "pulumi/acme@1.2.3"' in lock and f"{HERE}" in lock and digest in lock


def test_what_is_there_and_locked_is_not_fetched_again(pull, releases):
    assert pull("pulumi/acme@1.2.3").code == 0
    again = pull("pulumi/acme@v1.2.3")
    assert again.code == 0 and "already unpacked" in again.out and releases.asked == 1


def test_an_archive_that_is_not_the_locked_one_is_refused(pull, releases, tmp_path):
    assert pull("pulumi/acme@1.2.3").code == 0
    name = next(iter(releases.files))
    releases.files[name] = archive(text="#!/bin/sh\necho changed\n")
    done = pull("pulumi/acme@1.2.3", home=tmp_path / "another")
    assert done.code == 1 and "Plugin mismatch with the lock file" in done.said
    assert not list((tmp_path / "another").rglob("pulumi-resource-acme"))
    assert list((tmp_path / "another" / "plugins").iterdir()) == [], "nothing is left behind"


def test_another_platform_is_locked_beside_this_one(pull, releases):
    releases.files["pulumi-resource-acme-v1.2.3-plan9-mips.tar.gz"] = archive(text="other")
    assert pull("pulumi/acme@1.2.3").code == 0
    assert pull("-platform", "plan9_mips", "pulumi/acme@1.2.3").code == 0
    assert "plan9_mips" in (pull.folder / ".dstream.lock.hcl").read_text()
    assert pull.plugin.read_text() != "other"


def test_other_commands_keep_the_entry_in_the_lock_file(pull):
    assert pull("pulumi/acme@1.2.3").code == 0
    before = (pull.folder / ".dstream.lock.hcl").read_text()
    (pull.folder / "dstream.hcl").write_text("locals {\n  a = 1\n}\n")
    assert dstream(pull.folder, "init", "-backend=false").code in (0, 1)
    assert dstream(pull.folder, "providers", "lock").code == 0
    assert (pull.folder / ".dstream.lock.hcl").read_text() == before


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("pulumi/acme", "pulumi/NAME@VERSION"),
        ("pulumi/acme@latest", "pulumi/NAME@VERSION"),
        ("pulumi/../x@1.0.0", "pulumi/NAME@VERSION"),
        ("pulumi/acme@9.9.9", "Plugin not found"),
    ],
)
def test_what_cannot_be_fetched_says_why(pull, reference, said):
    done = pull(reference)
    assert done.code == 1 and said in " ".join(done.said.split())


def test_archives_that_are_none_or_wrong_leave_nothing_behind(pull, releases):
    name = next(iter(releases.files))
    for body, said in (
        (b"not an archive", "Invalid plugin archive"),
        (archive("another-program"), "has no file pulumi-resource-acme"),
        (archive(link="../../outside"), "cannot be unpacked"),
        (archive(link="/outside"), "cannot be unpacked"),
        (archive()[:-40], "Invalid plugin archive"),
    ):
        releases.files[name] = body
        done = pull("pulumi/acme@1.2.3")
        assert done.code == 1 and said in " ".join(done.said.split()), done.said
        assert not (pull.folder / ".dstream.lock.hcl").exists() and not pull.plugin.exists()


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", format=tarfile.GNU_FORMAT, compresslevel=1) as tar:
        for entry, body in members:
            tar.addfile(entry, io.BytesIO(body))
    return made.getvalue()


def member(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.type = size, kind
    return entry


def test_an_archive_that_unpacks_to_far_more_than_a_program_is_refused(tmp_path, monkeypatch):
    """Zeros in a file, in a header that is read at once, in a sparse file; and headers of headers."""
    assert pulumi_unpacking._MEMBERS == 20_000
    monkeypatch.setattr(pulumi_unpacking, "_MEMBERS", 200)
    large = bytes(200 << 20)
    raw = bytearray(member("pulumi-resource-acme", 1 << 40, tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    raw[386:398], raw[398:410], raw[483:495] = b"00000000000\0", b"00000000000\0", b"77777777777\0"
    raw[148:156] = b"        "
    raw[148:156] = b"%06o\0 " % sum(raw)
    long_names = b"".join(member("././@LongLink", 5, b"L").tobuf() + b"name\0".ljust(512, b"\0") for _ in range(5000))
    for number, (content, said) in enumerate(
        (
            (packed((member("pulumi-resource-acme", len(large)), large)), "unpacks to more than"),
            (packed((member("x", len(large), b"x"), large)), "unpacks to more than"),
            (gzip.compress(bytes(raw) + bytes(1024)), "cannot be unpacked"),
            (gzip.compress(long_names), "cannot be unpacked"),
            (packed(*((member(f"{each}", 0), b"") for each in range(201))), "more than 200 entries"),
            (packed((member("a\0b", 0), b""), (member("x" * 300, 0), b"")), "cannot be unpacked"),
        )
    ):
        archive_ = tmp_path / f"{number}.tar.gz"
        archive_.write_bytes(content)
        assert len(content) < 4 << 20
        with pytest.raises(Tampered, match="Invalid plugin archive") as problem:
            unpack(archive_, tmp_path / f"{number}", "pulumi/acme@1.2.3")
        assert said in problem.value.diagnostics[0].detail
        assert sum(each.stat().st_size for each in tmp_path.rglob("*") if each.is_file()) < 90 << 20
        shutil.rmtree(tmp_path / f"{number}")


@pytest.mark.parametrize("change", ["executable", "another file", "added file", "link"])
def test_a_plugin_that_was_changed_on_disk_is_unpacked_again_by_pull_and_started_by_nobody(
    pull, releases, tmp_path, monkeypatch, change
):
    assert pull("pulumi/acme@1.2.3").code == 0
    monkeypatch.chdir(pull.folder)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    other = tmp_path / "bin" / "pulumi-resource-acme"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    home = str(tmp_path / "pulumi")
    assert Plugin("acme", "1.2.3").find(home) == pull.plugin, "not the one on PATH: it is not the locked one"
    assert Plugin("acme").find(home) == pull.plugin
    if change == "executable":
        pull.plugin.write_text("#!/bin/sh\necho evil\n")
    elif change == "another file":
        (pull.plugin.parent / "README.md").write_text("other")
    elif change == "added file":
        (pull.plugin.parent / "sitecustomize.py").write_text("evil")
    else:
        (tmp_path / "copy").write_bytes(pull.plugin.read_bytes())
        pull.plugin.unlink()
        pull.plugin.symlink_to(tmp_path / "copy")
    for version in ("1.2.3", ""):
        with pytest.raises(InvalidError, match="Plugin changed on disk"):
            Plugin("acme", version).find(home)
    assert pull("pulumi/acme@1.2.3").code == 0
    assert releases.asked == 2
    assert Plugin("acme", "1.2.3").find(home) == pull.plugin


def test_a_lock_file_without_the_content_of_a_plugin_asks_for_it(pull, tmp_path, monkeypatch):
    assert pull("pulumi/acme@1.2.3").code == 0
    path = pull.folder / ".dstream.lock.hcl"
    whole = path.read_text()
    path.write_text(whole.replace("contents", "archives_of_old"))
    monkeypatch.chdir(pull.folder)
    with pytest.raises(InvalidError, match="Plugin not verified"):
        Plugin("acme", "1.2.3").find(str(tmp_path / "pulumi"))
    path.write_text(whole[: whole.index("  contents")] + "}\n")
    assert pull("pulumi/acme@1.2.3").code == 0
    assert path.read_text() == whole
    path.write_text(re.sub(r"(contents = .*?sha256:)[0-9a-f]{64}", r"\g<1>" + "0" * 64, whole, flags=re.DOTALL))
    with pytest.raises(InvalidError, match="Plugin changed on disk"):
        Plugin("acme", "1.2.3").find(str(tmp_path / "pulumi"))
    assert "Plugin mismatch with the lock file" in pull("pulumi/acme@1.2.3").said


def test_an_answer_that_is_cut_short_is_no_plugin(pull, releases):
    releases.cut = True
    done = pull("pulumi/acme@1.2.3")
    assert done.code == 1 and not pull.plugin.exists()


def test_plain_http_is_spoken_to_this_machine_only(pull):
    done = pull("pulumi/acme@1.2.3", base="http://example.com/plugins")
    assert done.code == 1 and "over https" in " ".join(done.said.split())


def mirroring(pull, tmp_path, settings=""):
    home = tmp_path / "home"
    (home / ".dstream").mkdir(parents=True, exist_ok=True)
    (home / ".dstream" / "config.hcl").write_text(settings)
    env = {"HOME": str(home), "PULUMI_HOME": str(tmp_path / "pulumi")}
    return lambda *arguments, **more: dstream(pull.folder, "providers", *arguments, env={**env, **more})


def test_plugins_are_mirrored_to_a_folder_and_pulled_from_there_without_a_network(pull, releases, tmp_path):
    other = archive(text="other")
    releases.files["pulumi-resource-acme-v1.2.3-plan9-mips.tar.gz"] = other
    assert pull("pulumi/acme@1.2.3").code == 0
    assert pull("-platform", "plan9_mips", "pulumi/acme@1.2.3").code == 0
    lock = (pull.folder / ".dstream.lock.hcl").read_text()
    run = mirroring(pull, tmp_path)
    done = run("mirror", str(tmp_path / "mirror"), DSTREAM_PULUMI_PLUGINS=releases.url)
    assert done.code == 0, done.said
    assert "dstream providers pull pulumi/acme@1.2.3" in done.out
    folder = tmp_path / "mirror" / "get.pulumi.com" / "releases" / "plugins"
    assert {each.name: each.read_bytes() for each in folder.glob("*.gz")} == releases.files
    sums = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in sorted(releases.files.items()))
    assert (folder / "SHA256SUMS").read_text() == sums
    # Elsewhere: nothing but the folder may be asked, and the plugin is not there yet.
    shutil.rmtree(pull.plugin.parent)
    asked = releases.asked
    mirror = f'registry "*" {{\n  mirrors = ["{tmp_path}/mirror"]\n  only_mirrors = true\n}}\n'
    run = mirroring(pull, tmp_path, mirror)
    done = run("pull", "pulumi/acme@1.2.3")
    assert done.code == 0, done.said
    assert os.access(pull.plugin, os.X_OK)
    assert releases.asked == asked
    assert (pull.folder / ".dstream.lock.hcl").read_text() == lock
    missing = run("pull", "pulumi/acme@9.9.9")
    assert missing.code == 1 and "Plugin not found" in missing.said
    shutil.rmtree(pull.plugin.parent)
    name = f"pulumi-resource-acme-v1.2.3-{HERE.os}-{HERE.arch}.tar.gz"
    (folder / name).write_bytes(archive(text="#!/bin/sh\necho evil\n"))
    refused = run("pull", "pulumi/acme@1.2.3")
    assert refused.code == 1 and "Plugin mismatch with the lock file" in refused.said
    assert not pull.plugin.exists()


def test_a_mirror_gets_no_archive_that_is_not_the_locked_one(pull, releases, tmp_path):
    assert pull("pulumi/acme@1.2.3").code == 0
    run = mirroring(pull, tmp_path)
    done = run("mirror", str(tmp_path / "one"), "-platform", "plan9_mips", DSTREAM_PULUMI_PLUGINS=releases.url)
    assert done.code == 0 and "not locked for these platforms" in done.out
    releases.files[next(iter(releases.files))] = archive(text="#!/bin/sh\necho changed\n")
    done = run("mirror", str(tmp_path / "mirror"), DSTREAM_PULUMI_PLUGINS=releases.url)
    assert done.code == 1 and "Plugin mismatch with the lock file" in done.said
    assert not list((tmp_path / "mirror").rglob("*.gz"))


def test_mirrors_that_are_registries_have_no_plugins_and_the_message_says_what_has(pull, tmp_path):
    run = mirroring(pull, tmp_path, 'registry "*" {\n  mirrors = ["mirror.example.com"]\n  only_mirrors = true\n}\n')
    done = run("pull", "pulumi/acme@1.2.3")
    assert done.code == 1
    assert "Pulumi plugins are mirrored to folders" in " ".join(done.said.replace("│", " ").split())
