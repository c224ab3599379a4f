"""What an apply does with one object: create, update, leave alone, replace, delete."""

import pytest

from dstream.plan import Action, Reason
from tests.services.recorder.world import World, actions, change, refused, said

A = 'resource "rec_planned" "a" {{\n  name = "{name}"\n  size = {size}\n{more}}}\n'


def a(name: str = "a", size: int = 1, more: str = "") -> str:
    return A.format(name=name, size=size, more=more)


def test_what_is_not_there_is_created_with_defaults_and_recorded_as_its_provider_returns_it(world: World) -> None:
    outcome = world.apply(a())
    assert outcome.counts == {"add": 1, "change": 0, "destroy": 0}
    assert world.recorder.objects() == {
        "rec_planned a": {"name": "a", "size": 1, "zone": "here", "tags": [], "uid": "uid-of-a"}
    }
    item = world.recorded["rec_planned.a"]
    assert item.attributes == world.recorder.objects()["rec_planned a"]
    assert (item.identity, item.private, item.status) == ({"name": "a"}, {"serial": 1}, "ok")
    assert world.told.lines == [
        "begun 1: rec_planned.a",
        "started create rec_planned.a",
        "done create rec_planned.a",
    ]


def test_what_is_as_wanted_is_left_alone(world: World) -> None:
    world.apply(a())
    before = world.snapshot
    outcome = world.apply()
    assert not outcome.plan.has_changes
    assert world.recorder.changes() == ["created a"]
    assert world.recorded == before.resources


def test_a_difference_is_changed_in_place(world: World) -> None:
    world.apply(a())
    outcome = world.apply(a(size=2))
    assert outcome.counts == {"add": 0, "change": 1, "destroy": 0}
    assert world.recorder.changes() == ["created a", "updated a"]
    update = world.recorder.calls("update")[0]
    assert update.more["prior"]["size"] == 1
    assert update.more["desired"] == {"name": "a", "size": 2, "zone": "here", "tags": []}
    assert world.recorded["rec_planned.a"].attributes["size"] == 2
    assert world.recorded["rec_planned.a"].private == {"serial": 2}


def test_an_argument_taken_out_goes_back_to_its_default_or_goes_away(world: World) -> None:
    world.apply(a(size=5, more='  note = "n"\n'))
    world.write('resource "rec_planned" "a" {\n  name = "a"\n}\n')
    assert actions(world.plan()) == {"rec_planned.a": Action.UPDATE}
    world.apply()
    attributes = world.recorder.objects()["rec_planned a"]
    assert attributes["size"] == 1
    assert "note" not in attributes
    assert not world.plan().has_changes


def test_the_order_of_a_set_means_nothing_and_its_members_do(world: World) -> None:
    world.apply(a(more='  tags = ["x", "y"]\n'))
    world.write(a(more='  tags = ["y", "x"]\n'))
    assert not world.plan().has_changes
    world.write(a(more='  tags = ["y", "z"]\n'))
    assert actions(world.plan()) == {"rec_planned.a": Action.UPDATE}


@pytest.mark.parametrize("kind", ["rec_planned", "rec_marked"])
def test_an_attribute_that_cannot_change_replaces_the_old_object_first(world: World, kind: str) -> None:
    world.apply(a().replace("rec_planned", kind))
    text = a(more='  zone = "there"\n').replace("rec_planned", kind)
    world.write(text)
    planned = change(world.plan(), f"{kind}.a")
    assert (planned.action, planned.replace_paths) == (Action.REPLACE, ("zone",))
    outcome = world.apply()
    assert outcome.counts == {"add": 1, "change": 0, "destroy": 1}
    assert [each.split()[0] for each in world.recorder.changes()] == ["created", "deleted", "created"]
    assert world.recorder.names() == ["a"]
    assert world.in_step()


CBD = "  lifecycle {\n    create_before_destroy = true\n  }\n"


