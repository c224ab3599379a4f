"""The local backend's files.

Whole or not at all, for their owner alone, and what a crash can leave of them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from dstream_state import (
    JournalMismatch,
    ObjectState,
    Put,
    SettingsError,
    StateDamaged,
    StateError,
    StateUnavailable,
    local,
    open_backend,
)
from dstream_state.backend import Backend
from dstream_state.checksum import digest
from dstream_state.history import KEEP, History
from dstream_state.local import LocalStorage
from dstream_state.lock_metadata import Meta
from dstream_state.state_files import restore


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return open_backend("local", {}, root=tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".dstream" / "state" / "default"


def put(address: str) -> Put:
    return Put(address, ObjectState("p", "t", "k"))


def write(backend: Backend, address: str) -> None:
    with backend.lock("apply") as held:
        held.append([put(address)])
        held.finish()


def test_everything_is_readable_by_its_owner_alone(backend: Backend, folder: Path) -> None:
    write(backend, "a")
    with backend.task("copy").acquire("run") as task:
        task.dead_letters.append([(b"{}", "bad")])
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_lock_file_is_never_replaced(backend: Backend, folder: Path) -> None:
    write(backend, "a")
    inode = (folder / "state.lock").stat().st_ino
    write(backend, "b")
    backend.delete()
    write(backend, "c")
    assert (folder / "state.lock").stat().st_ino == inode


def test_nothing_temporary_is_left(backend: Backend, folder: Path) -> None:
    for name in "abc":
        write(backend, name)
    assert {path.name for path in folder.iterdir()} == {"state.json", "state.lock", "state.meta", "journal", "history"}
    assert not list((folder / "journal").iterdir())
    assert len(list((folder / "history").iterdir())) == 3


def test_half_a_line_at_the_end_of_a_journal_was_never_relied_upon(backend: Backend, folder: Path) -> None:
    with backend.lock("apply") as held:
        held.append([put("a")])
        (log,) = (folder / "journal").iterdir()
    with log.open("ab") as file:
        file.write(b'{"seq":2,"base":0,"reco')
    assert backend.read().pending[1:] == (put("a"),)
    with backend.lock("apply") as held:
        assert list(held.snapshot.resources) == ["a"]


def test_a_journal_with_a_hole_is_refused(backend: Backend, folder: Path) -> None:
    with backend.lock("apply") as held:
        for name in "abc":
            held.append([put(name)])
        (log,) = (folder / "journal").iterdir()
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(StateDamaged, match="block 2 is missing"):
        backend.lock("apply")
    log.write_bytes(b"".join([lines[0], lines[1], lines[1], lines[0], *lines[2:]]))  # Repeats are dropped.
    with backend.lock("apply") as held:
        assert list(held.snapshot.resources) == ["a", "b", "c"]


def test_a_journal_of_another_state_is_never_replayed_and_can_be_set_aside(backend: Backend, folder: Path) -> None:
    write(backend, "a")
    earlier = (folder / "state.json").read_bytes()
    write(backend, "b")
    with backend.lock("apply") as held:
        held.append([put("c")])
    (folder / "state.json").write_bytes(earlier)  # Restored by hand, metadata included, while a journal was open.
    form = json.loads((folder / "state.meta").read_bytes())
    form["meta"] = replace(Meta.load(form["meta"]), serial=1, sha256=digest(earlier)).store()
    (folder / "state.meta").write_text(json.dumps(form))
    for _ in range(2):
        with pytest.raises(JournalMismatch, match="continues serial 2, the state has serial 1"):
            backend.lock("apply")
    with pytest.raises(JournalMismatch):
        backend.read()
    with backend.lock("state restore", set_aside=True) as held:
        restore(held, backend.past(2))
    assert len(list((folder / "aside").iterdir())) == 1
    with backend.lock("apply") as held:
        assert list(held.snapshot.resources) == ["a", "b"]
        assert held.snapshot.serial == 2


def test_a_state_that_cannot_be_read_can_be_replaced_and_is_kept_aside(backend: Backend, folder: Path) -> None:
    for name in "ab":
        write(backend, name)
    (folder / "state.json").write_bytes(b"{ not what it was")
    for use in (backend.read, lambda: backend.lock("apply")):
        with pytest.raises(StateDamaged, match="state restore"):
            use()
    with backend.lock("state restore", set_aside=True) as held:
        after = restore(held, backend.past(2))
    assert (after.serial, sorted(after.resources)) == (3, ["a", "b"])
    assert [path.read_bytes() for path in (folder / "aside").iterdir()] == [b"{ not what it was"]
    write(backend, "c")


def test_logs_that_were_made_and_never_listed_are_swept(backend: Backend, folder: Path) -> None:
    write(backend, "a")
    (folder / "journal" / "0123456789abcdef.log").write_bytes(b"{}\n")
    for number in range(10):
        write(backend, str(number))
    assert not list((folder / "journal").iterdir())


def test_the_last_fifty_snapshots_and_those_of_thirty_days_are_kept(folder: Path, tmp_path: Path) -> None:
    history = History(LocalStorage(tmp_path, "default"))
    day = 24 * 3600
    for serial in range(1, KEEP + 12):
        history.keep(serial, b"x")
    assert len(history.entries()) == KEEP + 11
    import time

    history.prune(time.time() + 31 * day)
    assert [kept.serial for kept in history.entries()] == list(range(KEEP + 11, 11, -1))


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o500)
    backend = open_backend("local", {"path": "state/deep"}, root=tmp_path)
    with pytest.raises(StateUnavailable, match="state/deep"):
        backend.lock("apply")


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StateUnavailable, match=str(tmp_path / "state")):
        open_backend("local", {"path": "state"}, root=tmp_path).lock("apply")


def test_mistakes_in_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no argument 'pth'"):
        open_backend("local", {"pth": "x"}, root=tmp_path)
    with pytest.raises(SettingsError, match=r"Unknown backend 's3'\. The backends are: local, azurerm"):
        open_backend("s3", {}, root=tmp_path)
    for name in ("", "a/b", "..", ".x", "a b", "x" * 91):
        with pytest.raises(SettingsError, match="workspace"):
            open_backend("local", {}, name, root=tmp_path)


def test_a_network_file_system_gets_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = open_backend("local", {}, root=tmp_path)
    assert backend.warnings() == []
    monkeypatch.setattr(local, "_NETWORK", frozenset({local._file_system(tmp_path)}))
    (warning,) = backend.warnings()
    assert "azurerm" in warning


def test_a_full_disk_or_a_signal_leaves_the_earlier_state(
    backend: Backend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(backend, "a")
    before = (folder / "state.json").read_bytes()

    def full(fd: int, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    held = backend.lock("apply")
    held.append([put("b")])
    with monkeypatch.context() as patch:
        patch.setattr(local, "write_all", full)
        with pytest.raises(StateUnavailable, match="No space left on device"):
            held.finish()
    assert (folder / "state.json").read_bytes() == before
    held.release()
    with backend.lock("apply") as after:
        assert sorted(after.snapshot.resources) == ["a", "b"]
        with monkeypatch.context() as patch:
            patch.setattr(local, "write_all", full)
            with pytest.raises(StateUnavailable):
                after.append([put("c")])
        with pytest.raises(StateError):  # Nobody knows what the log holds: nothing more is written to it.
            after.append([put("c")])
        assert sorted(after.finish().resources) == ["a", "b"]
