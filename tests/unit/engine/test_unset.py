"""Attributes that nobody has set: null to expressions if the type has them, everywhere; others are errors."""

import json
from typing import Any

import pytest

from dstream.engine.commands.validate import lint
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.runs.flows import make_flows
from dstream.engine.setup.operation import OperationInputs
from dstream.lang import Unknown
from dstream.plan import Action, Plan
from dstream.run import Flow
from tests.e2e.commands import dstream
from tests.services.recorder.world import PROVIDER, World, actions, change, refused, said

BARE = 'resource "rec_planned" "a" {\n  name = "a"\n}\n'
COMPOSITE = """
resource "rec_composite" "a" {
  name   = "a"
  limits = {}
  rules  = [{ cpus = 2 }, {}]
  zones  = { north = {} }
  grown  = { memory = 1 }
}
"""


def output(value: str) -> str:
    """Return an output called `o`."""
    return f'output "o" {{\n  value = {value}\n}}\n'


def planned(plan: Plan) -> Any:
    """Return the planned value of the output."""
    [found] = plan.outputs
    return found.after


def linted(world: World) -> list[str]:
    """Return what lint says."""
    return [f"{each.summary}: {each.detail}" for each in lint(OperationInputs(config=world.folder)).diagnostics]


def flows(world: World) -> list[Flow]:
    """Return what `run` would run of the task."""
    operation = world.operation()
    with ProviderPool(operation) as pool:
        return make_flows(operation, "copy", world.snapshot, pool, unapplied=False)


# -- in every operation -------------------------------------------------------------------------------------


def test_what_is_not_set_is_null_in_plan_and_what_is_computed_is_unknown(world: World) -> None:
    world.write(BARE + output("[rec_planned.a.note == null, rec_planned.a.uid == null, rec_planned.a.size]"))
    assert planned(world.plan()) == [True, Unknown(), 1]
    world.apply()
    assert world.snapshot.outputs["o"].value == [True, False, 1]
    assert not world.plan().has_changes


def test_what_is_not_set_decides_how_many_there_are_and_what_others_get(world: World) -> None:
    world.write(
        BARE + 'resource "rec_planned" "b" {\n  count = rec_planned.a.note == null ? 1 : 0\n  name = "b"\n'
        "  note = rec_planned.a.note\n}\n"
    )
    assert actions(world.plan()) == {"rec_planned.a": Action.CREATE, "rec_planned.b[0]": Action.CREATE}
    world.apply()
    [created] = [call for call in world.recorder.calls("create") if call.name == "b"]
    assert "note" not in created.more["desired"]
    assert not world.plan().has_changes


def test_what_is_set_to_null_is_as_if_it_was_not_set(world: World) -> None:
    world.apply(BARE.replace('"a"\n}', '"a"\n  note = null\n}') + output("rec_planned.a.note == null"))
    assert world.snapshot.outputs["o"].value is True


def test_what_is_no_longer_set_is_null(world: World) -> None:
    world.apply(BARE.replace('"a"\n}', '"a"\n  note = "x"\n}') + output('coalesce(rec_planned.a.note, "none")'))
    assert world.snapshot.outputs["o"].value == "x"
    world.write(BARE + output('coalesce(rec_planned.a.note, "none")'))
    assert planned(world.plan()) == "none"
    world.apply()
    assert world.snapshot.outputs["o"].value == "none"


def test_no_instance_is_another(world: World) -> None:
    world.apply(
        'resource "rec_planned" "a" {\n  for_each = { x = "n", y = null }\n  name = each.key\n  note = each.value\n}\n'
        + output("[rec_planned.a[*], values(rec_planned.a)[*].note, rec_planned.a.y.note == null]")
    )
    assert world.snapshot.outputs["o"].value[1:] == [["n", None], True]


