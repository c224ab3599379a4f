"""An engine that is killed, at random moments and at named points: the next apply puts everything right.

Whatever exists is in the state, and nothing is made twice, except that of an object that cannot be asked for what made
it nobody can tell: that one is unresolved until somebody looks.
"""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dstream.diagnostics import DiagnosticsError
from dstream.engine.surgery import forget
from tests.services.recorder.world import Told, World, said

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = "tests.services.recorder.applying"
EACH = """
resource "{kind}" "{name}" {{
  for_each = toset({keys})
  name     = each.key
  size     = {size}
  zone     = "{zone}"
}}
"""


def keyed(kind: str, name: str, keys: list[str], size: int = 1, zone: str = "here") -> str:
    return EACH.format(kind=kind, name=name, keys=json.dumps(keys), size=size, zone=zone)


def chain(length: int, size: int) -> str:
    text = f'resource "rec_marked" "c0" {{\n  name = "c0"\n  size = {size}\n}}\n'
    for number in range(1, length):
        text += (
            f'resource "rec_planned" "c{number}" {{\n  name = "c{number}"\n  size = {size}\n'
            f"  note = rec_{'marked' if number == 1 else 'planned'}.c{number - 1}.uid\n}}\n"
        )
    return text


def names(prefix: str, *numbers: int) -> list[str]:
    return [f"{prefix}{number:02}" for number in range(*numbers)]


FIRST = (
    keyed("rec_planned", "p", names("p", 16))
    + keyed("rec_marked", "m", names("m", 16))
    + keyed("rec_blind", "b", names("b", 10))
    + keyed("rec_table", "t", names("t", 8))
    + chain(10, 1)
)
SECOND = (
    keyed("rec_planned", "p", names("p", 4, 20), size=2)
    + keyed("rec_marked", "m", names("m", 8, 20), zone="there")
    + keyed("rec_blind", "b", names("b", 5, 12), size=2)
    + keyed("rec_table", "t", names("t", 8), zone="there")
    + chain(6, 2)
)
EXPECTED = {
    FIRST: 60,
    SECOND: 16 + 12 + 7 + 8 + 6,
}


class Killed:
    """A world whose engines are killed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.kills = 0
        world.recorder.on("create", "any", slow=0.01)
        world.recorder.on("update", "any", slow=0.01)
        world.recorder.on("delete", "any", slow=0.01)

    def start(self, what: str, point: str = "never", passage: int = 1) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", PROGRAM, str(self.world.folder), what, point, str(passage)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def at_point(self, what: str, point: str, passage: int) -> None:
        """Have an engine die at a named point."""
        engine = self.start(what, point, passage)
        out, _ = engine.communicate(timeout=60)
        assert engine.returncode == -signal.SIGKILL, out.decode()
        self.kills += 1

    def at_random(self, what: str, moments: random.Random) -> None:
        """Kill an engine at some moment after its first change has begun."""
        before = len(self.world.recorder.calls("create", "update", "delete"))
        engine = self.start(what)
        while engine.poll() is None and len(self.world.recorder.calls("create", "update", "delete")) == before:
            time.sleep(0.005)
        time.sleep(moments.uniform(0.0, 0.25))
        engine.kill()
        out, _ = engine.communicate(timeout=60)
        assert engine.returncode in (-signal.SIGKILL, 0), out.decode()
        self.kills += engine.returncode != 0

    def put_right(self, what: str) -> None:
        """Let the next apply do what is left; look by hand where it says that nobody can tell."""
        try:
            self.world.apply(destroy=what == "destroy")
        except DiagnosticsError as problem:
            addresses = [each.address or "" for each in problem.diagnostics]
            assert {each.summary for each in problem.diagnostics} == {"Unresolved object"}, said(problem.diagnostics)
            assert all(address.startswith("rec_blind.b[") for address in addresses), addresses
            self._look_by_hand(addresses)
            self.world.apply(destroy=what == "destroy")

    def _look_by_hand(self, addresses: list[str]) -> None:
        """Nothing but these differs from what is recorded; take those that exist away, and all of them out."""
        world, recorder = self.world, self.world.recorder
        unresolved = {json.loads(address.partition("[")[2].removesuffix("]")) for address in addresses}
        known = world.recorded_names()
        extra = list(recorder.names())
        for name in known:
            extra.remove(name)
        assert len(set(extra)) == len(extra), f"made twice: {extra}"
        assert set(extra) <= unresolved, f"{extra} is neither recorded nor unresolved"
        identities = {json.dumps(item.identity) for item in world.recorded.values() if item.status != "unresolved"}
        for path in (recorder.folder / "objects").glob("rec_blind *.json"):
            stored = json.loads(path.read_text())
            if json.dumps({"id": stored["id"]}) not in identities:
                recorder.vanish("rec_blind", stored["id"])
        forget(world.operation(), addresses, 20, Told())

    def check(self, count: int) -> None:
        """What exists is what is recorded, each once, and nothing is left to do."""
        found = self.world.recorder.names()
        assert found == self.world.recorded_names()
        assert len(set(found)) == len(found) == count
        assert self.world.snapshot.intents == {}
        assert not self.world.plan().has_changes

    def through(self, kill: "object") -> None:
        """Make, change and destroy everything, with a kill each time."""
        for text in (FIRST, SECOND):
            self.world.write(text)
            kill("apply")  # type: ignore[operator]  # a callable of one argument
            self.put_right("apply")
            self.check(EXPECTED[text])
        kill("destroy")  # type: ignore[operator]  # as above
        self.put_right("destroy")
        assert self.world.recorder.names() == []
        assert self.world.recorded == {}


POINTS = ["intent", "asked", "answered", "recorded", "finishing", "finished"]


@pytest.mark.parametrize(("point", "passage"), [(point, 1) for point in POINTS] + [("asked", 25), ("recorded", 30)])
def test_an_engine_that_dies_at_a_point_is_put_right_by_the_next(world: World, point: str, passage: int) -> None:
    killed = Killed(world)
    killed.world.write(FIRST)
    killed.at_point("apply", point, passage)
    killed.put_right("apply")
    killed.check(60)


@pytest.mark.parametrize("point", ["recovering", "recovered"])
def test_recovery_can_be_killed_too(world: World, point: str) -> None:
    killed = Killed(world)
    killed.world.write(FIRST)
    killed.at_point("apply", "asked", 20)
    killed.at_point("apply", point, 2)
    killed.put_right("apply")
    killed.check(60)


@pytest.mark.parametrize("seed", range(2))
def test_engines_that_die_at_any_moment_are_put_right_by_the_next(world: World, seed: int) -> None:
    killed = Killed(world)
    moments = random.Random(seed)
    killed.through(lambda what: killed.at_random(what, moments))
    assert killed.kills


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(40))
def test_engines_that_die_often_are_put_right_in_the_end(world: World, seed: int) -> None:
    killed = Killed(world)
    moments = random.Random(1000 + seed)

    def several(what: str) -> None:
        for _ in range(moments.randrange(1, 4)):
            killed.at_random(what, moments)

    killed.through(several)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("passage", [1, 2, 9, 10, 11, 17, 30, 41])
def test_engines_that_die_at_a_point_of_each_operation_are_put_right(world: World, point: str, passage: int) -> None:
    killed = Killed(world)
    killed.through(lambda what: killed.at_point(what, point, 1 if point.startswith("finish") else passage))
