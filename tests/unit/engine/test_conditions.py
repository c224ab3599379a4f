"""`precondition`, `postcondition` and `check`: what they stop, what they only say, and when they are asked."""

import pytest

from dstream.diagnostics import Severity
from dstream.engine.commands.validate import lint
from dstream.engine.setup.operation import OperationInputs
from tests.services.recorder.world import World, refused, said

HEAD = 'variable "size" {\n  type = number\n  default = 1\n}\n'
OBJECT = 'resource "rec_planned" "a" {{\n  name = "a"\n  size = var.size\n  lifecycle {{\n{conditions}\n  }}\n}}\n'
SMALL = '    {kind} {{\n      condition = {condition}\n      error_message = "{message}"\n    }}'
CHECK = """
check "small" {{
  assert {{
    condition     = {condition}
    error_message = "Too large: ${{var.size}}."
  }}
}}
"""


def an_object(kind: str, condition: str, message: str = "No.") -> str:
    return HEAD + OBJECT.format(conditions=SMALL.format(kind=kind, condition=condition, message=message))


def test_a_precondition_that_does_not_hold_stops_the_plan(world: World) -> None:
    world.write(an_object("precondition", "var.size < 5", "Size ${var.size} is too much."))
    assert world.plan().has_changes
    [found] = refused(lambda: world.plan(variables={"size": "7"}))
    assert (found.summary, found.detail, found.address) == (
        "Precondition not met", "Size 7 is too much.", "rec_planned.a",
    )  # fmt: skip
    assert (
        found.subject is not None
        and world.folder.joinpath("dstream.hcl").read_text()[found.subject.start.offset : found.subject.end.offset]
        == "var.size < 5"
    )


def test_a_precondition_knows_each(world: World) -> None:
    world.write(
        'resource "rec_planned" "a" {\n  for_each = toset(["x", "yy"])\n  name = each.key\n  lifecycle {\n'
        '    precondition {\n      condition = length(each.key) == 1\n      error_message = "${each.key} is long."\n'
        "    }\n  }\n}\n"
    )
    [found] = refused(world.plan)
    assert (found.address, found.detail) == ('rec_planned.a["yy"]', "yy is long.")


def test_a_precondition_that_only_apply_knows_stops_before_the_object_is_touched(world: World) -> None:
    world.write(
        'resource "rec_planned" "first" {\n  name = "first"\n}\n'
        'resource "rec_planned" "a" {\n  name = "a"\n  lifecycle {\n    precondition {\n'
        '      condition = rec_planned.first.uid != "uid-of-first"\n      error_message = "It is that one."\n'
        "    }\n  }\n}\n"
    )
    assert world.plan().has_changes
    outcome = world.attempt()
    assert outcome.failed and said(outcome.diagnostics) == "rec_planned.a Precondition not met: It is that one."
    assert world.recorder.names() == ["first"]


def test_a_postcondition_is_asked_of_what_is_planned(world: World) -> None:
    world.write(an_object("postcondition", "self.size < 5", "${self.name} is too large."))
    [found] = refused(lambda: world.plan(variables={"size": "7"}))
    assert (found.summary, found.detail) == ("Postcondition not met", "a is too large.")
    world.apply()


def test_a_postcondition_of_what_became_keeps_the_object_and_stops_what_needs_it(world: World) -> None:
    world.write(
        an_object("postcondition", 'self.uid != "uid-of-a"', "That uid again.")
        + 'resource "rec_planned" "next" {\n  name = "after-${rec_planned.a.uid}"\n}\n'
    )
    outcome = world.attempt()
    assert outcome.failed and "Postcondition not met: That uid again." in said(outcome.diagnostics)
    assert world.recorder.names() == ["a"] and world.in_step()
    [found] = refused(world.plan)
    assert found.summary == "Postcondition not met"


def test_a_task_with_a_precondition_that_does_not_hold_is_not_planned(world: World) -> None:
    task = world.task("t").replace(
        "  output {",
        "  lifecycle {\n" + SMALL.format(kind="precondition", condition="var.size < 5", message="Not now.") + "\n  }\n"
        "  output {",
        1,
    )
    world.write(HEAD + task)
    assert world.plan().has_changes
    [found] = refused(lambda: world.plan(variables={"size": "7"}))
    assert (found.summary, found.detail, found.address) == ("Precondition not met", "Not now.", "task.copy")


@pytest.mark.processes
def test_a_check_warns_in_plan_and_apply_and_stops_nothing(world: World) -> None:
    world.write(an_object("precondition", "true") + CHECK.format(condition="var.size < 5"))
    assert world.plan().diagnostics == ()
    for variables in ({"size": "7"}, {"size": "7"}):
        [found] = world.plan(variables=variables).diagnostics
        assert (found.severity, found.summary, found.detail, found.address) == (
            Severity.WARNING, "Failed check", "Too large: 7.", "check.small",
        )  # fmt: skip
        outcome = world.attempt(variables=variables)
        assert not outcome.failed and [d.detail for d in outcome.diagnostics] == ["Too large: 7."]
    assert world.recorder.names() == ["a"]


def test_a_check_of_what_only_apply_knows_is_asked_afterwards(world: World) -> None:
    world.write(an_object("precondition", "true") + CHECK.format(condition='rec_planned.a.uid != "uid-of-a"'))
    assert world.plan().diagnostics == ()
    assert [d.summary for d in world.attempt().diagnostics] == ["Failed check"]


def test_an_output_with_a_precondition_that_does_not_hold_stops_the_plan(world: World) -> None:
    world.write(
        HEAD + 'output "o" {\n  value = var.size\n  precondition {\n    condition = var.size < 5\n'
        '    error_message = "Not shown."\n  }\n}\n'
    )
    assert world.plan().outputs[0].after == 1
    [found] = refused(lambda: world.plan(variables={"size": "7"}))
    assert (found.summary, found.address) == ("Precondition not met", "output.o")


@pytest.mark.parametrize(
    ("text", "severity", "says"),
    [
        (an_object("precondition", "var.size > 5"), Severity.ERROR, "No."),
        (an_object("postcondition", "self.size > 5 && local.nope"), Severity.ERROR, "There is no local.nope"),
        (an_object("precondition", "true") + CHECK.format(condition="var.size > 5"), Severity.WARNING, "Too large"),
        (an_object("precondition", '"yes"'), Severity.ERROR, "true or false"),
    ],
)
def test_lint_evaluates_conditions_as_far_as_they_are_known(world: World, text, severity, says) -> None:
    world.write(text)
    found, *more = lint(OperationInputs(config=world.folder, variables={"size": "1"})).diagnostics
    assert more == [], said(more)
    assert found.severity is severity and says in found.detail


def test_what_only_conditions_use_is_used(world: World) -> None:
    world.write("locals {\n  limit = 5\n}\n" + an_object("precondition", "var.size < local.limit"))
    assert lint(OperationInputs(config=world.folder)).diagnostics == ()
    world.write("locals {\n  limit = 5\n}\n" + HEAD + CHECK.format(condition="var.size < local.limit"))
    assert lint(OperationInputs(config=world.folder)).diagnostics == ()
