"""The log output: one line per envelope with time, level, table, operation and data.

Lines go to standard error under protocol 2, where the host gathers them, and to standard output under
version 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from dstream_sdk import Envelope, Output, OutputSession, Provider, encode, setting


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may set."""

    level: Literal["debug", "info", "warn", "error"] = setting(
        "info", description="the level that each line carries", aliases=("log_level", "logLevel")
    )
    max_length: int = setting(0, description="cut the data after this many characters; 0: never", minimum=0)


class Log(Output[Settings]):
    """Logs each record as it arrives."""

    exact_numbers = True
    _config: Settings

    def open(self, config: Settings, session: OutputSession) -> None:
        """Remember how to log."""
        self._config = config

    def write_envelopes(self, envelopes: list[Envelope]) -> None:
        """Log envelopes."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        text = "".join([line(each, now, self._config) for each in envelopes])
        self.session.display(text.encode("utf-8", "backslashreplace"))


def line(envelope: Envelope, now: str, config: Settings) -> str:
    """Return the log line of an envelope received at `now` (an ISO 8601 time)."""
    data = encode(envelope.data).decode("utf-8", "backslashreplace")
    if config.max_length and len(data) > config.max_length:
        data = data[: config.max_length] + "…"
    table = envelope.metadata.get("TableName") or "-"
    operation = envelope.metadata.get("OperationType") or "-"
    return f"{now} {config.level.upper():<5} table={table} operation={operation} data={data}\n"


PROVIDER = Provider("log", distribution="dstream-out-log", output=Log())
