"""The jsonl output: appends envelopes to one file, or to one file per table.

Lines are written unmodified, and parsed only where the path has `{table}` in it or a line does not look like an
envelope; one that is not is rejected. Delivery is at least once: after a crash, lines behind the last acknowledged
checkpoint may be written again, never half a line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dstream_sdk import (
    Consequence,
    Envelope,
    Finding,
    InvalidError,
    Output,
    OutputSession,
    PlanContext,
    Provider,
    setting,
)
from dstream_sdk.files import AppendedFile

_PLACE = "{table}"
_OPEN_FILES = 200


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may set."""

    path: str = setting(
        description="the file to append to; {table} in it stands for the table's name",
        aliases=("file", "filename"),
    )


class Writer(Output[Settings]):
    """Appends what arrives; durable at each flush."""

    _template: str
    _one: AppendedFile | None = None

    def __init__(self) -> None:
        """Start with no file open."""
        self._files: dict[str, AppendedFile] = {}

    def consequences(self, config: Settings, context: PlanContext) -> Iterable[Consequence | Finding]:
        """Report a folder that cannot be written to here; the task may run on another machine."""
        from pathlib import Path

        folder = Path(config.path.partition(_PLACE)[0] + "_").parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            text = f"{folder} is not a folder that can be written to here."
            yield Finding("Folder not writable", text, "choose another path, or change its mode", "config.path", False)

    def open(self, config: Settings, session: OutputSession) -> None:
        """Open the one file; the files of tables are opened when their first line comes."""
        if not config.path.strip():
            raise InvalidError("Invalid setting", "config.path: is empty", path="config.path")
        self._template = config.path
        if _PLACE not in config.path:
            self._one = AppendedFile(config.path)

    def write_block(self, block: bytes) -> None:
        """Append whole lines."""
        if self._one is not None:
            self._one.append(self.session.envelopes(block))
        else:
            super().write_block(block)

    def write_envelopes(self, envelopes: list[Envelope]) -> None:
        """Append each envelope to the file of its table."""
        lines: dict[str, list[bytes]] = {}
        for envelope in envelopes:
            lines.setdefault(str(envelope.metadata.get("TableName") or "unknown"), []).append(envelope.line)
        for table, found in lines.items():
            self._file(table).append(b"\n".join(found) + b"\n")

    def flush(self, checkpoint: dict[str, Any] | None) -> None:
        """Make what was written durable."""
        for each in (self._one, *self._files.values()):
            if each is not None:
                each.sync()

    def close(self, ended: bool) -> None:
        """Close the files."""
        for each in (self._one, *self._files.values()):
            if each is not None:
                each.close()

    def _file(self, table: str) -> AppendedFile:
        found = self._files.get(table)
        if found is None:
            if len(self._files) >= _OPEN_FILES:
                self.flush(None)
                for each in self._files.values():
                    each.close()
                self._files.clear()
            found = AppendedFile(self._template.replace(_PLACE, file_name(table)))
            self._files[table] = found
        return found


def file_name(table: str) -> str:
    """Return a table's name as one part of a path: what could leave the folder or be refused is %-encoded.

    Different tables get different names, on file systems that fold case excepted.
    """
    safe = re.sub(r"[^\w.\-]", lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), table)
    return safe.replace(".", "%2E", 1) if safe.startswith(".") else safe


PROVIDER = Provider("jsonl", distribution="dstream-jsonl", output=Writer())
