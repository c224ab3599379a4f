"""Providers that die, applies that are stopped, and two of them at once: nothing that exists is forgotten."""

import threading
import time

import pytest

from dstream.engine.apply.apply import ApplyOptions, Outcome, apply
from dstream.engine.apply.step_request import RunningStep
from dstream.engine.apply.step_result import StepResults
from dstream.plan import Action, DriftKind
from dstream.plugins import Answer
from dstream_state import ObjectState, StateLocked
from tests.events import PATIENCE, until
from tests.services.recorder.world import Told, World, actions, refused, said


def blocks(kind: str, *names: str) -> str:
    return "".join(f'resource "{kind}" "{name}" {{\n  name = "{name}"\n}}\n' for name in names)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["rec_planned", "rec_marked"])
def test_a_provider_that_dies_while_it_creates_is_asked_again_in_the_same_apply(
    world: World, kind: str, when: str
) -> None:
    world.write(blocks(kind, "a"))
    world.recorder.on("create", "a", crash=when, times=1)
    outcome = world.attempt()
    assert "Unexpected provider exit" in said(outcome.diagnostics), said(outcome.diagnostics)
    assert world.told.of("recovered") == [f"{kind}.a: was {'' if when == 'after' else 'not '}created"]
    assert world.snapshot.intents == {}
    assert world.recorder.names() == (["a"] if when == "after" else [])
    assert world.in_step()
    world.apply()
    assert world.recorder.names() == ["a"]
    assert world.in_step()
    assert not world.plan().has_changes


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_nobody_can_tell_is_unresolved_and_neither_made_again_nor_destroyed(world: World, when: str) -> None:
    world.write(blocks("rec_blind", "a") + blocks("rec_planned", "b"))
    world.recorder.on("create", "a", crash=when, times=1)
    world.attempt()
    assert world.recorded["rec_blind.a"].status == "unresolved"
    made = len([name for name in world.recorder.names() if name == "a"])
    assert made == (1 if when == "after" else 0)
    for run in (world.plan, world.attempt, lambda: world.plan(destroy=True)):
        found = refused(run)
        assert [(each.summary, each.address) for each in found] == [("Unresolved object", "rec_blind.a")]
    assert len([name for name in world.recorder.names() if name == "a"]) == made
    assert "import" in found[0].detail and "state rm" in found[0].detail


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["rec_planned", "rec_blind"])
def test_a_provider_that_dies_while_it_destroys_or_changes_is_recovered_from(
    world: World, kind: str, when: str
) -> None:
    text = blocks(kind, "a", "b")
    world.apply(text)
    identities = {name: str(next(iter(world.recorded[f"{kind}.{name}"].identity.values()))) for name in "ab"}
    world.recorder.on("update", identities["a"], crash=when, times=1)
    world.write(text.replace('name = "a"', 'name = "a"\n  size = 2'))
    world.attempt()
    assert world.recorded[f"{kind}.a"].attributes["size"] == (2 if when == "after" else 1)
    world.apply()
    world.recorder.on("delete", identities["b"], crash=when, times=1)
    world.write(blocks(kind, "a"))
    world.attempt()
    assert world.in_step()
    assert world.recorder.names() == (["a"] if when == "after" else ["a", "b"])
    world.apply()
    assert world.recorder.names() == ["a"]
    assert world.in_step()


def test_all_that_was_under_way_when_a_provider_died_is_looked_up(world: World) -> None:
    names = [f"n{number:02}" for number in range(12)]
    world.write(blocks("rec_marked", *names))
    for name in names[:6]:
        world.recorder.on("create", name, slow=0.05)
    world.recorder.on("create", names[8], slow=0.1, crash="before", times=1)
    outcome = world.attempt()
    assert outcome.diagnostics
    assert world.in_step()
    world.recorder.behave()
    world.apply()
    assert world.recorder.names() == names
    assert world.in_step()


def test_a_change_that_cannot_be_looked_up_now_is_looked_up_by_the_next_apply(world: World) -> None:
    world.write(blocks("rec_marked", "a", "b"))
    world.recorder.on("create", "a", crash="after", times=1)
    world.recorder.on("find", "rec_marked.a", crash="before")
    found = said(world.attempt(parallelism=1).diagnostics)
    assert "Unknown outcome of a change" in found
    assert [intent.address for intent in world.snapshot.intents.values()] == ["rec_marked.a"]
    assert world.recorder.names() == ["a", "b"]
    refusal = refused(world.attempt)
    assert [each.summary for each in refusal] == ["Unknown outcome of a change"]
    world.recorder.behave()
    world.apply()
    assert world.told.of("recovered") == ["rec_marked.a: was created"]
    assert world.recorder.names() == ["a", "b"]
    assert world.in_step()


