"""How long a provider may take: by the configuration, by a task's provider, as recorded; and what if it takes longer.

Only what never ends by itself is given a short time, so that no test depends on how fast the machine is.
"""

import time
from types import SimpleNamespace

import pytest

from dstream.engine.apply import recovery
from dstream.engine.commands.validate import lint
from dstream.engine.setup.operation import OperationInputs
from dstream.plugins import Answer, session
from dstream_state import Timeouts
from tests.services.recorder.store import SETTLE
from tests.services.recorder.world import World, refused, said

USUAL = 1800
OUT = "task.copy.output"
PART = f'{OUT}.rec_planned["t"]'


def block(timeouts: str, name: str = "a", more: str = "", kind: str = "rec_planned") -> str:
    inner = f"  timeouts {{\n{timeouts}\n  }}\n" if timeouts else ""
    return f'resource "{kind}" "{name}" {{\n  name = "{name}"\n{more}{inner}}}\n'


def times(world: World, *commands: str) -> list[tuple[str, float]]:
    """Return the timeouts of the calls so far, and forget them."""
    found = [(str(call), call.more["timeout"]) for call in world.recorder.calls(*commands)]
    world.recorder.forget_calls()
    return found


def test_each_change_has_the_time_that_its_block_gives_it(world: World) -> None:
    text = block('    create = "1h30m"\n    update = "90s"\n    delete = "2h"') + block('    update = "1m"', "b")
    world.apply(text)
    assert sorted(times(world, "create")) == [("create a", 5400), ("create b", USUAL)]
    world.apply(text.replace('name = "a"', 'name = "a"\n  size = 2').replace('name = "b"', 'name = "b"\n  size = 2'))
    assert sorted(times(world, "update")) == [("update a", 90), ("update b", 60)]
    world.apply("")
    assert sorted(times(world, "delete")) == [("delete a", 7200), ("delete b", USUAL)]


def test_a_time_may_be_any_expression_that_is_known_at_plan(world: World) -> None:
    world.apply(
        """
variable "slow" {
  type    = bool
  default = true
}
locals {
  minutes = { x = 5, y = 10 }
}
resource "rec_planned" "a" {
  for_each = local.minutes
  name     = each.key
  timeouts {
    create = "${each.value}m"
    delete = var.slow ? "3h" : null
    update = var.slow ? null : "3h"
  }
}
"""
    )
    assert sorted(times(world, "create")) == [("create x", 300), ("create y", 600)]
    assert world.recorded['rec_planned.a["y"]'].timeouts == Timeouts(create=600.0, delete=10800.0)


def test_what_replaces_and_what_is_replaced_have_their_times(world: World) -> None:
    before, now = '    delete = "5m"', '    create = "10m"\n    delete = "20m"'
    for more, step in (("", "first"), ("  lifecycle {\n    create_before_destroy = true\n  }\n", "then")):
        world.apply(block(before, more=f'  zone = "{step} one"\n{more}', kind="rec_blind"))
        world.recorder.forget_calls()
        world.apply(block(now, more=f'  zone = "{step} two"\n{more}', kind="rec_blind"))
        assert {(call.partition(" ")[0], time) for call, time in times(world, "create", "delete")} == {
            ("create", 600),
            ("delete", 1200),
        }


def test_other_times_alone_are_no_change_and_are_recorded(world: World) -> None:
    world.apply(block('    delete = "1h"'))
    world.write(block('    delete = "2h"'))
    assert not world.plan().has_changes
    assert world.recorded["rec_planned.a"].timeouts == Timeouts(delete=3600.0)
    world.apply()
    assert world.recorded["rec_planned.a"].timeouts == Timeouts(delete=7200.0)
    assert world.recorder.changes() == ["created a"]
    world.apply(block('    delete = "2h"').replace('name = "a"', 'name = "a"\n  size = 2'))
    world.apply("")
    assert times(world, "delete") == [("delete a", 7200)]


def test_a_destroy_goes_by_what_the_configuration_says_now(world: World) -> None:
    world.apply(block('    delete = "1s"') + block('    delete = "1s"', "b"))
    world.write(block('    delete = "2h"') + block("", "b"))
    world.apply(destroy=True)
    assert sorted(times(world, "delete")) == [("delete a", 7200), ("delete b", USUAL)]


