#!/usr/bin/env python3
"""An input for tests: plays recorded envelopes from a file, with a checkpoint after each few, and names its tables.

It goes on behind its checkpoint, and follows the file when it is told to, so that killed sessions repeat what was not
stored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from dstream_sdk import Input, Provider, Stream, main, setting


@dataclass
class Settings:
    path: str = setting(description="file with one envelope in each line")
    tables: list[str] = field(default_factory=list)
    every: int = setting(10, description="records between two checkpoints")
    follow: bool = setting(False)
    pause: float = setting(0.0, description="seconds after each checkpoint")


class Recorded(Input[Settings]):
    def plan(self, config, context):
        return [Stream(name, ("id",)) for name in config.tables]

    def run(self, config, session):
        at = int((session.checkpoint_position or {}).get("line", 0))
        while True:
            lines = Path(config.path).read_bytes().splitlines()
            while at < len(lines) and not session.stopping:
                block = lines[at : at + config.every]
                session.emit_bytes(b"\n".join(block), len(block))
                at += len(block)
                session.checkpoint({"line": at, "source": config.path})
                if config.pause:
                    session.wait(config.pause)
            if session.stopping or session.until_current or not config.follow:
                break
            session.wait(0.02)
        session.checkpoint({"line": at, "source": config.path})


def change(table: str, number: int, operation: str = "Update", key: int | None = None, **data: object) -> str:
    """Return an envelope of change number `number`."""
    row = {"id": key if key is not None else number, **data}
    metadata = {"TableName": table, "OperationType": operation, "Key": {"id": row["id"]}, "Position": f"{number:012d}"}
    return json.dumps({"data": row, "metadata": metadata})


if __name__ == "__main__":
    main(Provider("recorded", "1.0", input=Recorded()))
