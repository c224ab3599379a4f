"""What work grows with: the number of objects, never its square; and one change costs the same in a large state.

Nothing here is timed. Requests, processes and writes are counted where they are made; the engine's own work as the
number of functions that its thread calls.
"""

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from dstream.plugins import Request, ResourceSession
from dstream_state.local import LocalStorage
from tests.services.recorder.world import World


def many(count: int, changed: int = -1) -> str:
    """Objects, and others that each need one of them; one of the first may be changed."""
    return f"""
resource "rec_planned" "a" {{
  count = {count}
  name  = "a${{count.index}}"
  size  = count.index == {changed} ? 7 : 1
}}

resource "rec_marked" "b" {{
  for_each = {{ for item in rec_planned.a : item.name => item.uid }}
  name     = "b-${{each.key}}"
  note     = "${{each.value}} ${{rec_planned.a[0].uid}}"
}}
"""


class Counted:
    """What was asked and written, by kind."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: Counter[str] = Counter()
        self.appended: list[int] = []
        self.states: list[int] = []
        submit_all, append, write = ResourceSession.submit_all, LocalStorage.append, LocalStorage.write

        def counted_submit(session: Any, requests: Any, *more: Any) -> None:
            for request, _ in requests:
                assert isinstance(request, Request)
                self.requests[request.command] += 1
            submit_all(session, requests, *more)

        def counted_append(storage: Any, name: str, position: int, content: bytes) -> None:
            self.appended.append(len(content))
            append(storage, name, position, content)

        def counted_write(storage: Any, name: str, content: bytes, *more: Any) -> str:
            self.states.append(len(content))
            return write(storage, name, content, *more)

        monkeypatch.setattr(ResourceSession, "submit_all", counted_submit)
        monkeypatch.setattr(LocalStorage, "append", counted_append)
        monkeypatch.setattr(LocalStorage, "write", counted_write)

    def during(self, work: Callable[[], Any]) -> None:
        """Count anew, during some work."""
        self.requests.clear()
        self.appended.clear()
        self.states.clear()
        work()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def processes(world: World) -> int:
    return len({call.more["pid"] for call in world.recorder.calls()})


def test_each_object_is_asked_about_once_by_one_process_and_the_state_is_written_once(
    world: World, counted: Counted
) -> None:
    counted.during(lambda: world.apply(many(60)))
    assert counted.requests == {"status": 60, "init": 120}  # those whose identity is planned are looked for first
    assert processes(world) == 1
    assert len(counted.states) == 1
    assert len(counted.appended) <= 2 * 120
    world.recorder.forget_calls()
    counted.during(world.plan)
    assert counted.requests == {"status": 120}
    assert (processes(world), counted.states, counted.appended) == (1, [], [])
    counted.during(lambda: world.apply(destroy=True))
    assert counted.requests == {"status": 120, "destroy": 120}
    assert len(counted.states) == 1


def test_one_change_writes_as_much_in_a_large_state_as_in_a_small_one(world: World, counted: Counted) -> None:
    written = {}
    for count in (10, 150):
        world.apply(many(count))
        world.write(many(count, changed=3))
        counted.during(world.apply)
        assert counted.requests == {"status": 2 * count, "init": 1}
        assert len(counted.states) == 1
        written[count] = (len(counted.appended), sum(counted.appended))
    assert written[10][0] == written[150][0]
    assert written[150][1] < written[10][1] + 200  # numbers have more digits


def calls(work: Callable[[], Any]) -> int:
    """Return how many functions this thread calls meanwhile."""
    made = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return made


def test_the_engines_work_grows_with_the_number_of_objects_and_not_faster(world: World) -> None:
    done: dict[str, list[int]] = {"create": [], "plan": [], "destroy": []}
    for count in (2, 40, 80, 160):  # the first one imports
        world.write(many(count))
        done["create"].append(calls(world.apply))
        done["plan"].append(calls(world.plan))
        done["destroy"].append(calls(lambda: world.apply(destroy=True)))
    for what, (_, small, middle, large) in done.items():
        growth = (large - middle) / (middle - small)
        assert growth < 2.5, f"{what}: {small}, {middle}, {large} calls for 80, 160 and 320 objects"