def test_an_instance_that_is_one_too_many_goes_by_what_can_be_said_of_it(world: World) -> None:
    text = """
resource "rec_planned" "{name}" {{
  for_each = toset([{keys}])
  name     = "{name}${{each.key}}"
  timeouts {{
    delete = {delete}
  }}
}}
"""
    by_key = 'each.key == "x" ? "1m" : "2m"'
    world.apply(text.format(name="a", keys='"x", "y"', delete=by_key))
    world.apply(text.format(name="a", keys='"x"', delete=by_key))
    assert times(world, "delete") == [("delete ay", 120)]
    world.write(text.format(name="a", keys='"x"', delete='each.key == "x" ? "3m" : "2m"'))
    world.apply(destroy=True)
    assert times(world, "delete") == [("delete ax", 180)]


def test_reading_has_its_time_too_from_the_next_apply_on(world: World) -> None:
    world.apply(block('    read = "5m"') + block("", "b"))
    assert dict(times(world, "read"))["read a"] == 300
    world.plan()
    assert sorted(times(world, "read"), key=str) == [("read a", 300), ("read b", None)]


WRONG = {
    '"30 minutes"': ("Wrong timeout", '"30 minutes" is not a duration'),
    '"1d"': ("Wrong timeout", "the units are h, m, s and ms"),
    '""': ("Wrong timeout", "is not a duration"),
    "600": ("Wrong timeout", '"600s" is 600 seconds'),
    '"0s"': ("Wrong timeout", "1ms at least"),
    '"-5m"': ("Wrong timeout", "1ms at least"),
    '"8761h"': ("Wrong timeout", "8760h (a year) at most"),
    f'"{"9" * 5000}h"': ("Wrong timeout", f'"{"9" * 40}...". A provider'),
    "true": ("Wrong timeout", "as a text"),
    '["1h"]': ("Wrong timeout", "as a text"),
    'env("PATH")': ("Sensitive timeout", 'create = nonsensitive(env("PATH"))'),
    "local.none": ("Unknown local", "none"),
}


@pytest.mark.parametrize("value", WRONG)
def test_a_wrong_time_is_refused_with_its_place_by_plan_and_by_lint(world: World, value: str) -> None:
    summary, detail = WRONG[value]
    world.write(block(f"    create = {value}"))
    found = refused(world.plan)
    linted = lint(OperationInputs(config=world.folder)).diagnostics
    for [each] in (found, [d for d in linted if d.severity == "error"]):
        assert each.summary == summary and detail in each.detail, each
        assert each.subject is not None and world.operation().config.sources[each.subject.filename][
            each.subject.start.offset : each.subject.end.offset
        ] in (value, "none")
    assert world.recorder.objects() == {}


def test_all_wrong_times_are_told_at_once(world: World) -> None:
    world.write(block('    create = 1\n    delete = "x"') + block('    update = "y"', "b"))
    assert len(refused(world.plan)) == 3


def test_a_time_that_depends_on_what_will_be_is_refused_and_not_by_lint(world: World) -> None:
    world.write(block("") + block("    create = rec_planned.a.uid", "b"))
    [found] = refused(world.plan)
    assert (found.summary, found.subject.start.line if found.subject else 0) == ("Unknown timeout", 14)
    assert lint(OperationInputs(config=world.folder)).valid


@pytest.mark.parametrize(
    ("timeouts", "said_of_it"),
    [
        ('    craete = "1h"', 'has no argument "craete". Did you mean "create"?'),
        ('    default = "1h"', "It takes: create, delete, read, update"),
        ("    create {}", '"create" is an argument here'),
        ('  }\n  timeouts {\n    create = "1h"', "takes only one"),
    ],
)
def test_what_a_timeouts_block_does_not_have_is_refused(world: World, timeouts: str, said_of_it: str) -> None:
    world.write(block(timeouts))
    assert said_of_it in said(refused(world.plan))
    world.write(world.task("t").rstrip().removesuffix("}") + f"  timeouts {{\n{timeouts}\n  }}\n}}\n")
    assert said_of_it in said(refused(world.plan))


def test_an_argument_of_that_name_belongs_to_the_type(world: World) -> None:
    world.write('resource "rec_planned" "a" {\n  name = "a"\n  timeouts = { create = "1h" }\n}\n')
    assert "rec_planned does not take timeouts" in said(refused(world.plan))


