"""Damage: every flipped bit, truncation and swap of a stored file is noticed, or changes nothing that dstream reads."""

from __future__ import annotations

import itertools
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from dstream_state import (
    Checkpoint,
    Intent,
    ObjectState,
    Put,
    Record,
    Result,
    StateDamaged,
    StateError,
    StateMismatch,
    open_backend,
)
from dstream_state.backend import Backend
from dstream_state.checksum import MEMBER
from dstream_state.local import LocalStorage
from dstream_state.state_lock import StoredHeld
from dstream_state.storage import Missing
from dstream_state.testing import StoragePlace
from tests.state.earlier import as_earlier_versions_wrote_it

SEEDS = range(2)
FLIPS = 8
"""Of each file, for each seed."""


def thing(number: int) -> ObjectState:
    return ObjectState("p", "t", f"key{number}", {"id": f"id-{number}"}, {"size": number, "zone": "here"})


def opened(root: Path) -> Backend:
    return open_backend("local", {"path": "state"}, root=root)


def kill(held: Any) -> None:
    StoragePlace(lambda: LocalStorage(Path(), "default"), leased=False).kill(held)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state of three snapshots, an apply that was killed, two tasks with checkpoints and dead letters."""
    root = tmp_path_factory.mktemp("original")
    backend = opened(root)
    for number in range(3):
        with backend.lock("apply") as held:
            held.append([Put(f"thing.n[{number}]", thing(number))])
            held.finish()
    held = backend.lock("apply")
    assert isinstance(held, StoredHeld)
    done = Intent("1", "create", "thing.done", "p", "t", "done", None, {"size": 7}, 60, 1, True)
    held.append([done])
    held.append([Result("1", "ok", thing(7))])
    held.append([Intent("2", "create", "thing.open", "p", "t", "open", None, {"size": 8})])
    held.append([Put("thing.last", thing(9))])
    kill(held)
    for name in ("one", "two"):
        with backend.task(name).acquire("run") as task:
            task.dead_letters.append([(f'{{"data":"{name}"}}'.encode(), "too long")])
            for position in range(3):
                task.store(Checkpoint({"lsn": f"{name}-{position}"}, f"task.{name}", {"q": "made"}))
    return root


def files(root: Path) -> list[str]:
    found = (path for path in (root / "state").rglob("*") if path.is_file() and path.stat().st_size)
    return sorted(path.relative_to(root).as_posix() for path in found)


def seen(root: Path) -> dict[str, Any]:
    """Return everything that dstream reads of a state; raise StateError where it notices damage."""
    backend = opened(root)
    view = backend.read()
    tasks = {}
    for name in ("one", "two"):
        store = backend.task(name)
        tasks[name] = (
            replace(store.read().checkpoint or Checkpoint({}), at=""),
            [(letter.envelope, letter.key) for letter in map(store.dead_letters.read, store.dead_letters.list())],
        )
        store.acquire("run").release()
    past = {entry.serial: backend.past(entry.serial) for entry in backend.history()}
    with backend.lock("apply") as held:
        held.ensure()
        return {
            "snapshot": view.snapshot,
            "pending": view.pending,
            "tasks": tasks,
            "past": past,
            "unresolved": held.unresolved,
            "resources": dict(held.snapshot.resources),
            "key": held.snapshot.hmac_key,
        }


@pytest.fixture
def copies(original: Path, tmp_path: Path) -> Iterator[Path]:
    numbers = itertools.count()

    class Copies:
        def __next__(self) -> Path:
            root = tmp_path / str(next(numbers))
            shutil.copytree(original, root)
            return root

        def __iter__(self) -> Iterator[Path]:
            return self

    return Copies()  # type: ignore[return-value]  # a fixture that hands out copies


def noticed(root: Path, whole: dict[str, Any]) -> bool:
    """Tell whether damage is noticed; fail if it is neither that nor harmless."""
    try:
        found = seen(root)
    except StateError as problem:
        assert "bug" not in str(problem)
        return True
    assert found == whole
    return False


def test_the_state_that_is_damaged_has_every_kind_of_file(original: Path) -> None:
    kinds = {(name.split("/")[2], Path(name).suffix) for name in files(original)}
    assert kinds >= {
        ("state.json", ".json"),
        ("state.meta", ".meta"),
        ("journal", ".log"),
        ("history", ""),
        ("task", ".json"),
        ("task", ".meta"),
        ("dead", ""),
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flipped_bit_is_noticed_or_harmless(original: Path, copies: Iterator[Path], seed: int) -> None:
    draw = random.Random(seed)
    whole = seen(next(copies))
    count = 0
    for name in files(original):
        content = (original / name).read_bytes()
        spots = [draw.randrange(len(content) * 8) for _ in range(FLIPS)] + [len(content) * 8 - 8 + draw.randrange(8)]
        for spot in spots:
            root = next(copies)
            damaged = bytearray(content)
            damaged[spot // 8] ^= 1 << spot % 8
            (root / name).write_bytes(damaged)
            count += noticed(root, whole)
            shutil.rmtree(root)
    assert count > len(files(original)) * FLIPS / 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_truncated_file_is_noticed_or_harmless(original: Path, copies: Iterator[Path], seed: int) -> None:
    draw = random.Random(seed)
    whole = seen(next(copies))
    for name in files(original):
        content = (original / name).read_bytes()
        for length in {0, len(content) - 1, draw.randrange(len(content)), draw.randrange(len(content))}:
            root = next(copies)
            (root / name).write_bytes(content[:length])
            if name.endswith(".log") and b"\n" in content[:length]:
                _is_what_a_crash_leaves(root, whole)
            else:
                noticed(root, whole)
            shutil.rmtree(root)


def _is_what_a_crash_leaves(root: Path, whole: dict[str, Any]) -> None:
    """Nothing beside a journal tells how long it was: its end is that of a write which a crash cut off."""
    found: tuple[Record, ...] = seen(root)["pending"]
    assert found == whole["pending"][: len(found)]


def test_swapped_files_are_noticed_or_harmless(original: Path, copies: Iterator[Path]) -> None:
    whole = seen(next(copies))
    for one, other in itertools.combinations(files(original), 2):
        root = next(copies)
        first, second = (root / one).read_bytes(), (root / other).read_bytes()
        (root / one).write_bytes(second)
        (root / other).write_bytes(first)
        noticed(root, whole)
        shutil.rmtree(root)


@pytest.mark.parametrize(
    "name", ["state.json", "state.meta", "task/one.json", "task/one.meta", "journal", "state.json state.meta"]
)
def test_a_deleted_file_is_noticed(original: Path, copies: Iterator[Path], name: str) -> None:
    root = next(copies)
    for each in name.split():
        path = root / "state" / "default" / each
        for file in path.iterdir() if path.is_dir() else [path]:
            file.unlink()
    assert noticed(root, {})


def test_an_older_snapshot_an_empty_one_and_one_of_another_state_are_refused(copies: Iterator[Path]) -> None:
    root = next(copies)
    backend, path = opened(root), root / "state" / "default" / "state.json"
    from dstream_state.sealing import snapshot_bytes

    now = path.read_bytes()
    older = snapshot_bytes(backend.past(2), None)
    other = snapshot_bytes(replace(backend.past(3), lineage="another"), None)
    edited = snapshot_bytes(replace(backend.past(3), resources={}), None)
    cases = {older: "an older state", other: "another state", edited: "it was edited", b"": "is empty or missing"}
    for content, why in cases.items():
        path.write_bytes(content)
        for use in (backend.read, lambda: backend.lock("apply")):
            with pytest.raises(StateMismatch, match=why):
                use()
    path.write_bytes(now)
    assert backend.read().snapshot is not None


def test_an_emptied_or_deleted_cell_without_metadata_is_known_by_its_history() -> None:
    backend = open_backend("memory", {"name": "lost"}, root=Path())
    with backend.lock("apply") as held:
        held.append([Put("thing.a", thing(1))])
        held.finish()
    cells: dict[str, Any] = backend._storage._cells  # type: ignore[attr-defined]  # the service loses the blob
    del cells["state"]
    for _ in range(2):
        with pytest.raises(StateMismatch, match="its history has a snapshot with serial 1"):
            backend.read()
        with pytest.raises(StateMismatch, match="dstream state repair"):
            backend.lock("apply")
    assert cells["state"].content == b""
    found = backend.examine()
    assert backend.repair(found).resources.keys() == {"thing.a"}
    assert backend.examine().problems == ()


ODD = ["{}", "null", "[]", "1", '{"seq":null}', '{"seq":4}', '{"seq":4,"base":0,"records":{}}', '{"seq":NaN}', "\x00"]


@pytest.mark.parametrize("line", [*ODD, '{"seq":4,"base":0,"records":[null]}', '{"seq":4,"base":3,"records":[{}]}'])
def test_an_odd_line_of_a_journal_is_a_clear_error(copies: Iterator[Path], line: str) -> None:
    root = next(copies)
    (log,) = (root / "state" / "default" / "journal").iterdir()
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:4], line.encode() + b"\n", *lines[5:]]))
    for use in (opened(root).read, lambda: opened(root).lock("apply")):
        with pytest.raises(StateDamaged, match="dstream state repair"):
            use()


@pytest.mark.parametrize("name", ["serial", "epoch", "lineage", "absorbed", "resources", "hmac_key", "tasks"])
@pytest.mark.parametrize("value", ["NaN", "null", "-1.5", '["x"]', '{"a":"b"}', "true"])
def test_an_odd_member_of_an_older_document_is_a_clear_error(copies: Iterator[Path], name: str, value: str) -> None:
    root = next(copies)
    path = root / "state" / "default" / "state.json"
    form = json.loads(path.read_bytes())
    del form[MEMBER]
    form[name] = "@"
    path.write_text(json.dumps(form).replace('"@"', value))
    with pytest.raises(StateDamaged):
        opened(root).read()


@pytest.mark.parametrize("content", ["", "null", "[]", "{", '{"tag":1}', '{"tag":"x","meta":{"serial":NaN}}'])
def test_odd_metadata_are_a_clear_error_and_repaired(copies: Iterator[Path], content: str) -> None:
    root = next(copies)
    (root / "state" / "default" / "state.meta").write_text(content)
    backend = opened(root)
    for use in (backend.read, lambda: backend.lock("apply"), lambda: backend.force_unlock(None)):
        with pytest.raises(StateDamaged, match="dstream state repair"):
            use()
    found = backend.examine()
    assert any("The metadata cannot be read" in problem for problem in found.problems)
    after = backend.repair(found)
    assert after.serial > 3
    assert {"thing.n[2]", "thing.done", "thing.last"} <= after.resources.keys()
    with backend.lock("apply") as held:
        assert [intent.address for intent in held.unresolved] == ["thing.open"]


def test_a_file_of_an_earlier_version_is_read(copies: Iterator[Path]) -> None:
    root = next(copies)
    whole = seen(next(copies))
    as_earlier_versions_wrote_it(root / "state" / "default")
    assert seen(root) == whole


def test_a_repair_takes_what_can_be_read_of_a_damaged_journal_and_keeps_it_aside(copies: Iterator[Path]) -> None:
    root = next(copies)
    folder = root / "state" / "default"
    (log,) = (folder / "journal").iterdir()
    damaged = log.read_bytes().replace(b"thing.last", b"thing.lost")
    log.write_bytes(damaged)
    backend = opened(root)
    found = backend.examine()
    assert [("cannot be read after block 3" in problem) for problem in found.problems] == [True]
    after = backend.repair(found)
    assert "thing.done" in after.resources
    assert "thing.last" not in after.resources
    assert [path.read_bytes() for path in (folder / "aside").iterdir()] == [damaged]
    with backend.lock("apply") as held:
        assert [intent.address for intent in held.unresolved] == ["thing.open"]


def test_a_repair_takes_the_history_where_the_state_is_lost_and_begins_a_task_anew(copies: Iterator[Path]) -> None:
    root = next(copies)
    folder = root / "state" / "default"
    (folder / "state.json").unlink()
    (folder / "task" / "one.json").write_bytes(b"")
    backend = opened(root)
    found = backend.examine()
    assert found.tasks == ("one",)
    assert any("snapshot with serial 3" in step for step in found.steps)
    after = backend.repair(found)
    assert {f"thing.n[{number}]" for number in range(3)} | {"thing.done", "thing.last"} == after.resources.keys()
    assert backend.task("one").read().checkpoint is None
    assert backend.task("two").read().checkpoint is not None
    assert backend.examine().problems == ()


def test_a_repair_that_would_do_something_else_by_now_is_refused(copies: Iterator[Path]) -> None:
    root = next(copies)
    path = root / "state" / "default" / "state.json"
    content = path.read_bytes()
    path.write_bytes(b"")
    backend = opened(root)
    found = backend.examine()
    path.write_bytes(content)
    with pytest.raises(StateError, match="Run `dstream state repair` again"):
        backend.repair(found)


def test_without_anything_to_continue_from_a_repair_says_what_is_needed(copies: Iterator[Path]) -> None:
    root = next(copies)
    folder = root / "state" / "default"
    (folder / "state.json").write_bytes(b"")
    shutil.rmtree(folder / "history")
    with pytest.raises(StateError, match="state push -force FILE"):
        opened(root).examine()


def test_a_cell_that_was_never_written_has_no_problem(tmp_path: Path) -> None:
    backend = opened(tmp_path)
    with pytest.raises(Missing):
        LocalStorage(tmp_path / "state", "default").read("state")
    assert backend.read().snapshot is None
    backend.lock("apply").release()
    assert backend.read().snapshot is None
    assert backend.examine().problems == ()
