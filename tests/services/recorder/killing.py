"""Applies that are killed: the engine, its provider or both, at any moment or at a named point, and what is left.

`Killed` drives one world through kills; each is followed by the next apply, which has to put everything right, and by a
look at what really exists. `Count` says how often that was done, for the table at the end of `make soak`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dstream.diagnostics import DiagnosticsError
from dstream.engine.commands.state_edit import forget
from tests.services import command_server
from tests.services.forked import Forked
from tests.services.recorder.world import Told, World, said

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = "tests.services.recorder.applying"
LEASE = 60.0
"""Seconds after which a lease of the blob service has ended."""
FREE = 75.0
"""Seconds after a kill within which the lock has to be free."""
CHANGES = ("create", "update", "delete")
EACH = """
resource "{kind}" "{name}" {{
  for_each = toset({keys})
  name     = each.key
  size     = {size}
  zone     = "{zone}"
}}
"""


def keyed(kind: str, name: str, keys: list[str], size: int = 1, zone: str = "here") -> str:
    """Return a block with one object for each key."""
    return EACH.format(kind=kind, name=name, keys=json.dumps(keys), size=size, zone=zone)


def chain(length: int, size: int) -> str:
    """Return objects of which each needs the one before."""
    text = f'resource "rec_marked" "c0" {{\n  name = "c0"\n  size = {size}\n}}\n'
    for number in range(1, length):
        text += (
            f'resource "rec_planned" "c{number}" {{\n  name = "c{number}"\n  size = {size}\n'
            f"  note = rec_{'marked' if number == 1 else 'planned'}.c{number - 1}.uid\n}}\n"
        )
    return text


def names(prefix: str, start: float, end: float) -> list[str]:
    """Return keys."""
    return [f"{prefix}{number:03}" for number in range(round(start), round(end))]


@dataclass(frozen=True)
class Story:
    """Two configurations, one after the other, and how many objects each has."""

    first: str
    second: str
    counts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, scale: float) -> Story:
        """Return objects that can be asked by identity (planned), by a marker, and not at all; `scale` 1 is 60."""
        s = scale
        length, short = round(10 * s), round(6 * s)
        first = {
            "p": ("rec_planned", names("p", 0, 16 * s)),
            "m": ("rec_marked", names("m", 0, 16 * s)),
            "b": ("rec_blind", names("b", 0, 10 * s)),
            "t": ("rec_table", names("t", 0, 8 * s)),
        }
        second = {
            "p": ("rec_planned", names("p", 4 * s, 20 * s), 2),
            "m": ("rec_marked", names("m", 8 * s, 20 * s), 1, "there"),
            "b": ("rec_blind", names("b", 5 * s, 12 * s), 2),
            "t": ("rec_table", names("t", 0, 8 * s), 1, "there"),
        }
        one = "".join(keyed(kind, name, keys) for name, (kind, keys) in first.items()) + chain(length, 1)
        two = "".join(keyed(part[0], name, *part[1:]) for name, part in second.items()) + chain(short, 2)  # type: ignore[arg-type,misc]  # kind, then what keyed takes
        counts = {
            one: sum(len(keys) for _, keys in first.values()) + length,
            two: sum(len(part[1]) for part in second.values()) + short,
        }
        return cls(one, two, counts)


@dataclass
class Count:
    """What was done to worlds and what came of it."""

    found: Counter[str] = field(default_factory=Counter)

    def add(self, what: str) -> None:
        """Count one."""
        self.found[what] += 1


class Killed:
    """A world whose engines and providers are killed."""

    def __init__(self, world: World, story: Story, *, travel: Callable[[float], None] | None = None) -> None:
        """`travel` puts the clock of a blob service forward; None: the state is local, and its lock needs no time."""
        self.world = world
        self.story = story
        self.travel = travel
        self.count = Count()
        for command in CHANGES:
            world.recorder.on(command, "any", slow=0.01)

    # -- kills ---------------------------------------------------------------------------------------

    def start(self, what: str, point: str = "never", passage: int = 1) -> Forked:
        """Start an engine that dies at a point."""
        command = [sys.executable, "-m", PROGRAM, str(self.world.folder), what, point, str(passage)]
        return command_server.start_program(command, cwd=ROOT, env=os.environ, text=True)

    def at_point(self, what: str, point: str, passage: int, *, surely: bool = True) -> None:
        """Have an engine die at a named point; `surely`: it does come there."""
        engine = self.start(what, point, passage)
        printed = engine.communicate(timeout=120)
        if surely or engine.returncode != 0:
            assert engine.returncode == -signal.SIGKILL, printed
        self._ended(engine.returncode, f"engine {point}")

    def at_random(self, what: str, moments: random.Random, victims: str = "engine") -> None:
        """Kill `engine`, `provider` or `both` at some moment after a first change has begun."""
        before = len(self._changes())
        engine = self.start(what)
        while engine.poll() is None and len(self._changes()) == before:
            time.sleep(0.005)
        time.sleep(moments.uniform(0.0, 0.3))
        order = ["provider", "engine"] if victims == "both" else [victims]
        moments.shuffle(order)
        for victim in order:
            if victim == "engine":
                engine.kill()
            elif calls := self._changes():
                self._kill_provider(calls[-1].more["pid"])
        printed = engine.communicate(timeout=120)
        if victims == "provider":
            assert engine.returncode in (0, 1), printed  # what it could not do it says
            self.count.add(f"killed: provider, {'recovered in place' if engine.returncode == 0 else 'told'}")
            self.count.add("kills")
            return
        assert engine.returncode in (-signal.SIGKILL, 0, 1), printed
        self._ended(engine.returncode, f"{victims} at random")

    def _kill_provider(self, pid: int) -> None:
        """Kill the provider, unless it has ended and its number is somebody else's by now."""
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline")
            if not command.parent.parent.is_dir() or str(self.world.recorder.bin).encode() in command.read_bytes():
                os.kill(pid, signal.SIGKILL)

    def _changes(self) -> list[object]:
        return self.world.recorder.calls(*CHANGES)  # type: ignore[return-value]  # calls, of which this looks at the pid

    def _ended(self, code: int, how: str) -> None:
        if code != -signal.SIGKILL:
            self.count.add("ended before it was killed")
            return
        self.count.add("kills")
        self.count.add(f"killed: {how}")
        if self.travel is not None:
            self.travel(LEASE)

    # -- what comes after ------------------------------------------------------------------------------

    def put_right(self, what: str) -> None:
        """Let the next apply do what is left; look by hand where it says that nobody can tell."""
        patience = FREE if self.travel is None else FREE - LEASE
        try:
            self.world.apply(destroy=what == "destroy", lock_timeout=patience)
        except DiagnosticsError as problem:
            addresses = [each.address or "" for each in problem.diagnostics]
            assert {each.summary for each in problem.diagnostics} == {"Unresolved object"}, said(problem.diagnostics)
            assert all(address.startswith("rec_blind.b[") for address in addresses), addresses
            self._look_by_hand(addresses)
            self.world.apply(destroy=what == "destroy", lock_timeout=patience)
        self.count.add("put right by the next apply")

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
        for _ in addresses:
            self.count.add("objects that cannot be asked, looked up by hand")

    def check(self, count: int) -> None:
        """What exists is what is recorded, each once, and nothing is left to do."""
        found = self.world.recorder.names()
        assert found == self.world.recorded_names()
        assert len(set(found)) == len(found) == count
        assert self.world.snapshot.intents == {}
        assert not self.world.plan().has_changes
        self.count.add("what exists = what is recorded, each once")

    def through(self, kill: Callable[[str], None]) -> None:
        """Make, change and destroy everything, with a kill each time."""
        for text in (self.story.first, self.story.second):
            self.world.write(text)
            kill("apply")
            self.put_right("apply")
            self.check(self.story.counts[text])
        kill("destroy")
        self.put_right("destroy")
        assert self.world.recorder.names() == []
        assert self.world.recorded == {}
        self.count.add("what exists = what is recorded, each once")