def test_the_new_one_can_be_made_first(world: World) -> None:
    world.apply(a(more=CBD))
    outcome = world.apply(a("b", more=CBD))
    assert outcome.counts == {"add": 1, "change": 0, "destroy": 1}
    assert world.recorder.changes() == ["created a", "created b", "deleted a"]
    assert list(world.recorded) == ["rec_planned.a"]
    assert world.in_step()


def test_where_the_new_one_cannot_be_made_the_old_one_stays_what_it_is(world: World) -> None:
    world.apply(a(more=CBD))
    world.write(a("b", more=CBD))
    world.recorder.on("create", "b", fail="denied", times=1)
    outcome = world.attempt()
    assert "Told to fail" in said(outcome.diagnostics)
    assert list(world.recorded) == ["rec_planned.a"]
    assert world.in_step()
    assert actions(world.plan()) == {"rec_planned.a": Action.CREATE_THEN_DELETE}
    world.apply()
    assert world.recorder.names() == ["b"]
    assert world.in_step()


def test_an_old_one_that_could_not_be_destroyed_is_destroyed_by_the_next_apply(world: World) -> None:
    world.apply(a(more=CBD))
    world.write(a("b", more=CBD))
    world.recorder.on("delete", "a", fail="denied", times=1)
    assert "Told to fail" in said(world.attempt().diagnostics)
    assert sorted(world.recorded) == ["rec_planned.a", "rec_planned.a#deposed"]
    assert world.in_step()
    assert actions(world.plan()) == {"rec_planned.a#deposed": Action.DELETE}
    world.apply()
    assert list(world.recorded) == ["rec_planned.a"]
    assert world.in_step()


def test_a_second_replacement_does_not_forget_an_old_one_that_is_still_there(world: World) -> None:
    world.apply(a(more=CBD))
    world.write(a("b", more=CBD))
    world.recorder.on("delete", "a", fail="denied", times=2)
    world.attempt()
    world.write(a("c", more=CBD))
    world.attempt()
    assert world.in_step()
    world.attempt()
    assert world.recorder.names() == ["c"]
    assert world.in_step()


def test_the_new_one_first_is_refused_where_both_would_have_one_identity(world: World) -> None:
    world.apply(a(more=CBD))
    world.write(a(more='  zone = "there"\n' + CBD))
    found = refused(world.plan)
    assert [each.summary for each in found] == ["Cannot create before destroy"]
    assert "create_before_destroy" in found[0].detail
    assert found[0].address == "rec_planned.a"


def test_what_is_no_longer_in_the_configuration_is_destroyed(world: World) -> None:
    world.apply(a())
    world.write("")
    planned = change(world.plan(), "rec_planned.a")
    assert (planned.action, planned.reason) == (Action.DELETE, Reason.NOT_IN_CONFIGURATION)
    world.apply()
    assert world.recorder.objects() == {}
    assert world.recorded == {}
    assert world.snapshot.providers == {}


def test_destroy_takes_everything_away(world: World) -> None:
    world.apply(a() + 'output "size" {\n  value = rec_planned.a.size\n}\n')
    outcome = world.apply(destroy=True)
    assert outcome.counts["destroy"] == 1
    assert world.recorder.objects() == {}
    assert (world.recorded, world.snapshot.outputs, world.snapshot.providers) == ({}, {}, {})
    assert not world.plan(destroy=True).has_changes


def test_an_object_that_was_lost_is_made_again(world: World) -> None:
    world.apply(a())
    world.recorder.vanish("rec_planned", "a")
    planned = change(world.plan(), "rec_planned.a")
    assert (planned.action, planned.reason) == (Action.CREATE, Reason.MISSING)
    world.apply()
    assert world.recorder.names() == ["a"]
    assert world.in_step()


def test_a_lost_object_that_nobody_wants_is_only_forgotten(world: World) -> None:
    world.apply(a())
    world.recorder.vanish("rec_planned", "a")
    world.apply("")
    assert world.recorded == {}
    assert world.recorder.calls("delete") == []


