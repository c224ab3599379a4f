"""What is done before what, what is known when, and what a failure takes with it."""

import pytest

from dstream.plan import Action
from tests.services.recorder.world import World, actions, refused, said


def block(name: str, *lines: str, kind: str = "rec_planned", called: str | None = None) -> str:
    body = "\n".join(f"  {line}" for line in (f'name = "{called or name}"', *lines))
    return f'resource "{kind}" "{name}" {{\n{body}\n}}\n'


CHAIN = (
    block("c", "note = rec_planned.b.uid")
    + block("b", "note = rec_planned.a.name", "depends_on = [rec_planned.x]")
    + block("a")
    + block("x")
)


def test_what_is_needed_is_made_first_and_destroyed_last(world: World) -> None:
    world.apply(CHAIN)
    done = world.recorder.changes()
    assert sorted(done[:2]) == ["created a", "created x"]
    assert done[2:] == ["created b", "created c"]
    assert world.recorder.objects()["rec_planned c"]["note"] == "uid-of-b"
    assert world.recorded["rec_planned.b"].dependencies == ("rec_planned.a", "rec_planned.x")
    world.recorder.forget_calls()
    world.apply(destroy=True)
    done = world.recorder.changes()
    assert done[:2] == ["deleted c", "deleted b"]
    assert sorted(done[2:]) == ["deleted a", "deleted x"]


def test_blocks_that_are_gone_are_destroyed_in_the_recorded_order(world: World) -> None:
    world.apply(CHAIN)
    world.recorder.forget_calls()
    world.recorder.on("delete", "c", slow=0.3)
    world.apply("")
    assert world.recorder.changes()[:2] == ["deleted c", "deleted b"]


def test_what_needs_nothing_of_each_other_is_done_at_the_same_time_up_to_the_limit(world: World) -> None:
    blocks = "".join(block(f"n{number}") for number in range(6))
    for number in range(6):
        world.recorder.on("create", f"n{number}", slow=0.1)

    def most_at_once() -> int:
        most = now = 0
        for call in world.recorder.calls("create", "created"):
            now += 1 if call.command == "create" else -1
            most = max(most, now)
        return most

    world.apply(blocks, parallelism=2)
    assert most_at_once() == 2
    world.apply(destroy=True)
    world.recorder.forget_calls()
    world.apply(parallelism=6)
    assert most_at_once() > 2


def test_an_unknown_value_is_shown_as_unknown_and_filled_in_at_apply(world: World) -> None:
    world.write(CHAIN)
    form = world.plan().to_json()
    planned = next(each for each in form["resource_changes"] if each["address"] == "rec_planned.c")
    assert planned["change"]["after_unknown"] == {"note": True, "uid": True}
    world.apply()
    assert world.recorded["rec_planned.c"].attributes["note"] == "uid-of-b"
    assert not world.plan().has_changes


def test_what_reads_a_changed_computed_attribute_follows_in_the_same_apply(world: World) -> None:
    world.apply(block("a") + block("b", "note = rec_planned.a.uid"))
    world.apply(block("a", called="aa") + block("b", "note = rec_planned.a.uid"))
    assert world.recorder.objects()["rec_planned b"]["note"] == "uid-of-aa"
    assert not world.plan().has_changes


OTHER = """
provider "far" {{
  provider_path = "./bin/rec"
  config {{
    folder = "{folder}"
    region = rec_planned.a.uid
  }}
}}
resource "rec_planned" "z" {{
  provider = far
  name     = "z"
}}
"""


def test_a_provider_can_be_configured_by_a_resource(world: World) -> None:
    text = block("a") + OTHER.format(folder=world.recorder.folder)
    world.apply(text)
    regions = {call.name: call.more["region"] for call in world.recorder.calls("create")}
    assert regions == {"a": "", "z": "uid-of-a"}
    assert world.snapshot.providers["provider.far"].config["region"] == "uid-of-a"
    assert not world.plan().has_changes
    world.recorder.forget_calls()
    world.apply(destroy=True)
    assert world.recorder.changes() == ["deleted z", "deleted a"]


def test_a_provider_whose_resource_is_replaced_still_serves_its_objects(world: World) -> None:
    world.apply(block("a") + OTHER.format(folder=world.recorder.folder))
    world.write(block("a", 'zone = "there"') + OTHER.format(folder=world.recorder.folder))
    assert actions(world.plan()) == {"rec_planned.a": Action.REPLACE}
    world.apply()
    assert world.recorder.names() == ["a", "z"]
    world.apply("")
    assert world.recorder.names() == []