@pytest.mark.parametrize("error_class", ["retriable", "denied"])
def test_an_answer_that_may_be_another_later_decides_nothing(world: World, error_class: str) -> None:
    world.write(blocks("rec_marked", "a"))
    world.recorder.on("create", "a", crash="after", times=1)
    world.recorder.on("find", "rec_marked.a", fail=error_class)
    assert "Unknown outcome of a change" in said(world.attempt().diagnostics)
    world.recorder.behave()
    world.apply()
    assert world.recorder.names() == ["a"]
    assert world.in_step()


def test_one_that_dies_does_not_take_what_it_was_not_asked_yet_along(world: World) -> None:
    world.write(blocks("rec_blind", "a", "b", "c"))
    world.recorder.on("create", "a", crash="before", times=1)
    world.attempt(parallelism=1)
    assert {address: item.status for address, item in world.recorded.items()} == {
        "rec_blind.a": "unresolved",
        "rec_blind.b": "ok",
        "rec_blind.c": "ok",
    }


@pytest.mark.processes
def test_one_that_cannot_start_leaves_nothing_unresolved(world: World) -> None:
    world.write(blocks("rec_blind", "a", "b"))
    program = world.recorder.bin / "rec"
    world.told.on_begun = lambda: program.chmod(0o644)
    assert len(world.attempt().diagnostics) == 2
    assert world.recorded == {}
    assert world.snapshot.intents == {}


def test_a_request_to_stop_lets_what_is_under_way_end_and_starts_nothing_more(world: World) -> None:
    world.write(blocks("rec_planned", "a", "b", "c"))
    world.recorder.on("create", "a", slow=0.3)
    world.told.on_started = lambda address: world.stop.request()
    outcome = world.attempt(parallelism=1)
    assert outcome.diagnostics == ()
    assert outcome.counts["add"] == 1
    assert world.recorder.names() == ["a"]
    assert world.in_step()
    world.told.on_started = lambda address: None
    world.apply()
    assert world.recorder.names() == ["a", "b", "c"]


def test_a_request_to_stop_ends_the_wait_for_another_try(world: World) -> None:
    world.write(blocks("rec_planned", "a"))
    world.recorder.on("create", "a", fail="retriable", retry=3600)
    outcomes: list[Outcome] = []
    runner = threading.Thread(target=lambda: outcomes.append(world.attempt()))
    runner.start()
    until(lambda: world.told.of("retrying"), "the wait for another try")
    world.stop.request()
    runner.join(PATIENCE)
    assert not runner.is_alive()
    assert "Told to fail" in said(outcomes[0].diagnostics)
    assert world.snapshot.intents == {}


def test_a_second_request_kills_at_once_and_the_next_apply_finds_out(world: World) -> None:
    world.write(blocks("rec_marked", "a", "b"))
    world.recorder.on("create", "a", gate="go")

    def stop_twice(address: str) -> None:
        if address == "rec_marked.a":
            world.stop.request()
            world.stop.request()

    world.told.on_started = stop_twice
    began = time.monotonic()
    world.attempt(parallelism=1)
    assert time.monotonic() - began < 100
    world.recorder.behave()
    world.told.on_started = lambda address: None
    world.apply()
    assert world.recorder.names() == ["a", "b"]
    assert world.in_step()


def test_when_reporting_fails_what_is_in_progress_is_awaited_and_recorded(world: World) -> None:
    world.write(blocks("rec_blind", "a", "b", "c"))

    def closed(address: str) -> None:
        raise BrokenPipeError(f"nobody reads {address}")

    world.told.on_started = closed
    with pytest.raises(BrokenPipeError, match="rec_blind"):
        world.attempt()
    assert world.snapshot.intents == {}, "a result was lost, and a blind provider cannot be asked for it"
    assert world.recorded_names() == ["a", "b", "c"]
    assert world.in_step()


def test_an_answer_that_cannot_be_taken_leaves_its_change_open_and_the_others_recorded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(blocks("rec_marked", "a", "b", "c"))
    take = StepResults._object

    def refuse(results: StepResults, running: RunningStep, answer: Answer, status: str) -> ObjectState:
        if running.step.change.address == "rec_marked.a":
            raise ValueError("a value that no state can hold")
        return take(results, running, answer, status)

    monkeypatch.setattr(StepResults, "_object", refuse)
    with pytest.raises(ValueError, match="no state can hold"):
        world.attempt()
    assert [intent.address for intent in world.snapshot.intents.values()] == ["rec_marked.a"]
    assert world.recorded_names() == ["b", "c"]
    monkeypatch.undo()
    world.apply()
    assert world.told.of("recovered") == ["rec_marked.a: was created"]
    assert world.recorder.names() == ["a", "b", "c"]
    assert world.in_step()


