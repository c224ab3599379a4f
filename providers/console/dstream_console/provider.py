"""The console output: each envelope as data alone, as JSON, or laid out in lines.

Text goes to standard error under protocol 2, where standard output belongs to the protocol, and to standard
output under version 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dstream_sdk import Envelope, Output, OutputSession, Provider, setting, show


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may set."""

    output_format: Literal["simple", "json", "structured"] = setting(
        "simple",
        description="simple: a line with the data; json: the envelope as it came; structured: a line per column",
    )
    tables: list[str] = setting([], description="show only these tables, by TableName; all if empty")


class Console(Output[Settings]):
    """Prints each record as it arrives."""

    exact_numbers = True
    _format: str
    _tables: frozenset[str]

    def open(self, config: Settings, session: OutputSession) -> None:
        """Remember how to show."""
        self._format = config.output_format
        self._tables = frozenset(config.tables)

    def write_block(self, block: bytes) -> None:
        """Pass whole envelopes on as they are, or take them apart."""
        if self._format == "json" and not self._tables:
            self.session.display(self.session.envelopes(block))
        else:
            super().write_block(block)

    def write_envelopes(self, envelopes: list[Envelope]) -> None:
        """Show envelopes."""
        if self._tables:
            envelopes = [each for each in envelopes if each.metadata.get("TableName", "") in ("", *self._tables)]
        if self._format == "json":
            self.session.display(b"".join([each.line + b"\n" for each in envelopes]))
            return
        lay_out = simple if self._format == "simple" else structured
        self.session.display("".join([lay_out(each) for each in envelopes]).encode("utf-8", "backslashreplace"))


def simple(envelope: Envelope) -> str:
    """Return one line: the table and operation where they are known, and the data."""
    return f"{_title(envelope.metadata)}{show(envelope.data)}\n"


def structured(envelope: Envelope) -> str:
    """Return a title line and one line per column, aligned, and an empty line."""
    metadata = envelope.metadata
    rest = {name: value for name, value in metadata.items() if name not in ("TableName", "OperationType")}
    lines = [_title(metadata).rstrip() or "record"]
    lines += _rows("", envelope.data) + _rows("· ", rest)
    return "\n".join(lines) + "\n\n"


def _rows(mark: str, columns: dict[str, Any]) -> list[str]:
    width = max((len(name) for name in columns), default=0)
    return [f"  {mark}{name:<{width}}  {show(value)}" for name, value in columns.items()]


def _title(metadata: dict[str, Any]) -> str:
    parts = [str(metadata[name]) for name in ("TableName", "OperationType") if metadata.get(name)]
    return " ".join(parts) + "  " if parts else ""


PROVIDER = Provider("console", distribution="dstream-out-console", output=Console())
