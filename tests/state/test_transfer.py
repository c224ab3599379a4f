"""Whole states as files: what could not be written, push, restore."""

from __future__ import annotations

from pathlib import Path

import pytest

from dstream_state import (
    Checkpoint,
    Encryption,
    Intent,
    ObjectState,
    Put,
    Snapshot,
    StateConflict,
    StateDamaged,
    StateError,
    open_backend,
)
from dstream_state.backend import Backend
from dstream_state.passphrase import Passphrase
from dstream_state.state_files import (
    ERRORED,
    ORPHANS,
    StateFile,
    load,
    pull,
    push,
    push_with_checkpoints,
    restore,
    save,
    save_errored,
    save_orphans,
    write_file,
)


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return open_backend("local", {}, root=tmp_path)


def put(address: str, number: int = 1) -> Put:
    return Put(address, ObjectState("p", "t", "k", None, {"n": number}))


def write(backend: Backend, address: str, number: int = 1) -> Snapshot:
    with backend.lock("apply") as held:
        held.append([put(address, number)])
        return held.finish()


def test_what_could_not_be_written_is_saved_and_pushed(backend: Backend, tmp_path: Path) -> None:
    write(backend, "a")
    path = tmp_path / ERRORED
    late = Intent("1", "create", "c", "p", "t", "k")
    with backend.lock("apply") as held:
        held.append([put("b")])
        save_errored(path, held, records=[put("d"), late])
    assert path.stat().st_mode & 0o777 == 0o600
    with backend.lock("state push") as held:
        pushed = push(held, load(path))
    assert (sorted(pushed.resources), pushed.serial) == (["a", "b", "d"], 3)
    with backend.lock("apply") as held:
        assert held.unresolved == (late,)


def test_a_file_of_another_state_or_an_older_one_is_refused(backend: Backend, tmp_path: Path) -> None:
    save(tmp_path / "old", write(backend, "a"))
    write(backend, "b")
    with backend.lock("state push") as held:
        with pytest.raises(StateConflict, match="serial 1, the state 2"):
            push(held, load(tmp_path / "old"))
        with pytest.raises(StateConflict, match="lineage"):
            push(held, StateFile(Snapshot.new()))
        after = push(held, load(tmp_path / "old"), force=True)
    assert (list(after.resources), after.serial) == (["a"], 3)
    assert backend.read().snapshot == after


def test_a_state_is_pushed_to_where_there_is_none(backend: Backend, tmp_path: Path) -> None:
    snapshot = write(backend, "a")
    save(tmp_path / "file", snapshot)
    other = open_backend("local", {"path": "elsewhere"}, root=tmp_path)
    with other.lock("state push") as held:
        push(held, load(tmp_path / "file"))
    view = other.read()
    assert view.snapshot is not None
    assert (view.snapshot.lineage, view.lineage) == (snapshot.lineage, snapshot.lineage)
    assert view.snapshot.resources == snapshot.resources
    write(other, "b")


def test_an_earlier_snapshot_is_restored_as_a_new_serial(backend: Backend) -> None:
    for number in range(3):
        write(backend, "a", number)
    with backend.lock("state restore") as held:
        after = restore(held, backend.past(1))
    assert (after.serial, after.resources["a"].attributes) == (4, {"n": 0})


def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be read"):
        load(tmp_path / "missing")
    (tmp_path / "odd").write_text("hello")
    with pytest.raises(StateDamaged):
        load(tmp_path / "odd")


def test_late_answers_of_a_lost_holder_are_put_up_to_be_resolved(backend: Backend, tmp_path: Path) -> None:
    lineage = write(backend, "a").lineage
    late = Intent("1", "create", "c", "p", "t", "k")
    save_orphans(tmp_path / ORPHANS, lineage, [late])
    with backend.lock("state push") as held:
        assert list(push(held, load(tmp_path / ORPHANS)).resources) == ["a"]
    with backend.lock("apply") as held:
        assert held.unresolved == (late,)
    write(backend, "c")
    with backend.lock("state push") as held, pytest.raises(StateConflict, match="created again"):
        push(held, load(tmp_path / ORPHANS))


def test_the_key_of_fingerprints_survives_a_killed_first_apply(backend: Backend) -> None:
    with backend.lock("apply") as held:
        key = held.snapshot.hmac_key
        held.append([put("a")])
    with backend.lock("apply") as held:
        assert held.snapshot.hmac_key == key


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_pulled_file_carries_checkpoints_to_tasks_that_have_none(tmp_path: Path, encrypted: bool) -> None:
    sealer = Encryption([Passphrase("long enough to be a passphrase")]) if encrypted else None
    backend = open_backend("local", {}, root=tmp_path, encryption=sealer)
    snapshot = write(backend, "a")
    point = Checkpoint({"lsn": 7}, "task.one", {"q": "made"})
    for name in ("one", "two"):
        with backend.task(name).acquire("run") as task:
            task.store(point)
    with backend.task("three").acquire("run"):
        pass
    content = pull(backend, snapshot, sealer)
    assert (b"lsn" in content) is not encrypted
    write_file(tmp_path / "file", content)
    file = load(tmp_path / "file", sealer)
    assert (file.snapshot, sorted(file.checkpoints)) == (snapshot, ["one", "two"])
    other = open_backend("local", {"path": "elsewhere"}, root=tmp_path, encryption=sealer)
    with other.task("two").acquire("run") as task:
        task.store(Checkpoint({"lsn": 9}))
    with other.lock("state push") as held:
        pushed = push_with_checkpoints(other, held, file)
    assert (pushed.stored, pushed.kept) == (("one",), ("two",))
    assert other.task("one").read().checkpoint == backend.task("one").read().checkpoint
    assert (other.task("two").read().checkpoint or point).position == {"lsn": 9}
    running = pytest.raises(StateError, match="Task one is held")
    with other.task("one").acquire("run"), other.lock("state push") as held, running:
        push_with_checkpoints(other, held, file, force=True)
    with other.lock("state push") as held:
        assert push_with_checkpoints(other, held, file, force=True).stored == ("two",)


def test_a_file_with_odd_checkpoints_is_a_clear_error(backend: Backend, tmp_path: Path) -> None:
    content = pull(backend, write(backend, "a"), None)
    for odd in ("[]", '{"one":1}', '{"one":{}}'):
        text = content.decode().partition(',"checksum"')[0] + f',"checkpoints":{odd}}}'
        (tmp_path / "file").write_text(text)
        with pytest.raises(StateDamaged, match="checkpoints"):
            load(tmp_path / "file")