def test_conditions_see_it_at_plan_at_apply_and_of_what_stays(world: World) -> None:
    text = BARE.replace(
        '"a"\n}',
        '"a"\n  lifecycle {\n    postcondition {\n      condition = self.note == null && (self.uid != "" || true)\n'
        '      error_message = "It has a note."\n    }\n  }\n}',
    )
    world.apply(text)
    world.apply(text + 'resource "rec_planned" "b" {\n  name = "b"\n}\n')
    world.recorder.put("rec_planned", "a", note="noted")
    world.write(text.replace('"a"\n', '"a"\n  note = "noted"\n'))
    [found] = refused(world.plan)
    assert found.detail == "It has a note."


def test_destroy_configures_providers_by_it(world: World) -> None:
    other = PROVIDER.format(folder=world.recorder.folder, more="\n    region = local.region")
    text = BARE + other.replace('"rec"', '"other"')
    text += 'locals {\n  region = coalesce(rec_planned.a.note, "eu")\n}\n'
    world.apply(text + 'resource "rec_planned" "b" {\n  provider = other\n  name = "b"\n}\n')
    world.apply(destroy=True, refresh=False)
    assert world.recorder.names() == []


def test_drift_and_refresh_only_see_it(world: World) -> None:
    other = PROVIDER.format(folder=world.recorder.folder, more='\n    region = coalesce(rec_planned.a.note, "eu")')
    text = BARE + other.replace('"rec"', '"other"') + output('coalesce(rec_planned.a.note, "none")')
    world.apply(text + 'resource "rec_planned" "b" {\n  provider = other\n  name = "b"\n}\n')
    assert world.drift().drifts == ()
    assert planned(world.plan(refresh_only=True)) == "none"
    world.recorder.put("rec_planned", "a", note="new")
    assert [drift.address for drift in world.drift().drifts] == ["rec_planned.a"]
    assert planned(world.plan(refresh_only=True)) == "new"


@pytest.mark.processes
def test_a_saved_plan_is_carried_out_with_it_and_output_tells_it(world: World) -> None:
    world.write(
        BARE
        + 'resource "rec_planned" "b" {\n  name = "b"\n  note = coalesce(rec_planned.a.note, rec_planned.a.uid)\n}\n'
        + output("[rec_planned.a.note, rec_planned.b.labels, rec_planned.b.note]")
    )
    for arguments in (["plan", "-out", "p.plan"], ["apply", "p.plan"], ["plan", "-detailed-exitcode"]):
        ended = dstream(world.folder, *arguments)
        assert ended.code == 0, ended.said
    assert json.loads(dstream(world.folder, "output", "-json", "o").out) == [None, None, "uid-of-a"]


IMPORTED = 'resource "rec_planned" "b" {\n  name = "b"\n}\nimport {\n  to = rec_planned.b\n  id = %s\n}\n'


def test_an_import_may_be_named_by_what_is_known_of_other_resources(world: World) -> None:
    world.recorder.put("rec_planned", "b")
    world.write(IMPORTED % 'coalesce(rec_planned.a.note, "b")' + BARE)
    assert change(world.plan(), "rec_planned.b").importing == {"name": "b"}
    world.apply()
    assert world.in_step() and not world.plan().has_changes
    assert world.recorded["rec_planned.b"].dependencies == ("rec_planned.a",)


def test_an_import_that_only_apply_could_name_is_refused_and_a_target_elsewhere_is_not(world: World) -> None:
    world.recorder.put("rec_planned", "b")
    world.write(IMPORTED % "rec_planned.a.uid" + BARE + BARE.replace('"a"', '"c"'))
    [found] = refused(world.plan)
    assert found.summary == "Wrong import id"
    assert actions(world.plan(targets=("rec_planned.c",))) == {"rec_planned.c": Action.CREATE}


# -- names that a type does not have --------------------------------------------------------------------------

