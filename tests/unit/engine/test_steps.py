"""In which order a plan is carried out."""

from collections.abc import Iterable, Mapping

from dstream.engine.apply.step_graph import build_steps, through_empty
from dstream.graph import Walk, cycles
from dstream.plan import Action, Change


def change(address: str, action: Action, *needs: str) -> Change:
    return Change(address, action, "provider.t", "t", dependencies=needs)


def order(
    changes: Iterable[Change],
    blocks: Mapping[str, tuple[str, ...]],
    recorded: Mapping[str, tuple[str, ...]] | None = None,
) -> list[str]:
    graph, steps = build_steps(changes, blocks, recorded or {})
    assert cycles(graph) == []
    walk, done = Walk(graph), []
    while (name := walk.take()) is not None:
        walk.done(name)
        if name in steps:
            done.append(name)
    assert walk.finished
    return done


BLOCKS = {"t.b": ("t.a",), "t.a": ()}
RECORDED = {"t.b": ("t.a",), "t.a": ()}


def test_what_is_needed_is_created_first() -> None:
    made = order([change("t.b", Action.CREATE), change("t.a", Action.CREATE)], BLOCKS)
    assert made == ["create t.a", "create t.b"]


def test_what_is_needed_is_destroyed_last() -> None:
    gone = order([change("t.a", Action.DELETE), change("t.b", Action.DELETE)], {}, RECORDED)
    assert gone == ["destroy t.b", "destroy t.a"]


def test_replacing_both_destroys_backwards_and_creates_forwards() -> None:
    made = order([change("t.a", Action.REPLACE), change("t.b", Action.REPLACE)], BLOCKS, RECORDED)
    assert made == ["destroy t.b", "destroy t.a", "create t.a", "create t.b"]


def test_the_new_one_first_lets_dependents_change_over_before_the_old_one_goes() -> None:
    made = order([change("t.a", Action.CREATE_THEN_DELETE), change("t.b", Action.UPDATE)], BLOCKS, RECORDED)
    assert made == ["create t.a", "update t.b", "destroy t.a"]


def test_a_dependent_lets_go_before_what_it_needed_is_destroyed() -> None:
    made = order([change("t.a", Action.DELETE), change("t.b", Action.UPDATE)], {"t.b": ()}, RECORDED)
    assert made == ["update t.b", "destroy t.a"]


def test_objects_of_one_task_follow_their_own_dependencies() -> None:
    slot, publication = "task.t.input.slot", "task.t.input.publication"
    made = order([change(slot, Action.CREATE, publication), change(publication, Action.CREATE)], {"task.t": ()})
    assert made == [f"create {publication}", f"create {slot}"]
    recorded = {slot: (publication,), publication: ()}
    gone = order([change(publication, Action.DELETE), change(slot, Action.DELETE)], {}, recorded)
    assert gone == [f"destroy {slot}", f"destroy {publication}"]


def test_an_unchanged_block_between_two_changed_ones_keeps_their_order() -> None:
    blocks = {"t.c": ("t.b",), "t.b": ("t.a",), "t.a": ()}
    assert order([change("t.c", Action.CREATE), change("t.a", Action.CREATE)], blocks) == ["create t.a", "create t.c"]


KEYED = {"t.a": (), "t.b": ("t.a",)}


def test_instances_of_a_block_wait_for_its_dependents_to_let_go_of_the_old_ones() -> None:
    made = order(
        [change('t.a["x"]', Action.CREATE_THEN_DELETE), change("t.b", Action.UPDATE)],
        KEYED,
        {"t.b": ("t.a",), 't.a["x"]': ()},
    )
    assert made == ['create t.a["x"]', "update t.b", 'destroy t.a["x"]']


def test_an_instance_that_goes_while_another_comes_is_let_go_of_first() -> None:
    made = order(
        [change('t.a["x"]', Action.DELETE), change('t.a["y"]', Action.CREATE), change("t.b", Action.UPDATE)],
        KEYED,
        {"t.b": ("t.a",), 't.a["x"]': ()},
    )
    assert made == ['create t.a["y"]', "update t.b", 'destroy t.a["x"]']


def test_an_old_object_that_is_still_there_makes_room_before_the_next_one_becomes_old() -> None:
    changes = [
        change('t.a["x"]', Action.CREATE_THEN_DELETE),
        change('t.a["x"]#deposed', Action.DELETE),
        change("t.b", Action.UPDATE),
    ]
    made = order(changes, KEYED, {"t.b": ("t.a",), 't.a["x"]': (), 't.a["x"]#deposed': ()})
    assert made == ['destroy t.a["x"]#deposed', 'create t.a["x"]', "update t.b", 'destroy t.a["x"]']


def test_what_is_needed_through_a_block_without_objects_is_destroyed_last() -> None:
    blocks, recorded = {"t.c": ("t.b",), "t.b": ("t.a",), "t.a": ()}, {"t.c": ("t.b",), "t.a": ()}
    going = [change("t.a", Action.DELETE), change("t.c", Action.DELETE)]
    assert order(going, blocks, through_empty(recorded, blocks)) == ["destroy t.c", "destroy t.a"]


def test_what_the_state_has_the_other_way_around_stays_so() -> None:
    blocks, recorded = {"t.c": ("t.b",), "t.b": ("t.a",), "t.a": ()}, {"t.c": ("t.b",), "t.a": ("t.c",)}
    assert through_empty(recorded, blocks) == recorded