def test_what_only_timeouts_use_is_used(world: World) -> None:
    world.write('locals {\n  slow = "2h"\n}\n' + block("    create = local.slow"))
    assert lint(OperationInputs(config=world.folder)).diagnostics == ()


# -- tasks -----------------------------------------------------------------------------------------------


def timed(task: str, timeouts: str) -> str:
    return task.rstrip().removesuffix("}") + f"  timeouts {{\n{timeouts}\n  }}\n}}\n"


def test_the_provider_of_a_task_says_how_long_and_the_configuration_has_the_last_word(world: World) -> None:
    asking = world.task("t", more="patience = 60")
    world.apply(asking)
    assert dict(times(world, "create")) == {
        "create part-t": 60,
        "create box-x": USUAL,
        "create stream-t": USUAL,
        "create slot-copy": USUAL,
    }
    assert world.recorded[PART].timeouts == Timeouts(create=60.0, delete=120.0)
    world.apply(timed(asking, '    create = "10m"\n    update = "20m"'))
    assert world.recorded[PART].timeouts == Timeouts(create=600.0, update=1200.0, delete=120.0)
    assert world.recorded[f'{OUT}.rec_table["box"]'].timeouts == Timeouts(create=600.0, update=1200.0)
    world.apply(timed(world.task("t", "u", more="patience = 60"), '    create = "10m"'))
    assert dict(times(world, "create"))["create part-u"] == 600


def test_what_a_task_wants_no_more_goes_by_what_was_recorded_unless_its_block_says_otherwise(world: World) -> None:
    world.apply(world.task("t", "u", "v", more="patience = 60"))
    world.apply(world.task("t", "u", more="patience = 60"))
    assert dict(times(world, "delete")) == {"delete part-v": 120, "delete stream-v": USUAL}
    world.apply(timed(world.task("t", more="patience = 60"), '    delete = "5m"'))
    assert dict(times(world, "delete")) == {"delete part-u": 300, "delete stream-u": 300}
    world.write(world.task("t", more="patience = 60"))
    world.apply(destroy=True)
    assert dict(times(world, "delete"))["delete part-t"] == 300


def test_a_task_whose_block_is_gone_goes_by_what_was_recorded(world: World) -> None:
    world.apply(world.task("t", more="patience = 60"))
    world.apply("")
    assert dict(times(world, "delete"))["delete part-t"] == 120


SLEEPY = """
task "old" {
  input {
    provider_path = "./bin/rec-in"
    config {
      folder = "FOLDER"
    }
  }
  output {
    provider_path = "./bin/sleepy"
  }
  timeouts {
    create = "1s"
  }
}
"""


@pytest.mark.processes
def test_an_output_of_version_1_is_given_up_as_well(world: World) -> None:
    program = world.recorder.bin / "sleepy"
    program.write_text('#!/bin/sh\n[ -n "$DSTREAM_PROBE" ] && exit 0\nread -r opening\nexec sleep 1000\n')
    program.chmod(0o755)
    world.write(SLEEPY.replace("FOLDER", str(world.recorder.folder)))
    [found] = [each for each in world.attempt().diagnostics if each.address == "task.old.output.lifecycle"]
    assert found.summary == "Change timeout"
    assert 'timeouts { create = "2s" } in the block task.old' in found.detail
    assert "task.old.output.lifecycle" not in world.recorded


# -- out of time -----------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the host wait hardly longer than the timeout."""
    monkeypatch.setattr(session, "GRACE_SECONDS", 0.2)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["rec_planned", "rec_marked"])
def test_a_creation_that_takes_too_long_is_given_up_and_looked_up(world: World, kind: str) -> None:
    world.write(block('    create = "1s"', kind=kind))
    world.recorder.on("create", "a", gate="never")
    outcome = world.attempt()
    [found] = outcome.diagnostics
    assert (found.summary, found.address) == ("Change timeout", f"{kind}.a")
    assert "The provider had 1s to create this object" in found.detail
    assert f'timeouts {{ create = "2s" }} in the block {kind}.a' in found.detail
    assert "rec was killed" in found.detail and found.subject is not None
    assert world.told.of("recovered") == [f"{kind}.a: was not created"]
    assert world.snapshot.intents == {} and world.in_step()
    world.recorder.behave()
    world.apply(block('    create = "1h"', kind=kind))
    assert world.recorder.names() == ["a"] and world.in_step()