def test_what_was_changed_outside_is_changed_back(world: World) -> None:
    world.apply(a())
    world.recorder.put("rec_planned", "a", size=9)
    world.apply()
    assert world.recorder.objects()["rec_planned a"]["size"] == 1
    assert world.recorder.calls("update")[0].more["prior"]["size"] == 9


def test_somebody_elses_object_is_never_taken_over(world: World) -> None:
    world.recorder.put("rec_planned", "a", size=9)
    world.write(a() + a("b").replace('"a"', '"b"'))
    found = refused(world.attempt)
    assert [(each.summary, each.address) for each in found] == [("Object exists already", "rec_planned.a")]
    assert "import" in found[0].detail
    assert world.recorder.changes() == []
    assert world.recorder.objects()["rec_planned a"]["size"] == 9


@pytest.mark.parametrize("text", ["", a(more='  zone = "there"\n  lifecycle {\n    prevent_destroy = true\n  }\n')])
def test_prevent_destroy_prevents(world: World, text: str) -> None:
    world.apply(a(more="  lifecycle {\n    prevent_destroy = true\n  }\n"))
    if text:
        world.write(text)
    found = refused(lambda: world.plan(destroy=not text))
    assert [each.summary for each in found] == ["Destruction prevented"]
    assert ("zone" in found[0].detail) == bool(text)


def test_ignored_changes_are_ignored(world: World) -> None:
    ignoring = "  lifecycle {\n    ignore_changes = [size]\n  }\n"
    world.apply(a(more=ignoring))
    world.write(a(size=4, more=ignoring))
    assert not world.plan().has_changes
    world.recorder.put("rec_planned", "a", size=7)
    assert not world.plan().has_changes
    world.apply(a(size=4, more='  note = "n"\n' + ignoring))
    assert world.recorder.objects()["rec_planned a"]["size"] == 7
    everything = "  lifecycle {\n    ignore_changes = all\n  }\n"
    world.write(a(size=5, more='  zone = "there"\n' + everything))
    assert not world.plan().has_changes


def test_losing_data_is_marked(world: World) -> None:
    world.apply(a().replace("rec_planned", "rec_table"))
    world.write(a(more='  zone = "there"\n').replace("rec_planned", "rec_table"))
    assert change(world.plan(), "rec_table.a").loses_data
    world.write(a(size=2).replace("rec_planned", "rec_table"))
    assert not change(world.plan(), "rec_table.a").loses_data
    world.write("")
    assert change(world.plan(), "rec_table.a").loses_data


def test_replace_replaces_what_is_named_and_nothing_else(world: World) -> None:
    world.apply(a() + a("b").replace('"a"', '"b"'))
    planned = world.plan(replace=("rec_planned.b",))
    assert actions(planned) == {"rec_planned.b": Action.REPLACE}
    assert change(planned, "rec_planned.b").reason is Reason.REQUESTED


def test_replace_of_what_is_not_there_is_an_error(world: World) -> None:
    world.apply(a())
    found = refused(lambda: world.plan(replace=("rec_planned.aa",)))
    assert [each.summary for each in found] == ["Unknown address"]
    assert "rec_planned.a" in found[0].detail


def test_triggers_replace(world: World) -> None:
    follower = (
        'resource "rec_planned" "f" {\n  name = "f"\n  lifecycle {\n'
        "    replace_triggered_by = [rec_planned.a]\n  }\n}\n"
    )
    world.apply(a() + follower)
    assert not world.plan().has_changes
    world.write(a(size=2) + follower)
    planned = change(world.plan(), "rec_planned.f")
    assert (planned.action, planned.reason) == (Action.REPLACE, Reason.TRIGGERED)
    world.apply()
    assert world.recorder.changes()[-3:] == ["updated a", "deleted f", "created f"] or (
        world.recorder.changes()[-1] == "created f"
    )


def test_a_plan_can_go_without_asking(world: World) -> None:
    world.apply(a())
    world.recorder.vanish("rec_planned", "a")
    world.recorder.forget_calls()
    assert not world.plan(refresh=False).has_changes
    assert world.recorder.calls() == []
