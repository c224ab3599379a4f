"""Tasks whose input reports of the data what a test sets, as threads of the test process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import dstream_sdk as sdk
from dstream.cli.render.paint import Paint
from dstream.cli.render.plan import plan_lines
from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.plan import Plan, TaskChange
from dstream_state import Checkpoint
from dstream_state.clock import now
from tests.services.recorder.in_process import in_process
from tests.services.recorder.world import World

TASK = """
task "{name}" {{
  input {{
    provider_path = "./bin/{input}"
    config {{
      rows = {rows}
      password = sensitive("hunter-22")
    }}
  }}
  output {{
    provider_path = "./bin/out"
    config {{ }}
  }}
}}
"""
Reported = list[sdk.Consequence | sdk.Finding]


@dataclass(frozen=True)
class Settings:
    rows: int = 1
    password: str = sdk.setting("", sensitive=True)
    route: list[str] = sdk.setting(default_factory=list)


@dataclass(frozen=True)
class Box:
    name: str
    size: int = 1


class Boxes(sdk.ResourceType[Settings]):
    """Objects that are always there, and hold data."""

    type, attributes, identity_attributes, holds_data = "box", Box, ("name",), True
    replace = ("name", "size")

    def __init__(self, source: Source) -> None:
        self.source = source

    def read(self, ctx: Any, identity: Any, prior: Any) -> Any:
        return None if prior is None else sdk.Object(identity, prior.attributes)

    def create(self, ctx: Any, desired: Any, intent: Any) -> sdk.Object:
        return sdk.Object({"name": desired["name"]}, desired)

    def delete(self, ctx: Any, prior: Any) -> None:
        """Nothing to delete."""

    def contents(self, ctx: Any, prior: Any) -> Any:
        return self.source.contents()


class In(sdk.Input[Settings]):
    """Reports what its source is set to."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def plan(self, config: Settings, context: Any) -> Any:
        columns = tuple(self.source.columns)
        yield from (sdk.Stream(name, ("id",), columns=columns) for name in self.source.streams)
        yield sdk.Resource("box", "b", {"name": "b", "size": config.rows})

    def consequences(self, config: Settings, context: sdk.PlanContext) -> Iterable[Any]:
        self.source.seen.append(context.prior)
        yield from self.source.reports(config, context)

    def run(self, config: Settings, session: Any) -> None:
        session.emit({})


class Out(sdk.Output[Settings]):
    """An output of an earlier version, which has no consequences."""

    def write(self, lines: list[bytes]) -> None:
        """Keep nothing."""


class Source:
    """What the input reports, and what it was given."""

    def __init__(self) -> None:
        self.streams = ["orders"]
        self.columns: list[sdk.Column] = []
        self.seen: list[sdk.Prior] = []
        self.reports: Callable[[Settings, sdk.PlanContext], Iterable[Any]] = lambda _config, _context: ()
        self.contents: Callable[[], Any] = lambda: {"messages": 0}


class Tasks(World):
    """A world with tasks of the input `in`, or `other`, and of the output `out`."""

    source: Source

    def text(self, rows: int = 1, name: str = "copy", input: str = "in") -> str:
        return TASK.format(name=name, rows=rows, input=input)

    def write(self, text: str, *, config: str = "") -> None:
        (self.folder / "dstream.hcl").write_text(text)

    def change(self, text: str) -> Plan:
        """Plan another configuration."""
        self.write(text)
        return self.plan()

    def store(self, name: str, position: dict[str, Any]) -> None:
        """Store a checkpoint, as a run does."""
        with self.operation().backend.task(name).acquire("test") as lease:
            lease.store(Checkpoint(position, name, {}, now()))

    def refused(self, **options: Any) -> tuple[Diagnostic, ...]:
        with pytest.raises(DiagnosticsError) as found:
            self.plan(**options)
        return found.value.diagnostics


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[Tasks]:
    made = Tasks(tmp_path)
    source = made.source = Source()
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)

    def provider(name: str, part: Any) -> sdk.Provider:
        return sdk.Provider(name, "1", resources=[Boxes(source)], **{part[0]: part[1](source)})

    programs = {
        "in": lambda _life: provider("in", ("input", In)),
        "other": lambda _life: provider("other", ("input", In)),
        "out": lambda _life: provider("out", ("output", lambda _source: Out())),
    }
    for name in programs:
        (folder / name).write_text(f"#!/bin/false\n{name}\n")
        (folder / name).chmod(0o755)
    with in_process({str(folder / name): make for name, make in programs.items()}):
        yield made


def only(plan: Plan) -> TaskChange:
    (found,) = plan.tasks
    return found


def text_of(plan: Plan) -> str:
    return "\n".join(plan_lines(plan, Paint(enabled=False)))
