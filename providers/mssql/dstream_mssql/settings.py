"""Settings: what users write in the configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from dstream_sdk import setting

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds(text: str) -> float:
    """A duration such as `5s`, `500ms` or `1m30s`. Raises ValueError."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(
            f'{text!r} is not a duration: write a number with its unit, such as "500ms", "5s", "10m", "3d"'
        )
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


@dataclass(frozen=True)
class Connection:
    """How to reach a database: all that declared resources need."""

    connection_string: str = setting(
        description="Server=...;Database=...;User ID=...;Password=...;Encrypt=yes, or sqlserver://user:password@host/?database=...",
        aliases=("db_connection_string", "dsn"),
        sensitive=True,
    )


@dataclass(frozen=True)
class InputSettings(Connection):
    """What the input reads, and how."""

    tables: list[str] = setting(  # noqa: RUF009 - it is a dataclass field
        default_factory=list,
        description="tables to follow: name, schema.name or a pattern with * and ?; none: all that have CDC",
    )
    exclude: list[str] = setting(  # noqa: RUF009 - it is a dataclass field
        default_factory=list, description="tables to leave out, in the same form"
    )
    keys: dict[str, list[str]] = setting(  # noqa: RUF009 - it is a dataclass field
        default_factory=dict, description="key columns by table; by default the primary key, else CDC's unique index"
    )
    snapshot: Literal["initial", "never"] = setting(
        "never", description="initial: deliver the rows that a table has when it is first followed, as Read"
    )
    start: Literal["oldest", "now"] = setting(
        "oldest", description="where a table begins without a snapshot: the oldest change that is kept, or now"
    )
    on_gap: Literal["fail", "snapshot"] = setting(
        "fail", description="what to do when changes were lost: fail, or empty the tables and read them again"
    )
    on_table_error: Literal["continue", "fail"] = setting(
        "continue", description="whether the other tables go on when one cannot be read"
    )
    on_agent_stop: Literal["warn", "fail"] = setting(
        "warn", description="what to do when the capture agent seems to have stopped"
    )
    agent_timeout: str = setting("15m", description="the capture agent has stopped when it wrote nothing for this long")
    retention_warning: str = setting(
        "12h", description="warn when cleanup will reach what has not been read within this time"
    )
    before_images: bool = setting(True, description="whether updates carry the row as it was before, as Before")
    values: Literal["typed", "string"] = setting("typed", description="string: numbers and booleans as strings too")
    poll_interval: str = setting("1s", description="time between two looks at a table that changes")
    max_poll_interval: str = setting("30s", description="the longest time between two looks at a table that does not")
    checkpoint_interval: str = setting("200ms", description="time between two checkpoints under load")
    heartbeat: str = setting("10s", description="time between two checkpoints while nothing changes")
    max_connections: int = setting(4, description="connections to the server at the same time", minimum=2, maximum=100)
    batch_bytes: int = setting(
        4 * 1024 * 1024,
        description="how much one read fetches; the number of rows follows from their size",
        minimum=1024,
    )
    max_batch_rows: int = setting(20_000, description="the most rows of one read", minimum=1)
    refresh_interval: str = setting(
        "30s", description="the longest time between two looks for new tables and capture instances while the task runs"
    )
    reconnect_timeout: str = setting(
        "5m", description="how long a lost connection is tried again before the task fails"
    )
    manage: bool = setting(True, description="whether the task enables CDC where it is missing, or finds it there")
    new_columns: Literal["capture", "ignore"] = setting(
        "capture",
        description="what becomes of columns that are added to a captured table: `plan` makes another capture instance "
        "and `run` warns until there is one, or nothing",
    )
    discover: bool = setting(
        True, description="whether `plan` asks the server about tables, keys and columns; patterns need it"
    )
    role_name: str = setting("", description="gating role of the capture instances that the task makes; none if empty")
    retention: str = setting("", description="how long change tables keep changes, such as 3d; left alone if empty")
    lock_config: dict[str, Any] = setting(  # noqa: RUF009 - it is a dataclass field
        default_factory=dict,
        description="of the older provider, without effect: a task has one runner by its lease in the state",
        sensitive=True,
    )

    def __post_init__(self) -> None:
        problems = []
        for name in (
            "agent_timeout",
            "retention_warning",
            "poll_interval",
            "max_poll_interval",
            "checkpoint_interval",
            "heartbeat",
            "refresh_interval",
            "reconnect_timeout",
        ):
            try:
                seconds(getattr(self, name))
            except ValueError as problem:
                problems.append(f"{name}: {problem}")
        if self.retention:
            try:
                seconds(self.retention)
            except ValueError as problem:
                problems.append(f"retention: {problem}")
        if not problems and seconds(self.max_poll_interval) < seconds(self.poll_interval):
            problems.append("max_poll_interval is shorter than poll_interval")
        if problems:
            raise ValueError("; ".join(problems))
