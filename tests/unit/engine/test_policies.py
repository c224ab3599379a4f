"""Policies: what a `policy` block does not allow is shown by plan and refused by apply, whoever wrote the plan."""

import pytest

from dstream.cli.main import _run
from dstream.cli.render.plan import policy_line
from dstream.diagnostics import Severity
from dstream.engine.setup import machine_policies
from tests.services.recorder.world import World, refused

A = 'resource "rec_table" "a" {\n  name = "a"\n  size = 1\n}\n'


def policy(condition: str, *, message: str = '"not allowed"', more: str = "") -> str:
    return (
        f'policy "rule" {{\n{more}\n  require {{\n    condition     = {condition}\n    '
        f"error_message = {message}\n  }}\n}}\n"
    )


KEEPS = policy('alltrue([for c in plan.changes : !contains(c.actions, "delete")])', message='"nothing is destroyed"')


@pytest.fixture(autouse=True)
def system(tmp_path, monkeypatch):
    """The folder of the machine's policies, empty."""
    folder = tmp_path / "machine"
    monkeypatch.setattr(machine_policies, "SYSTEM", folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    return folder


def test_a_plan_shows_what_a_policy_does_not_allow_and_apply_refuses_it(world: World) -> None:
    world.apply(A + KEEPS)
    world.write(KEEPS)
    plan = world.plan()
    assert [(each.name, each.met) for each in plan.policies] == [("rule", False)]
    assert not plan.to_json()["applyable"]
    assert policy_line(plan) == "Policies: 0 met, 1 not met: rule."
    (problem,) = plan.diagnostics
    assert (problem.summary, problem.detail, problem.severity) == (
        "Policy violation",
        "nothing is destroyed",
        Severity.ERROR,
    )
    (problem,) = refused(world.attempt)
    assert problem.detail == "nothing is destroyed" and world.recorder.names() == ["a"]


def test_an_advisory_policy_warns(world: World) -> None:
    advisory = KEEPS.replace("{", '{\n  enforcement = "advisory"', 1)
    world.apply(A)
    world.write(advisory)
    assert world.plan().allowed
    assert world.attempt().approved and world.recorder.names() == []


@pytest.mark.parametrize(
    "condition",
    [
        "plan.counts.add == 1",
        'plan.changes[0].address == "rec_table.a" && plan.changes[0].type == "rec_table"',
        'plan.changes[0].action == "create" && plan.changes[0].before == null && plan.changes[0].after.size == 1',
        'plan.mode == "normal" && plan.workspace == "default"',
        'contains(["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"], plan.time.weekday)',
        "plan.time.hour >= 0 && plan.time.hour < 24",
        'length(plan.tasks) == 1 && plan.tasks[0].actions[0] == "create"',
        "var.limit > plan.counts.add && local.yes",
    ],
)
def test_a_condition_sees_the_plan(world: World, condition: str) -> None:
    more = 'variable "limit" {\n  default = 10\n}\nlocals {\n  yes = true\n}\n'
    task = world.task("t")
    world.write(A + more + (task if "tasks" in condition else "") + policy(condition))
    assert world.plan().policies[0].met


@pytest.mark.parametrize(
    ("condition", "summary"),
    [
        ("plan.changes[0].after.uid == 1", "Policy undecided"),
        ("plan.changes[7].address == 1", None),
        ("plan.nothing", None),
        ("rec_table.a.size == 1", None),
        ('"perhaps"', "Invalid condition"),
        ("null", "Invalid condition"),
    ],
)
def test_a_condition_that_cannot_be_held_counts_as_not_met(world: World, condition: str, summary: str | None) -> None:
    world.write(A + policy(condition))
    plan = world.plan()
    assert not plan.allowed
    assert all(each.address == "policy.rule" for each in plan.diagnostics)
    assert summary is None or plan.diagnostics[0].summary == summary
    assert refused(world.attempt) and world.recorder.names() == []


def test_a_secret_is_a_text_to_a_condition(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZONE", "hidden-zone")
    shown = policy("false", message="plan.changes[0].after.zone")
    world.write(A.replace("size", 'zone = env("ZONE")\n  size') + shown)
    plan = world.plan()
    assert plan.diagnostics[0].detail == "(sensitive value)"


def test_the_time_is_that_of_the_time_zone(world: World) -> None:
    zoned = policy("false", message="plan.time.timestamp", more='  time_zone = "Asia/Kolkata"')
    world.write(zoned)
    assert world.plan().diagnostics[0].detail.endswith("+05:30")
    for wrong in ("Mars/Olympus", "../../etc/passwd", ""):
        world.write(zoned.replace("Asia/Kolkata", wrong))
        assert not world.plan().allowed


def test_the_policies_of_the_machine_hold_whatever_the_configuration_says(world: World, system, capsys) -> None:
    system.mkdir()
    (system / "keep.hcl").write_text(KEEPS)
    world.apply(A)
    world.write(policy("true") + "locals {\n  plan = 1\n}\n")
    assert [each.met for each in world.plan().policies] == [False, True]
    assert refused(world.attempt)[0].detail == "nothing is destroyed"
    assert refused(lambda: world.attempt(destroy=True))[0].detail == "nothing is destroyed"
    (system / "keep.hcl").write_text(policy("local.yes"))
    world.write("locals {\n  yes = true\n}\n")
    assert not world.plan().allowed


@pytest.mark.parametrize(
    "text", ['policy "x" {\n', "locals {\n  a = 1\n}\n", 'policy "x" {\n}\n', "x = 1\n", b"\xff", KEEPS + KEEPS]
)
def test_an_invalid_policy_of_the_machine_allows_nothing(world: World, system, text: str | bytes) -> None:
    system.mkdir()
    (system / "wrong.hcl").write_bytes(text if isinstance(text, bytes) else text.encode())
    world.write(A)
    assert refused(world.plan) and refused(world.attempt)


def test_a_saved_plan_is_held_against_the_policies_when_it_is_applied(
    world: World, system, monkeypatch, capsys
) -> None:
    world.apply(A)
    world.write("")
    monkeypatch.chdir(world.folder)
    assert _run(["plan", "-out=p.plan"]) == 0
    system.mkdir()
    (system / "keep.hcl").write_text(KEEPS)
    assert _run(["apply", "p.plan", "-allow-data-loss"]) == 1
    assert "nothing is destroyed" in capsys.readouterr().err
    assert _run(["plan", "-detailed-exitcode"]) == 1
    assert _run(["plan", "-out=q.plan"]) == 1
    assert _run(["apply", "q.plan", "-allow-data-loss"]) == 1
    (system / "keep.hcl").unlink()
    assert _run(["apply", "q.plan", "-allow-data-loss"]) == 0
    assert world.recorder.names() == []


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ('policy "x" {\n}\n', "Missing require"),
        (policy("true", more='  enforcement = "perhaps"'), "Invalid enforcement"),
        (policy("true", more="  enforcement = local.a"), "Plain text expected"),
        (policy("true") + policy("false"), "Declared twice"),
    ],
)
def test_a_mistake_in_a_policy_is_an_error(world: World, text: str, summary: str) -> None:
    world.write(text)
    found = refused(world.plan)
    assert summary in {each.summary for each in found}


@pytest.mark.processes
def test_the_policies_of_the_machine_hold_for_a_plan_of_an_untrusted_configuration(
    world: World, system, monkeypatch, capsys
) -> None:
    system.mkdir()
    (system / "few.hcl").write_text(policy("length(plan.outputs) == 0", message='"no outputs"'))
    (world.folder / "dstream.hcl").write_text('output "a" {\n  value = 1\n}\n')
    monkeypatch.chdir(world.folder)
    assert _run(["plan", "-untrusted"]) == 1
    printed = capsys.readouterr()
    assert "no outputs" in printed.out + printed.err