def test_keys_of_for_each_must_be_known_and_their_values_need_not(world: World) -> None:
    each = block("b", "for_each = { x = rec_planned.a.uid }", "note = each.value").replace('"b"\n', "each.key\n")
    world.apply(block("a") + each)
    assert world.recorder.objects()["rec_planned x"]["note"] == "uid-of-a"
    assert list(world.recorded) == ["rec_planned.a", 'rec_planned.b["x"]']


@pytest.mark.parametrize(
    ("argument", "summary"),
    [
        ("for_each = toset([rec_planned.a.uid])", "Unknown for_each"),
        ("for_each = rec_planned.a.uid == null ? {} : { x = 1 }", "Unknown for_each"),
        ("count = length(rec_planned.a.uid)", "Unknown count"),
    ],
)
def test_unknown_keys_are_an_error_that_says_what_to_do(world: World, argument: str, summary: str) -> None:
    world.write(block("a") + block("b", argument))
    found = refused(world.plan)
    assert [each.summary for each in found] == [summary]
    assert "-target" in found[0].detail
    assert found[0].subject is not None


def test_with_target_first_the_keys_are_known(world: World) -> None:
    text = block("a") + 'resource "rec_planned" "b" {\n  for_each = toset([rec_planned.a.uid])\n  name = each.key\n}\n'
    world.apply(text, targets=("rec_planned.a",))
    world.apply(text)
    assert world.recorder.names() == ["a", "uid-of-a"]


def test_instances_come_and_go_by_their_keys(world: World) -> None:
    each = 'resource "rec_planned" "b" {{\n  for_each = toset({})\n  name = each.key\n}}\n'
    world.apply(each.format('["x", "y"]'))
    world.write(each.format('["y", "z"]'))
    assert actions(world.plan()) == {'rec_planned.b["x"]': Action.DELETE, 'rec_planned.b["z"]': Action.CREATE}
    world.apply()
    assert world.recorder.names() == ["y", "z"]


def test_from_one_object_to_keyed_ones_and_away(world: World) -> None:
    world.apply(block("b", called="x") + 'output "o" {\n  value = rec_planned.b.uid\n}\n')
    each = 'resource "rec_planned" "b" {\n  for_each = toset(["y", "z"])\n  name = each.key\n}\n'
    world.apply(each)
    assert world.recorder.names() == ["y", "z"]
    counted = 'resource "rec_planned" "b" {\n  count = 12\n  name = "n${count.index}"\n}\n'
    last = block("last", 'note = rec_planned.b[11].uid == null ? "" : rec_planned.b[10].uid')
    world.apply(counted + last)
    assert world.recorder.objects()["rec_planned last"]["note"] == "uid-of-n10"
    # The block is written otherwise than it was applied, and everything goes.
    world.write(block("b"))
    world.apply(destroy=True)
    assert world.recorder.names() == []


def test_destroy_knows_recorded_instances_by_their_index(world: World) -> None:
    counted = 'resource "rec_planned" "b" {\n  count = 12\n  name = "n${count.index}"\n}\n'
    far = OTHER.format(folder=world.recorder.folder).replace("rec_planned.a.uid", "rec_planned.b[10].uid")
    world.apply(counted + far)
    world.recorder.forget_calls()
    world.apply(destroy=True)
    assert world.recorder.names() == []
    assert world.snapshot.resources == {}


def test_a_failure_takes_its_dependents_with_it_and_nothing_else(world: World) -> None:
    world.write(CHAIN + block("free"))
    world.recorder.on("create", "a", fail="denied", times=1)
    outcome = world.attempt()
    assert [(each.address, each.summary) for each in outcome.diagnostics] == [("rec_planned.a", "Told to fail")]
    assert world.recorder.names() == ["free", "x"]
    assert world.in_step()
    assert world.told.of("failed") == ["create rec_planned.a"]
    assert sorted(world.told.of("skipped")) == [
        "rec_planned.b because of rec_planned.a",
        "rec_planned.c because of rec_planned.a",
    ]
    world.apply()
    assert world.recorder.names() == ["a", "b", "c", "free", "x"]
    assert world.recorder.changes().count("created x") == 1


@pytest.mark.parametrize("error_class", ["invalid", "conflict", "denied", "fatal"])
def test_an_object_that_is_there_in_spite_of_the_error_is_tainted_and_replaced(world: World, error_class: str) -> None:
    world.write(block("a"))
    world.recorder.on("create", "a", fail=error_class, made=True, times=1)
    outcome = world.attempt()
    assert error_class in said(outcome.diagnostics)
    assert world.recorded["rec_planned.a"].status == "tainted"
    assert world.in_step()
    assert actions(world.plan()) == {"rec_planned.a": Action.REPLACE}
    world.apply()
    assert world.recorder.changes() == ["deleted a", "created a"]
    assert world.recorded["rec_planned.a"].status == "ok"
    assert not world.plan().has_changes