WRONG = {
    "attribute": ("rec_planned.a.nota", 'no attribute "nota". Did you mean note?'),
    "index": ('rec_planned.a["nota"]', 'This object has no key "nota". Did you mean note?'),
    "instance": ('rec_planned.k["x"].nota', 'no attribute "nota". Did you mean note?'),
    "element": ("rec_planned.c[0].nota", 'no attribute "nota". Did you mean note?'),
    "splat": ("rec_planned.c[*].nota", 'no attribute "nota". Did you mean note?'),
    "list": ("rec_planned.c.note", "Use [0].note for one element"),
    "nested": ("rec_composite.a.limits.cpu", 'no attribute "cpu". Did you mean cpus?'),
    "of an item": ("rec_composite.a.rules[1].cpu", 'no attribute "cpu". Did you mean cpus?'),
    "of a zone": ("rec_composite.a.zones.north.cpu", 'no attribute "cpu". Did you mean cpus?'),
}


@pytest.mark.parametrize("which", WRONG)
def test_other_names_are_errors_with_the_nearest_ones_in_lint_and_plan(world: World, which: str) -> None:
    expression, says = WRONG[which]
    repeated = BARE.replace('"a" {\n  name = "a"', '"{}" {{\n  {}\n  name = "{}"').replace("\n}\n", "\n}}\n")
    world.write(
        BARE
        + COMPOSITE
        + repeated.format("k", 'for_each = toset(["x"])', "k-${each.key}")
        + repeated.format("c", "count = 1", "c-${count.index}")
        + output(expression)
    )
    [found] = refused(world.plan)
    assert says in found.detail
    [told] = linted(world)
    assert says in told


def test_lint_looks_at_imports(world: World) -> None:
    world.write(BARE + IMPORTED % "rec_planned.a.nota")
    [told] = linted(world)
    assert 'no attribute "nota". Did you mean note?' in told


def test_lint_knows_itself_too(world: World) -> None:
    world.write(
        BARE.replace(
            '"a"\n}',
            '"a"\n  lifecycle {\n    postcondition {\n      condition = self.nota == null\n'
            '      error_message = "No."\n    }\n  }\n}',
        )
    )
    [told] = linted(world)
    assert 'no attribute "nota". Did you mean note?' in told


def test_lint_accepts_what_plan_accepts(world: World) -> None:
    world.write(
        COMPOSITE
        + 'resource "rec_planned" "k" {\n  for_each = rec_composite.a.limits == null ? {} : { x = 1 }\n'
        + "  name = each.key\n}\n"
        + output(
            "[rec_composite.a.limits.cpus, rec_composite.a.rules[0].cpus, rec_composite.a.rules[*].memory, "
            'rec_composite.a.zones.north.cpus, rec_composite.a.zones["north"].cpus, rec_composite.a.grown.memory, '
            'rec_composite.a.limits["cpus"], [for k in rec_planned.k : k.note], keys(rec_planned.k), '
            "{for z, l in rec_composite.a.zones : z => l.cpus}, length(rec_composite.a), "
            "merge(rec_composite.a.limits, {})]"
        )
    )
    assert linted(world) == []
    assert world.plan().has_changes


def test_what_has_no_schema_is_as_before(world: World) -> None:
    world.write('resource "rec_free" "a" {\n  name = "a"\n}\n' + output("rec_free.a.note"))
    assert linted(world) == []
    [found] = refused(world.plan)
    assert found.detail == 'This object has no attribute "note". There is: name.'


# -- objects inside -------------------------------------------------------------------------------------------


