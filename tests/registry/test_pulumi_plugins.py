"""dstream providers pull pulumi/NAME@VERSION, against an HTTP server of our own."""

import hashlib
import io
import os
import shutil
import tarfile
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dstream.registry.platforms import this_platform
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