def test_of_two_applies_one_waits_and_finds_everything_done(world: World) -> None:
    world.write(blocks("rec_blind", "a", "b"))
    world.recorder.on("create", "a", gate="go")
    outcomes: list[Outcome] = []

    def run(told: Told) -> None:
        options = ApplyOptions(lock_timeout=120)
        outcomes.append(apply(world.operation(), options, lambda plan: True, told, world.stop))

    first, second = Told(), Told()
    one = threading.Thread(target=run, args=(first,))
    one.start()
    until(lambda: first.of("started"), "the first change")
    with pytest.raises(StateLocked):
        apply(world.operation(), ApplyOptions(), lambda plan: True, Told(), world.stop)
    other = threading.Thread(target=run, args=(second,))
    other.start()
    until(lambda: "waiting" in second.lines, "the other apply to wait")
    world.recorder.open_gate("go")
    one.join(120)
    other.join(120)
    assert sorted(outcome.counts.get("add", 0) for outcome in outcomes) == [0, 2]
    assert world.recorder.names() == ["a", "b"]
    assert world.in_step()


def test_a_plan_beside_an_apply_reads_what_is_done_and_changes_nothing(world: World) -> None:
    world.write(blocks("rec_planned", "a", "b"))
    world.recorder.on("create", "b", gate="go")
    runner = threading.Thread(target=world.attempt)
    runner.start()
    until(lambda: "done create rec_planned.a" in world.told.lines, "the record of a change")
    planned = world.plan(refresh=False)
    assert planned.pending > 0
    assert "rec_planned.a" not in actions(planned)
    world.recorder.open_gate("go")
    runner.join(120)
    assert world.in_step()
    assert not world.plan().has_changes


def test_drift_tells_what_was_changed_what_is_missing_and_who_cannot_be_asked(world: World) -> None:
    world.apply(blocks("rec_planned", "a", "b", "c", "d"))
    world.recorder.put("rec_planned", "a", size=7)
    world.recorder.vanish("rec_planned", "b")
    world.recorder.on("read", "c", fail="denied")
    report = world.drift()
    assert report.checked == 4
    assert {drift.address[-1]: drift.kind for drift in report.drifts} == {
        "a": DriftKind.CHANGED,
        "b": DriftKind.MISSING,
        "c": DriftKind.UNREACHABLE,
    }
    before = world.snapshot
    found = refused(world.plan)
    assert [each.address for each in found] == ["rec_planned.c"]
    world.recorder.behave()
    planned = world.plan()
    assert {drift.address[-1]: drift.kind for drift in planned.drifts} == {
        "a": DriftKind.CHANGED,
        "b": DriftKind.MISSING,
    }
    assert actions(planned) == {"rec_planned.a": Action.UPDATE, "rec_planned.b": Action.CREATE}
    assert world.snapshot == before


def test_drift_needs_no_configuration_and_survives_a_dead_provider(world: World) -> None:
    world.apply(blocks("rec_planned", "a", "b"))
    (world.folder / "dstream.hcl").write_text("")
    assert world.drift().drifts == ()
    world.recorder.on("read", "a", crash="before")
    assert {drift.kind for drift in world.drift().drifts} == {DriftKind.UNREACHABLE}
    (world.recorder.bin / "rec").unlink()
    report = world.drift()
    assert [drift.kind for drift in report.drifts] == [DriftKind.UNREACHABLE] * 2
    assert "no such file" in report.drifts[0].detail


SECRET = """
variable "word" {
  type      = string
  sensitive = true
}

resource "rec_marked" "a" {
  name = "a"
  note = "a ${var.word}"
}

resource "rec_planned" "b" {
  name = "b"
  note = rec_marked.a.uid
}
"""


def test_what_is_recorded_of_a_change_that_was_looked_up_has_no_secret_in_it_and_knows_what_it_needs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSTREAM_VAR_word", "planted-5ecret")
    world.write(SECRET)
    for name in "ab":
        world.recorder.on("create", name, crash="after", times=1)
        world.attempt()
    assert world.told.of("recovered") == ["rec_planned.b: was created"]
    assert "a planted-5ecret" in [form.get("note") for form in world.recorder.objects().values()]
    assert b"planted-5ecret" not in world.everything_written()
    assert world.recorded["rec_marked.a"].sensitive == (("note",),)
    assert world.recorded["rec_planned.b"].dependencies == ("rec_marked.a",)
    assert not world.plan().has_changes
    world.recorder.on("delete", "b", slow=0.2)
    world.apply("")
    assert [call.type for call in world.recorder.calls("deleted")] == ["rec_planned", "rec_marked"]


def test_what_an_object_needs_is_recorded_also_when_it_stays_as_it_is(world: World) -> None:
    world.apply(blocks("rec_planned", "a", "b"))
    assert world.recorded["rec_planned.a"].dependencies == ()
    world.apply(
        blocks("rec_planned", "b") + 'resource "rec_planned" "a" {\n  name = "a"\n  depends_on = [rec_planned.b]\n}\n'
    )
    assert world.recorded["rec_planned.a"].dependencies == ("rec_planned.b",)
    world.recorder.on("delete", "a", slow=0.2)
    world.apply("")
    assert world.recorder.changes()[-2:] == ["deleted a", "deleted b"]
