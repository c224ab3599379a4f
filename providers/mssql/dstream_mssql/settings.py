"""Settings of the input and of the resource types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dstream_mssql.start_setting import check_start
from dstream_sdk import Duration, setting


@dataclass(frozen=True)
class Connection:
    """The connection to a database. Resource types need no other settings."""

    connection_string: str = setting(
        description="Server=...;Database=...;User ID=...;Password=...;Encrypt=yes, or sqlserver://user:password@host/?database=...",
        aliases=("db_connection_string", "dsn"),
        sensitive=True,
    )


@dataclass(frozen=True)
class InputSettings(Connection):
    """The settings of the input."""

    tables: list[str] = setting(
        default_factory=list,
        description="tables to follow: name, schema.name or a pattern with * and ?; all tables with CDC by default",
    )
    exclude: list[str] = setting(default_factory=list, description="tables to leave out, in the same form")
    keys: dict[str, list[str]] = setting(
        default_factory=dict, description="key columns by table; by default the primary key, else CDC's unique index"
    )
    snapshot: Literal["initial", "never"] = setting(
        "never", description="initial: deliver the existing rows of a table, as Read, when it is first followed"
    )
    start: str = setting(
        "oldest",
        description="where a table without a checkpoint starts: oldest, the oldest change that is kept; now; an LSN; "
        "a time, such as 2026-11-30T08:00:00Z; or cdc_offsets, the offsets of the older project",
    )
    on_gap: Literal["fail", "snapshot"] = setting(
        "fail", description="what to do when changes were lost: fail, or empty the tables and read them again"
    )
    on_table_error: Literal["continue", "fail"] = setting(
        "continue", description="whether the other tables continue when one cannot be read"
    )
    on_agent_stop: Literal["warn", "fail"] = setting(
        "warn", description="what to do when the capture agent seems to have stopped"
    )
    agent_timeout: Duration = setting(
        Duration("15m"), description="how long the capture agent may write nothing before it counts as stopped"
    )
    retention_warning: Duration = setting(
        Duration("12h"), description="warn when cleanup will remove unread changes within this time"
    )
    before_images: bool = setting(True, description="whether updates have the row before the change, as Before")
    values: Literal["typed", "string"] = setting("typed", description="string: numbers and booleans as strings too")
    poll_interval: Duration = setting(Duration("1s"), description="poll interval of a table with changes")
    max_poll_interval: Duration = setting(
        Duration("30s"), description="longest poll interval of a table without changes"
    )
    checkpoint_interval: Duration = setting(Duration("200ms"), description="time between checkpoints while data flows")
    heartbeat: Duration = setting(Duration("10s"), description="time between checkpoints without data")
    max_connections: int = setting(4, description="connections to the server at the same time", minimum=2, maximum=100)
    batch_bytes: int = setting(
        4 * 1024 * 1024,
        description="target size of one read; the number of rows follows from their size",
        minimum=1024,
    )
    max_batch_rows: int = setting(20_000, description="largest number of rows of one read", minimum=1)
    refresh_interval: Duration = setting(
        Duration("30s"),
        description="longest time between checks for new tables and capture instances",
    )
    reconnect_timeout: Duration = setting(
        Duration("5m"), description="how long a lost connection is retried before the task fails"
    )
    manage: bool = setting(True, description="whether the task enables CDC where it is missing")
    new_columns: Literal["capture", "ignore"] = setting(
        "capture",
        description="what to do about columns that are added to a captured table: capture plans another capture "
        "instance, and `run` warns until it exists",
    )
    discover: bool = setting(
        True, description="whether `plan` queries the server for tables, keys and columns; patterns require it"
    )
    role_name: str = setting("", description="gating role of the capture instances that the task creates")
    retention: Duration | None = setting(
        None, description="how long change tables keep changes, such as 3d; unchanged by default"
    )
    lock_config: dict[str, Any] = setting(
        default_factory=dict,
        description="setting of the older provider, without effect: the lease in the state allows one runner per task",
        sensitive=True,
    )

    def __post_init__(self) -> None:
        check_start(self.start)
        if self.max_poll_interval < self.poll_interval:
            raise ValueError("max_poll_interval is shorter than poll_interval")
