"""Files: safe modes whatever the umask, no code from where others write, and limits on what is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstream.engine.runs.run_files import run_folder
from dstream.files import UnsuitableFile, make_folder, read_file, restrict_umask, writable_by_others
from dstream.registry.errors import Tampered
from dstream.registry.oci.cache import Cache
from dstream.registry.oci.content import digest_of
from dstream.registry.oci.reference import parse_reference
from dstream_state import open_backend
from tests.e2e.commands import dstream

PROGRAM = b"#!/bin/sh\n"


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def loose(folder: Path) -> dict[str, str]:
    """What others may write below a folder."""
    found = {str(each.relative_to(folder)): each.lstat().st_mode for each in folder.rglob("*") if not each.is_symlink()}
    return {name: oct(stat.S_IMODE(mode)) for name, mode in found.items() if mode & 0o022}


def cache_in(folder: Path) -> Cache:
    cache = Cache(folder / "a" / "cache")
    cache.keep(PROGRAM)
    cache.remember(parse_reference("example.com/team/plugin:v1"), digest_of(PROGRAM))
    return cache


@pytest.mark.usefixtures("no_umask")
def test_what_is_made_with_umask_000_is_writable_by_its_owner_alone(tmp_path):
    cache_in(tmp_path).executable(digest_of(PROGRAM), "dstream-in-x")
    make_folder(run_folder(tmp_path / "project"), 0o700)
    with open_backend("local", {"path": str(tmp_path / "x" / "y" / "state")}, root=tmp_path).lock("apply") as held:
        held.finish()
    with open_backend("local", {}, root=tmp_path).task("copy").acquire("run") as lease:
        lease.dead_letters.append([(b"{}", "bad")])
    assert loose(tmp_path) == {}
    assert stat.S_IMODE((tmp_path / "project" / ".dstream").stat().st_mode) == 0o700


@pytest.mark.processes
@pytest.mark.usefixtures("no_umask")
def test_a_command_makes_nothing_that_others_can_write(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir(mode=0o755)
    (folder / "dstream.hcl").write_text('variable "a" { default = "x" }\noutput "a" { value = var.a }\n')
    env = {name: str(tmp_path / name) for name in ("DSTREAM_CACHE_DIR", "XDG_CACHE_HOME", "XDG_STATE_HOME")}
    (folder / "dstream.hcl").chmod(0o644)
    for command in (
        ("plan", "-out", "saved.plan"),
        ("apply", "-auto-approve"),
        ("state", "pull", "copy.dsstate"),
        ("workspace", "new", "blue"),
    ):
        done = dstream(folder, *command, env=env)
        assert done.code == 0, done.said
    assert loose(tmp_path) == {}
    assert (folder / "saved.plan").exists()


def test_an_umask_that_takes_more_is_kept():
    before = os.umask(0o077)
    try:
        restrict_umask()
        assert os.umask(0) == 0o077
    finally:
        os.umask(before)


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file one of another user."""
    if os.geteuid() == 0:
        os.chown(path, 4242, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4242)


@pytest.mark.parametrize("where", ["", "blobs", "blobs/sha256", "bin", "blobs/sha256/PROGRAM"])
@pytest.mark.parametrize("how", ["world-writable", "sticky", "other owner"])
def test_nothing_is_executed_from_a_cache_that_others_can_write(where, how, tmp_path, monkeypatch):
    cache = cache_in(tmp_path)
    cache.executable(digest_of(PROGRAM), "dstream-in-x")
    path = cache.root / where.replace("PROGRAM", digest_of(PROGRAM).removeprefix("sha256:"))
    if how == "other owner":
        give_away(path, monkeypatch)
    else:
        path.chmod(0o1777 if how == "sticky" else 0o777)
    with pytest.raises(Tampered) as caught:
        cache.executable(digest_of(PROGRAM), "dstream-in-x")
    assert str(path) in caught.value.diagnostics[0].detail


def test_write_permission_of_the_group_is_taken_away_from_an_own_cache(tmp_path):
    """With umask 002, as on Debian, earlier versions made such folders."""
    cache = cache_in(tmp_path)
    cache.root.chmod(0o775)
    assert cache.executable(digest_of(PROGRAM), "dstream-in-x").exists()
    assert stat.S_IMODE(cache.root.stat().st_mode) == 0o755
    assert writable_by_others(cache.root) is None


def test_a_hostile_table_of_the_grammar_is_not_read(tmp_path):
    from dstream.config.syntax import grammar

    path = tmp_path / "hcl.table"
    grammar._write(path, grammar.table())
    assert grammar._read(path) is not None
    path.chmod(0o666)
    assert grammar._read(path) is None


def test_a_file_of_bounded_size_is_read_and_others_are_refused(tmp_path):
    path = tmp_path / "a.hcl"
    path.write_bytes(b"x" * 10)
    assert read_file(path, 10) == b"x" * 10
    path.write_bytes(b"x" * 11)
    with pytest.raises(UnsuitableFile, match="11 bytes"):
        read_file(path, 10)
    with path.open("wb") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(UnsuitableFile, match="limit"):
        read_file(path, 1 << 20)


@pytest.mark.parametrize("kind", ["fifo", "folder", "/dev/zero", "link to /dev/zero", "/proc/self/mem", "/dev/tty"])
@pytest.mark.parametrize("pipe", [True, False])
def test_what_is_no_file_is_refused_without_waiting(kind, pipe, tmp_path):
    path = tmp_path / "a.hcl"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to /dev/zero":
        path.symlink_to("/dev/zero")
    else:
        path = Path(kind)
    with pytest.raises(OSError, match=r"a (pipe|device|folder), not a file|No such|Input/output|limit"):
        read_file(path, 1 << 20, pipe=pipe)


def test_an_open_pipe_of_this_process_is_read_up_to_the_limit():
    for size, fits in ((10, True), (11, False)):
        read_end, write_end = os.pipe()
        os.write(write_end, b"x" * size)
        os.close(write_end)
        try:
            if fits:
                assert read_file(Path(f"/dev/fd/{read_end}"), 10, pipe=True) == b"x" * 10
            else:
                with pytest.raises(UnsuitableFile, match="more than 10 bytes"):
                    read_file(Path(f"/dev/fd/{read_end}"), 10, pipe=True)
        finally:
            os.close(read_end)
