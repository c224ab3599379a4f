"""Instances of a task: all are planned or none, by few processes, and a few at a time."""

from typing import Any

import pytest

from dstream.diagnostics import DiagnosticsError
from dstream.engine.providers import task_requirements
from dstream.engine.providers.pool import ProviderPool
from dstream.plugins import PlanRequest, PlanSession, plan_session
from tests.services.recorder.world import World, refused


def test_an_error_in_one_instance_of_a_task_is_reported_and_plans_none(world: World) -> None:
    several = world.task("t").replace('task "copy" {', 'task "copy" {\n  count = COUNT')
    several = several.replace('["t"]', '[["a", "b"][count.index]]')
    world.write(several.replace("COUNT", "3"))
    assert [each.summary for each in refused(world.plan)] == ["Invalid index"] * 2


def test_instances_of_a_task_are_planned_by_one_process_of_each_side(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    begin = plan_session.begin_binary
    monkeypatch.setattr(plan_session, "begin_binary", lambda binary: started.append(binary.name) or begin(binary))
    monkeypatch.setattr(plan_session, "derive", None)
    monkeypatch.setattr(task_requirements, "derive", None)
    world.write(world.task("t").replace('task "copy" {', 'task "copy" {\n  count = 12'))
    assert len(world.plan().tasks) == 12
    assert sorted(started) == ["rec-in", "rec-out"]


def test_tasks_whose_providers_plan_in_processes_of_their_own_are_planned_a_few_at_a_time(
    world: World, monkeypatch
) -> None:
    running: list[str] = []
    most = 0
    derive = task_requirements.derive

    def counted(*args: Any) -> Any:
        nonlocal most
        running.append(args[3].task)
        most = max(most, len(running))
        try:
            return derive(*args)
        finally:
            running.remove(args[3].task)

    monkeypatch.setattr(ProviderPool, "plan_session", lambda pool, spec: None)
    monkeypatch.setattr(task_requirements, "derive", counted)
    world.write(world.task("t").replace('task "copy" {', 'task "copy" {\n  count = 12'))
    assert len(world.plan(parallelism=3).tasks) == 12
    assert 1 <= most <= 3


def test_a_plan_that_fails_leaves_no_process_and_queries_no_further_task(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions: list[PlanSession] = []
    queried: list[str] = []
    start, ask = PlanSession.__init__, PlanSession.derive

    def started(session: PlanSession, *args: Any) -> None:
        sessions.append(session)
        start(session, *args)

    def asked(session: PlanSession, request: PlanRequest) -> Any:
        queried.append(request.task)
        return ask(session, request)

    monkeypatch.setattr(PlanSession, "__init__", started)
    monkeypatch.setattr(PlanSession, "derive", asked)
    monkeypatch.setattr("dstream.engine.plan.planner.evaluate_task", None)  # a fault in the middle of a plan
    world.write(world.task("t").replace('task "copy" {', 'task "copy" {\n  count = 200'))
    with pytest.raises(TypeError):
        world.plan(parallelism=1)
    assert sessions and not any(session._thread.is_alive() for session in sessions)
    assert len(queried) < 400
    with pytest.raises(DiagnosticsError, match="session closed"):
        sessions[0].derive(PlanRequest("late", {}))


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ('["Orders", "orders"]', "look alike"),
        ('["paypal", "p\u0430ypal"]', "look alike"),
        ('["\ufb01le", "file"]', "look alike"),
        ('[join("", [for i in range(300) : "x"])]', "too long"),
        ('[join("", [for i in range(70) : "\u00e9"])]', "too long"),
    ],
    ids=["case", "Cyrillic", "ligature", "long", "long in a file name"],
)
def test_keys_that_files_or_readers_mix_up_are_refused(world: World, keys: str, why: str) -> None:
    world.write(world.task("t").replace('task "copy" {', f'task "copy" {{\n  for_each = toset({keys})'))
    found = refused(world.plan)
    assert why in found[0].detail
    assert found[0].subject is not None