def test_objects_in_attributes_have_all_that_their_schema_tells(world: World) -> None:
    world.write(COMPOSITE + output("rec_composite.a"))
    limits = {"cpus": None, "memory": 512}
    expected = {
        "name": "a",
        "limits": limits,
        "rules": [{"cpus": 2, "memory": 512}, limits],
        "zones": {"north": limits},
        "grown": {"cpus": Unknown(), "memory": 1},
        "uid": Unknown(),
    }
    assert planned(world.plan()) == expected
    world.apply()
    made = {**expected, "grown": {"cpus": 8, "memory": 1}, "uid": "uid-of-a"}
    assert world.snapshot.outputs["o"].value == made
    world.write(COMPOSITE + output("rec_composite.a") + output("rec_composite.a.limits").replace('"o"', '"p"'))
    assert [(each.name, each.action, each.after) for each in world.plan().outputs] == [
        ("o", Action.UPDATE, {**made, "grown": {"cpus": Unknown(), "memory": 1}}),
        ("p", Action.CREATE, limits),
    ]


# -- secrets, and providers that plan -------------------------------------------------------------------------


def test_a_secret_that_is_not_set_is_a_secret_null(world: World) -> None:
    hint = 'resource "rec_hint" "a" {\n  name = "a"\n}\n'
    world.write(hint + output("rec_hint.a.hint"))
    [found] = refused(world.plan)
    assert found.summary == "Sensitive value in an output"
    for _ in ("create", "stays"):
        world.apply(hint + output("nonsensitive(rec_hint.a.hint) == null"))
        assert world.snapshot.outputs["o"].value is True


def test_while_a_provider_that_plans_cannot_be_asked_nothing_is_null(world: World) -> None:
    other = PROVIDER.format(folder=world.recorder.folder, more="\n    region = rec_planned.a.uid")
    world.write(
        BARE
        + other.replace('"rec"', '"other"')
        + 'resource "rec_deciding" "d" {\n  provider = other\n  name = "d"\n}\n'
        + 'resource "rec_planned" "b" {\n  name = "b"\n  note = rec_deciding.d.note\n}\n'
    )
    assert (change(world.plan(), "rec_planned.b").after or {})["note"] == Unknown()
    world.apply()
    assert world.recorded["rec_planned.b"].attributes["note"] == "decided in uid-of-a"
    assert not world.plan().has_changes


# -- run ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "is_"),
    [
        ('coalesce(rec_planned.a.note, "none")', "none"),
        ('try(rec_planned.a.note, "no such name") == null ? "none" : "some"', "none"),
        ('join(" ", keys(rec_planned.a))', "labels name note size tags uid zone"),
        ('coalesce(concat([for o in rec_planned.k : o.note], ["none"])...)', "none"),
        ('coalesce(rec_planned.k["x"].note, "none")', "none"),
        ('join(" ", [for name, value in rec_composite.a.zones.north : name if value == null])', "cpus"),
    ],
)
def test_a_task_runs_with_what_it_was_applied_with(world: World, region: str, is_: str) -> None:
    keyed = 'resource "rec_planned" "k" {\n  for_each = toset(["x"])\n  name = "k"\n}\n'
    objects = BARE + keyed + COMPOSITE.replace("grown  = { memory = 1 }", "")
    world.apply(objects)  # what a task refers to is known when it is planned
    world.apply(objects + world.task("one", more=f"region = {region}"))
    assert not world.plan().has_changes
    [flow] = flows(world)
    assert flow.output.config_json["region"] == is_


def test_a_task_that_refers_to_what_is_set_needs_no_other_provider(world: World) -> None:
    world.apply(BARE)
    world.apply(BARE + world.task("one", more='region = "${rec_planned.a.uid} ${join(" ", rec_planned.a.tags)}"'))
    (world.folder / "bin" / "rec").write_text("#!/bin/sh\ntouch started\n")
    [flow] = flows(world)
    assert flow.output.config_json["region"] == "uid-of-a "
    assert not (world.folder / "started").exists()


def test_without_the_provider_that_knows_it_is_said_what_is_missing(world: World) -> None:
    world.apply(BARE)
    world.apply(BARE + world.task("one", more='region = coalesce(rec_planned.a.note, "none")'))
    (world.folder / "bin" / "rec").unlink()
    text = said(refused(lambda: flows(world)))
    assert 'no attribute "note"' in text and "Provider not found" in text