def test_what_is_tainted_is_replaced_even_where_the_new_one_goes_first(world: World) -> None:
    text = block("a", "lifecycle {\n    create_before_destroy = true\n  }")
    world.write(text)
    world.recorder.on("create", "a", fail="fatal", made=True, times=1)
    world.attempt()
    world.apply()
    assert world.recorder.names() == ["a"]
    assert world.recorded["rec_planned.a"].status == "ok"


def test_a_failed_update_and_a_failed_destroy_leave_the_object_as_it_was(world: World) -> None:
    world.apply(block("a") + block("b"))
    world.recorder.on("update", "a", fail="conflict", times=1)
    world.recorder.on("delete", "b", fail="conflict", times=1)
    world.write(block("a", "size = 2"))
    assert len(world.attempt().diagnostics) == 2
    assert world.in_step()
    assert world.recorded["rec_planned.a"].attributes["size"] == 1
    world.apply()
    assert world.recorder.names() == ["a"]
    assert world.recorded["rec_planned.a"].attributes["size"] == 2


def test_what_fails_for_now_is_tried_again_after_the_time_that_its_provider_says(world: World) -> None:
    world.write(block("a"))
    world.recorder.on("create", "a", fail="retriable", retry=0.05, times=3)
    outcome = world.attempt()
    assert outcome.diagnostics == ()
    assert len(world.told.of("retrying")) == 3
    assert world.told.of("retrying")[0] == "rec_planned.a in 0.05: Told to fail"
    assert world.recorder.changes() == ["created a"]


def test_what_goes_on_failing_for_now_fails(world: World) -> None:
    world.write(block("a") + block("b"))
    world.recorder.on("create", "a", fail="retriable", retry=0.01)
    outcome = world.attempt()
    assert [each.summary for each in outcome.diagnostics] == ["Told to fail"]
    assert len(world.recorder.calls("create")) == 1 + 5 + 1
    assert world.in_step()


def test_a_dependent_whose_new_one_goes_first_makes_what_it_needs_go_first(world: World) -> None:
    first = "lifecycle {\n    create_before_destroy = true\n  }"
    text = block("a", called="a{0}") + block("b", "note = rec_planned.a.uid", first, called="b{0}")
    world.apply(text.replace("{0}", "1"))
    world.write(text.replace("{0}", "2"))
    assert set(actions(world.plan()).values()) == {Action.CREATE_THEN_DELETE}
    world.recorder.forget_calls()
    world.apply()
    assert world.recorder.changes() == ["created a2", "created b2", "deleted b1", "deleted a1"]
    assert world.in_step()


def test_targets_bring_what_they_need_and_leave_the_rest(world: World) -> None:
    world.write(CHAIN + block("free"))
    assert sorted(actions(world.plan(targets=("rec_planned.b",)))) == [f"rec_planned.{name}" for name in "abx"]
    world.apply()
    world.recorder.forget_calls()
    world.apply(destroy=True, targets=("rec_planned.b",))
    assert world.recorder.changes() == ["deleted c", "deleted b"]
    found = refused(lambda: world.plan(targets=("rec_planned.fre",)))
    assert found[0].summary == "Unknown address"
    assert "rec_planned.free" in found[0].detail


def test_loops_are_named(world: World) -> None:
    blocks = block("a", "note = rec_planned.b.name") + block("b", "note = local.n")
    world.write(blocks + "locals {\n  n = rec_planned.a.uid\n}\n")
    found = refused(world.plan)
    assert [each.summary for each in found] == ["Dependency cycle"]
    assert "local.n -> rec_planned.a -> rec_planned.b -> local.n" in found[0].detail


def test_several_mistakes_are_told_at_once_and_what_follows_from_them_is_not(world: World) -> None:
    world.write(
        block("a", "note = local.nothing")
        + block("b", "note = rec_planned.a.uid")
        + block("c", kind="rec_plannd")
        + block("d", "for_each = 5")
        + 'output "o" {\n  value = rec_planned.nobody.name\n}\n'
    )
    found = refused(world.plan)
    assert len(found) == 4, said(found)
    text = said(found)
    for part in ("nothing", "rec_plannd", "Wrong for_each", "nobody"):
        assert part in text


def test_destroy_needs_nothing_of_what_was_never_made(world: World) -> None:
    counted = 'resource "rec_planned" "b" {\n  count = 2\n  name = "n${count.index}"\n}\n'
    far = OTHER.format(folder=world.recorder.folder).replace("rec_planned.a.uid", "rec_planned.b[1].uid")
    world.write(counted + far)
    world.recorder.on("create", "n1", fail="denied")
    world.attempt()
    assert world.recorder.names() == ["n0"]
    world.apply(destroy=True)
    assert world.recorded == {}
