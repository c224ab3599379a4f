"""A state as an input: whoever can write to its files runs nothing, leaves no folder, and exhausts nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dstream.cli.render.values import scalar
from dstream.engine.apply.step_graph import through_empty
from dstream_state import Backend, Put, StateDamaged, StateError, StateUnavailable, open_backend
from dstream_state.codec import from_text
from dstream_state.lock_metadata import Meta
from dstream_state.objects import ObjectState
from dstream_state.state_files import load, save


def opened(folder: Path) -> Backend:
    return open_backend("local", {}, root=folder)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder of a state with one object."""
    with opened(tmp_path).lock("apply") as held:
        held.append([Put("x_y.a", ObjectState("p", "x_y", "k", {"id": 1}, {"n": "v"}))])
        held.finish()
    return tmp_path / ".dstream" / "state" / "default"


def edit(state: Path, change: Callable[[dict], object], name: str = "state.json") -> None:
    """Change a document as an attacker does: without its checksums, which anyone can leave out."""
    form = json.loads((state / name).read_text())
    form.pop("checksum", None)
    change(form)
    (state / name).write_text(json.dumps(form))
    meta = json.loads((state / "state.meta").read_text())
    for member in ("checksum", "sha256"):
        meta["meta"].pop(member, None)
    (state / "state.meta").write_text(json.dumps(meta))


OUTSIDE = ["../../../../outside", "/etc/passwd", "..", ".", "a/../../b", "a\\b", "a//b", "", "x" * 101, "a\0b", "~/x"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_journal_whose_name_is_a_path_is_not_opened(state: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside.log"
    outside.write_text("precious\n")

    def forge(form: dict) -> None:
        form["meta"]["journals"] = name
        form["meta"].pop("checksum", None)

    edit(state, forge, "state.meta")
    if name.strip():
        with pytest.raises(StateError):
            opened(tmp_path).lock("apply")
        with pytest.raises(StateDamaged, match="not the name of a journal"):
            Meta.load({"journals": name})
    assert outside.read_text() == "precious\n"


@pytest.mark.parametrize("name", [each for each in OUTSIDE if each not in ("~/x", "x" * 101)])
def test_no_name_leads_out_of_the_folder_of_a_state(state: Path, tmp_path: Path, name: str) -> None:
    storage = opened(tmp_path)._storage
    with pytest.raises(StateDamaged):
        storage.get(f"aside/{name}/x")
    with pytest.raises(StateDamaged):
        storage.put(f"dead/{name}", b"")


@pytest.mark.parametrize("what", ["state.json", "state.meta", "state.lock", "", "dead"])
def test_a_symbolic_link_in_the_folder_of_a_state_is_not_followed(state: Path, tmp_path: Path, what: str) -> None:
    target = tmp_path / "target"
    path = state / what
    if what == "dead":
        target.mkdir()
    else:
        path.rename(target)
    path.symlink_to(target)
    with pytest.raises(StateUnavailable, match="symbolic link"):
        with opened(tmp_path).task("t").acquire("run") as lease:
            lease.dead_letters.append([(b"{}", "bad")])
        opened(tmp_path).lock("apply").release()
    if what == "dead":
        assert not list(target.iterdir())


def test_a_pipe_or_device_in_the_folder_of_a_state_is_not_waited_for(state: Path, tmp_path: Path) -> None:
    (state / "state.json").unlink()
    os.mkfifo(state / "state.json")
    with pytest.raises(StateUnavailable):
        opened(tmp_path).read()
    (state / "state.meta").unlink()
    os.mkfifo(state / "state.meta")
    with pytest.raises(StateUnavailable):
        opened(tmp_path).lock("apply")


@pytest.mark.parametrize("number", ["1e999999999", "-1e999999999", "1e-999999999", "0.1e400000", "9" * 30_000])
def test_a_number_that_would_fill_the_memory_is_refused(state: Path, tmp_path: Path, number: str) -> None:
    edit(state, lambda form: form["resources"]["x_y.a"]["attributes"].update(n="NUMBER"))
    path = state / "state.json"
    path.write_text(path.read_text().replace('"NUMBER"', number))
    with pytest.raises(StateDamaged):
        opened(tmp_path).read()


def test_long_numbers_of_databases_are_read_and_shown_short() -> None:
    assert str(from_text("1." + "5" * 16383)) == "1." + "5" * 16383
    assert len(scalar(from_text("1e131071")) or "") < 20


@pytest.mark.parametrize("deep", ["[" * 200_000, '{"a":' * 200_000, "[" * 200_000 + "]" * 200_000])
def test_deep_nesting_is_damage_not_a_crash(state: Path, tmp_path: Path, deep: str) -> None:
    edit(state, lambda form: form["resources"]["x_y.a"]["attributes"].update(n="DEEP"))
    path = state / "state.json"
    path.write_text(path.read_text().replace('"DEEP"', deep))
    with pytest.raises(StateDamaged):
        opened(tmp_path).read()
    with pytest.raises(StateDamaged):
        load(path)


ODD = {
    "provider": [{"a": 1}, 5, None],
    "type": [["x"], 5],
    "key": [5, None],
    "dependencies": ["abc", [["a"]], [{"b": 1}], {"a": 1}],
    "sensitive": [["x"], [5], [[{"a": 1}]], "ab"],
    "status": [["x"], 5],
    "schema_version": ["zz", {}],
    "attributes": [[1], "x"],
}


@pytest.mark.parametrize(("member", "value"), [(name, value) for name, values in ODD.items() for value in values])
def test_an_object_of_wrong_types_is_damage(state: Path, tmp_path: Path, member: str, value: object) -> None:
    edit(state, lambda form: form["resources"]["x_y.a"].update({member: value}))
    with pytest.raises(StateDamaged):
        opened(tmp_path).read()


@pytest.mark.parametrize("resources", [[1, 2], "x", 5, {"x_y.a": None}, {"x_y.a": []}])
def test_resources_of_wrong_types_are_damage(state: Path, tmp_path: Path, resources: object) -> None:
    edit(state, lambda form: form.update(resources=resources))
    with pytest.raises(StateDamaged):
        opened(tmp_path).read()


def test_dependencies_that_form_circles_end() -> None:
    many = {f"x_y.a{at}": (f"x_y.a{(at + 1) % 2000}", f"x_y.a{at}") for at in range(2000)}
    began = time.process_time()
    assert len(through_empty(many, {})) == 2000
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    "name", ["../../x", "/etc", "..", ".hidden", "a/b", "a\\b", "a\nb", "x" * 91, "a\0b", "ümlaut", ""]
)
def test_a_workspace_is_not_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(StateError):
        open_backend("local", {}, name, root=tmp_path)


def test_a_file_of_a_state_does_not_replace_what_a_link_points_to(state: Path, tmp_path: Path) -> None:
    snapshot = opened(tmp_path).read().snapshot
    assert snapshot is not None
    precious = tmp_path / "precious"
    precious.write_text("precious")
    link = tmp_path / "copy.dsstate"
    link.symlink_to(precious)
    save(link, snapshot)
    assert precious.read_text() == "precious"
    assert load(link).snapshot is not None
