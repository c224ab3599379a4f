"""A rig that runs a flow in a host process, kills whom it is told to, and reads the story from the sink."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dstream_state import open_backend
from dstream_state.processes import alive
from tests.services import command_server
from tests.services.forked import Forked
from tests.services.shebang import shebang

PARTS = Path(__file__).parent
ROOT = PARTS.parents[2]
FORKS = bool(os.environ.get("DSTREAM_TEST_FORKS"))
"""Whether all tests with a rig are to fork their providers."""


PROGRAM = """
import importlib, os, runpy

os.environ.update({settings!r})
# A fault is for the first session alone: in the next one the same provider does its work.
if not os.environ.get("DSTREAM_PROBE"):
    if os.path.exists({ran!r}):
        os.environ.pop("DSTREAM_FAULT", None)
    else:
        open({ran!r}, "w").close()
importlib.reload(importlib.import_module("dstream_sdk.failpoints"))  # a fork has read the variable already
runpy.run_path({program!r}, run_name="__main__")
"""


def provider(script: str, folder: Path, **settings: str) -> str:
    """Write an executable that starts one of the provider scripts here, or an installed one; return its path."""
    path = folder / script.replace("_", "-")
    installed = Path(sys.executable).with_name(script)
    started = installed if installed.exists() else PARTS / f"{script}.py"
    path.write_text(shebang() + PROGRAM.format(settings=settings, ran=f"{path}.ran", program=str(started)))
    path.chmod(0o755)
    return str(path)


@dataclass
class Rig:
    """One flow from `sequence_in` to `ledger_out` in a folder of its own."""

    folder: Path
    total: int = 300
    stores: bool = False
    source: dict[str, Any] = field(default_factory=dict)
    sink: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    mutant: str | None = None
    forks: bool = FORKS
    """Whether fork servers start the providers."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file, self.slot = self.folder / "sink", self.folder / "slot"
        source = {"total": self.total, "slot": str(self.slot), **self.source}
        environment = {"STORES": "1"} if self.stores else {}
        self.spec = {
            "root": str(self.folder), "name": "t", "options": self.options, "mutant": self.mutant,
            "forks": self.forks,
            "input": {"path": provider("sequence_in", self.folder), "config": source},
            "output": {"path": provider("ledger_out", self.folder, **environment),
                       "config": {"path": str(self.file), **self.sink}},
        }  # fmt: skip

    def start(self, fault: str | None = None) -> Forked:
        """Start the host."""
        spec = self.folder / "spec.json"
        spec.write_text(json.dumps(self.spec))
        environment = dict(os.environ)
        environment.pop("DSTREAM_FAULT", None)
        for ran in self.folder.glob("*.ran"):
            ran.unlink()
        if fault:
            environment["DSTREAM_FAULT"] = fault
        argv = [sys.executable, "-m", "tests.e2e.run_parts.host", str(spec)]
        return command_server.start_program(argv, cwd=ROOT, env=environment, text=True)

    def run(self, fault: str | None = None) -> dict[str, Any] | None:
        """Run the host to its end; return the outcome, or None if it was killed."""
        host = self.start(fault)
        out, err = host.communicate(timeout=150)
        if host.returncode == -signal.SIGKILL:
            return None
        assert out.strip(), f"the host ended with {host.returncode} and said:\n{err}"
        return {**json.loads(out.strip().splitlines()[-1]), "log": err}

    def run_to_the_end(self) -> dict[str, Any]:
        """Run without faults until the flow has ended."""
        outcome = self.run()
        assert outcome is not None
        assert outcome["status"] == "ended", outcome
        return outcome

    def processes(self) -> list[int]:
        """The pids of the running session's providers, input first where both run."""
        view = open_backend("local", {}, root=self.folder).task("t").read()
        return [each.pid for each in view.processes if alive(each.pid, each.started)]

    def written(self) -> int:
        """How many bytes the sink has."""
        return self.file.stat().st_size if self.file.exists() else 0

    def kill_one(self, host: Forked, dice: random.Random) -> str:
        """Kill the host or one of its providers; return who it was."""
        victim = dice.choice(("host", "input", "output"))
        pids = self.processes()
        if victim == "host" or len(pids) < 2:
            host.kill()
            return "host"
        with_pid = pids[0] if victim == "input" else pids[1]
        try:
            os.kill(with_pid, signal.SIGKILL)
        except ProcessLookupError:
            return "nobody"
        return victim

    def check(self) -> list[str]:
        """Return what is wrong with the story in the sink; empty if no change was lost and order held."""
        problems = []
        numbers: Counter[int] = Counter()
        last: dict[str, int] = {}
        for line in self.file.read_text().splitlines():
            kind, *rest = line.split(" ", 2)
            if kind == "S":
                last.clear()
            elif kind == "R":
                key, number = rest[0], int(rest[1])
                numbers[number] += 1
                if number <= last.get(key, 0):
                    problems.append(f"key {key}: {number} after {last[key]}")
                last[key] = number
        lost = sorted(set(range(1, self.total + 1)) - set(numbers))
        if lost:
            problems.append(f"{len(lost)} changes lost: {lost[:5]}...")
        strange = sorted(set(numbers) - set(range(1, self.total + 1)))
        if strange:
            problems.append(f"changes that never were: {strange[:5]}")
        repeated = [number for number, count in numbers.items() if count > 1]
        if self.stores and repeated:
            problems.append(f"{len(repeated)} changes repeated though the sink stores checkpoints: {repeated[:5]}...")
        return problems
