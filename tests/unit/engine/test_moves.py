"""Recorded objects get new addresses, and what needs them knows it."""

from dstream.config import load_text
from dstream.engine.refresh.moved_blocks import apply_moves
from dstream_state import ObjectState


def item(address: str, *needs: str, provider: str = "provider.t") -> ObjectState:
    return ObjectState(provider, "t", address, dependencies=needs)


def moves(text: str, **recorded: ObjectState):
    return apply_moves({name.replace("__", "."): each for name, each in recorded.items()}, load_text(text))


def test_a_block_moves_with_its_instances_and_what_needs_it_follows() -> None:
    text = "moved {\n  from = t.a\n  to   = t.b\n}\n"
    found = apply_moves(
        {'t.a["x"]': item('t.a["x"]'), "t.c": item("t.c", "t.a"), "t.ab": item("t.ab")}, load_text(text)
    )
    assert set(found.resources) == {'t.b["x"]', "t.c", "t.ab"}
    assert found.resources['t.b["x"]'].key == 't.b["x"]'
    assert found.resources["t.c"].dependencies == ("t.b",)
    assert found.origins == {'t.b["x"]': 't.a["x"]'}


def test_a_task_moves_with_its_objects_and_their_provider() -> None:
    text = "moved {\n  from = task.a\n  to   = task.b\n}\n"
    recorded = {"task.a.input.slot": item("s", provider="task.a.input")}
    found = apply_moves(recorded, load_text(text), ["task.a"])
    assert found.resources["task.b.input.slot"].provider == "task.b.input"
    assert found.resources["task.b.input.slot"].key == "s"
    assert found.tasks == {"task.b": "task.a"}


def test_an_address_that_is_taken_is_an_error_and_nothing_moves() -> None:
    found = moves("moved {\n  from = t.a\n  to   = t.b\n}\n", t__a=item("t.a"), t__b=item("t.b"))
    assert [problem.summary for problem in found.problems] == ["Move to an address in use"]
    assert set(found.resources) == {"t.a", "t.b"}


def test_an_alias_moves_an_object_only_if_its_own_address_is_free() -> None:
    found = moves("", t__a=item("t.a"), t__b=item("t.b"))
    found.take("t.c", ["t.nope", "t.a"])
    found.take("t.b", ["t.c"])
    assert set(found.resources) == {"t.b", "t.c"}
    assert found.origins == {"t.c": "t.a"}
