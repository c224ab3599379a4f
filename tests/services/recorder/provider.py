"""The recording provider: objects are files in a folder, calls are lines of a log, and it fails as it is told.

It runs as a process of its own, without site-packages, and imports nothing but the SDK; or as a thread of the test
process, see `in_process`. What it does beyond its duty stands in `behaviour/COMMAND NAME.json`: see `Recorder.on`.
"""

from typing import Any

import dstream_sdk as sdk
from tests.services.recorder.resource_types import KINDS
from tests.services.recorder.store import Life, Settings, Store


def asked_for(config: Settings, life: Life) -> list[sdk.Resource]:
    """What a side of a task needs: a container, a part of it for each table, and a marked one after all of them."""
    Store(config.folder, life).log("derive", "task", "out")
    if config.bad:
        raise sdk.InvalidError("Cannot be moved", f"the table {config.bad} has no key", path="config.bad")
    tables, patience = config.tables, config.patience
    parts = [
        sdk.Resource(
            "rec_planned",
            table,
            {"name": f"part-{table}", "size": config.size},
            depends_on=[("rec_table", "box")],
            aliases=[("rec_planned", f"old-{table}")],
            timeouts={"create": patience, "delete": 2 * patience} if patience else {},
        )
        for table in tables
    ]
    return [sdk.Resource("rec_table", "box", {"name": f"box-{config.region or 'x'}", "size": config.size}), *parts]


class In(sdk.Input[Settings]):
    """An input that delivers a stream for each table and needs a marked object."""

    def __init__(self, life: Life) -> None:
        self.life = life

    def plan(self, config: Settings, context: Any) -> Any:
        Store(config.folder, self.life).log("derive", "task", "in")
        for table in config.tables:
            yield sdk.Stream(table, ["id"], {"type": "object"})
        yield sdk.Resource("rec_marked", "slot", {"name": f"slot-{context.task}"})

    def run(self, config: Settings, session: Any) -> None:
        session.emit({"table": "none"})


class Out(sdk.Output[Settings]):
    """An output that needs an object for each table, its own or the streams'."""

    def __init__(self, life: Life) -> None:
        self.life = life

    def plan(self, config: Settings, context: Any) -> Any:
        yield from asked_for(config, self.life)
        for name in config.retired:
            if name[0] == "-":
                yield sdk.Released("rec_table", name[1:])
                yield sdk.Notice("Released", f"{name[1:]} is needed no longer", path="config.retired")
            else:
                yield sdk.Resource("rec_table", name, {"name": name})
        for name, zone in config.lifecycles.items():
            size = sdk.UNKNOWN if zone == "later" else config.size
            yield sdk.Resource("lifecycle", name, {"name": name, "zone": zone, "size": size})
        for stream in context.streams:
            yield sdk.Resource("rec_planned", f"stream-{stream.name}", {"name": f"stream-{stream.name}"})

    def open(self, config: Settings, session: Any) -> None:
        """Nothing to open."""

    def write(self, lines: list[bytes]) -> None:
        """Keep nothing."""

    def flush(self, checkpoint: Any) -> None:
        """Nothing to flush."""


def recorder(role: str, life: Life) -> sdk.Provider:
    """Return the recorder as an input ("in"), an output ("out") or neither ("resource")."""
    parts: dict[str, Any] = {}
    if role == "in":
        parts = {"input": In(life)}
    elif role == "out":
        parts = {"output": Out(life)}
    return sdk.Provider("rec", "1.0", resources=[kind(life) for kind in KINDS], **parts)


def run(role: str) -> None:
    """Be the recorder, as a process."""
    sdk.main(recorder(role, Life()))