@pytest.mark.usefixtures("impatient")
def test_changes_and_removals_that_take_too_long_are_looked_up_too(world: World) -> None:
    text = block('    update = "1s"\n    delete = "1s"')
    world.apply(text)
    world.recorder.on("update", "a", gate="never")
    world.write(text.replace('name = "a"', 'name = "a"\n  size = 2'))
    assert "had 1s to update" in said(world.attempt().diagnostics)
    assert world.recorded["rec_planned.a"].attributes["size"] == 1 and world.in_step()
    world.recorder.on("delete", "a", gate="never")
    world.write("")
    told = said(world.attempt().diagnostics)
    assert "had 1s to destroy this object" in told and 'delete = "2s"' in told
    assert "put the block rec_planned.a back" in told and "dstream destroy -target=rec_planned.a" in told
    assert world.recorder.names() == ["a"] and world.in_step()
    world.write(text)
    told = said(world.attempt(destroy=True).diagnostics)
    assert 'apply again with timeouts { delete = "2s" } in the block rec_planned.a' in told
    world.recorder.behave()
    world.apply("")
    assert world.recorder.names() == [] and world.in_step()


@pytest.mark.usefixtures("impatient")
def test_an_intent_stays_open_until_its_provider_can_be_asked(world: World) -> None:
    world.write(block('    create = "1s"\n    delete = "2h"', kind="rec_marked"))
    world.recorder.on("create", "a", gate="never")
    world.recorder.on("find", "rec_marked.a", crash="before")
    told = said(world.attempt().diagnostics)
    assert "Change timeout" in told and "Unknown outcome of a change" in told
    [intent] = world.snapshot.intents.values()
    assert (intent.action, intent.timeout, intent.timeouts) == ("create", 1.0, Timeouts(create=1.0, delete=7200.0))
    world.recorder.behave()
    # On the far side it was made all the same.
    world.recorder.put("rec_marked", "a")
    path = world.recorder.folder / "objects" / "rec_marked a.json"
    path.write_text(path.read_text().replace('"intent": null', f'"intent": "{intent.id}"'))
    world.apply("")
    assert world.told.of("recovered") == ["rec_marked.a: was created"]
    assert times(world, "delete") == [("delete a", 7200)], "what was looked up has the times of its intent"
    assert world.recorder.names() == [] and world.in_step()


@pytest.mark.usefixtures("impatient")
def test_what_is_not_there_right_after_it_was_given_up_may_come_yet(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(block('    create = "1s"'))
    world.recorder.on("create", "a", gate="never")
    statuses = []
    ask = recovery._InterruptedChange._status
    clock = SimpleNamespace(now=time.time(), time=lambda: clock.now, sleep=lambda seconds: None)

    def ask_and_make(case: recovery._InterruptedChange, identity: object) -> Answer:
        answer = ask(case, identity)
        statuses.append(answer.status)
        world.recorder.put("rec_planned", "a")
        clock.now = time.time() + SETTLE  # an answer that comes late says how it was when it was asked for
        return answer

    monkeypatch.setattr(recovery, "time", clock)
    monkeypatch.setattr(recovery._InterruptedChange, "_status", ask_and_make)
    world.attempt()
    assert statuses == ["gone", "ok"]
    assert world.told.of("recovered") == ["rec_planned.a: was created"]
    assert world.in_step()


@pytest.mark.usefixtures("impatient")
def test_what_was_under_way_beside_it_is_told_why_and_looked_up(world: World) -> None:
    world.write(block('    create = "1s"', kind="rec_marked") + block("", "b", kind="rec_marked"))
    world.recorder.on("create", "any", gate="never")
    found = {each.address: each for each in world.attempt().diagnostics}
    assert found["rec_marked.a"].summary == "Change timeout"
    assert found["rec_marked.b"].summary == "No response from provider"
    assert "an answer to init rec_marked rec_marked.a" in found["rec_marked.b"].detail
    assert len(world.told.of("recovered")) == 2
    assert world.snapshot.intents == {} and world.in_step()
