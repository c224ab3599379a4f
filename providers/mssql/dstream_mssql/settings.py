"""Settings: what users write in the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dstream_mssql.start_setting import check_start
from dstream_sdk import Duration, setting


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

    tables: list[str] = setting(
        default_factory=list,
        description="tables to follow: name, schema.name or a pattern with * and ?; none: all that have CDC",
    )
    exclude: list[str] = setting(default_factory=list, description="tables to leave out, in the same form")
    keys: dict[str, list[str]] = setting(
        default_factory=dict, description="key columns by table; by default the primary key, else CDC's unique index"
    )
    snapshot: Literal["initial", "never"] = setting(
        "never", description="initial: deliver the rows that a table has when it is first followed, as Read"
    )
    start: str = setting(
        "oldest",
        description="where a table begins that has no checkpoint: oldest, the oldest change that is kept; now; an LSN; "
        "a time, such as 2026-11-30T08:00:00Z; or cdc_offsets, the offsets of the older project",
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
    agent_timeout: Duration = setting(
        Duration("15m"), description="time without a sign of the capture agent after which it counts as stopped"
    )
    retention_warning: Duration = setting(
        Duration("12h"), description="warn when cleanup will remove unread changes within this time"
    )
    before_images: bool = setting(True, description="whether updates carry the row as it was before, as Before")
    values: Literal["typed", "string"] = setting("typed", description="string: numbers and booleans as strings too")
    poll_interval: Duration = setting(Duration("1s"), description="time between two looks at a changing table")
    max_poll_interval: Duration = setting(
        Duration("30s"), description="the longest time between two looks at a table that does not"
    )
    checkpoint_interval: Duration = setting(Duration("200ms"), description="time between two checkpoints after data")
    heartbeat: Duration = setting(Duration("10s"), description="time between two checkpoints without data")
    max_connections: int = setting(4, description="connections to the server at the same time", minimum=2, maximum=100)
    batch_bytes: int = setting(
        4 * 1024 * 1024,
        description="how much one read fetches; the number of rows follows from their size",
        minimum=1024,
    )
    max_batch_rows: int = setting(20_000, description="the most rows of one read", minimum=1)
    refresh_interval: Duration = setting(
        Duration("30s"),
        description="the longest time between two looks for new tables and capture instances",
    )
    reconnect_timeout: Duration = setting(
        Duration("5m"), description="how long a lost connection is tried again before the task fails"
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
    retention: Duration | None = setting(
        None, description="how long change tables keep changes, such as 3d; left alone if empty"
    )
    lock_config: dict[str, Any] = setting(
        default_factory=dict,
        description="of the older provider, without effect: a task has one runner by its lease in the state",
        sensitive=True,
    )

    def __post_init__(self) -> None:
        check_start(self.start)
        if self.max_poll_interval < self.poll_interval:
            raise ValueError("max_poll_interval is shorter than poll_interval")
