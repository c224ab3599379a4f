"""Settings: the configuration of input, output and resources."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from dstream_sdk import setting

OPERATIONS = ("insert", "update", "delete", "truncate")
_LONGEST_NAME = 63


@dataclass(frozen=True)
class Connection:
    """How to reach a database: all that declared resources need."""

    connection_string: str = setting(
        description="libpq connection string or URL, such as postgresql://user:password@host:5432/database",
        aliases=("db_connection_string", "dsn"),
        sensitive=True,
    )


@dataclass(frozen=True)
class InputSettings(Connection):
    """What the input reads, and how."""

    tables: list[str] = setting(
        default_factory=list,
        description="tables to follow: name or schema.name, spelled as in the catalog; without a schema: public",
    )
    slot: str = setting("", description="replication slot; by default dstream_ and the task's name")
    publication: str = setting("", description="publication; by default dstream_ and the task's name")
    operations: list[str] = setting(
        list(OPERATIONS), description="what the publication publishes: insert, update, delete, truncate"
    )
    manage: bool = setting(True, description="whether the task creates publication and slot, or finds them there")
    replica_identity: Literal["", "default", "full", "nothing"] = setting(
        "", description="replica identity to give every table; left alone if empty"
    )
    allow_tables_without_key: bool = setting(
        False,
        description="publish updates and deletes of tables without a primary key, although the server then refuses "
        "UPDATE and DELETE on them",
    )
    keys: dict[str, list[str]] = setting(
        default_factory=dict,
        description="key columns by table; by default the primary key, else the replica identity",
    )
    snapshot: Literal["initial", "never"] = setting(
        "initial", description="initial: deliver the rows that a table has when it is first followed, as Read"
    )
    on_gap: Literal["fail", "snapshot"] = setting(
        "fail", description="what to do when changes were lost: fail, or empty the tables and read them again"
    )
    origin: Literal["others", "none", "any"] = setting(
        "others",
        description="changes with a replication origin: others leaves out those that dstream has written, none all of "
        "them, any none of them",
    )
    checkpoint_interval: int = setting(
        200, description="milliseconds between two checkpoints under load", minimum=1, maximum=60_000
    )
    heartbeat: int = setting(
        10_000, description="milliseconds between two checkpoints while nothing changes", minimum=10
    )
    chunk_rows: int = setting(10_000, description="rows between two checkpoints of a snapshot", minimum=1)

    def __post_init__(self) -> None:
        unknown = [name for name in self.operations if name not in OPERATIONS]
        if unknown or not self.operations:
            raise ValueError(f"operations are any of {', '.join(OPERATIONS)}; found {', '.join(unknown) or 'none'}")
        if not self.tables:
            raise ValueError("tables names at least one table")

    def slot_name(self, task: str) -> str:
        """The slot: the setting, or a name made of the task's."""
        return self.slot or object_name(task)

    def publication_name(self, task: str) -> str:
        """The publication: the setting, or a name made of the task's."""
        return self.publication or object_name(task)


@dataclass(frozen=True)
class OutputSettings(Connection):
    """Where the output writes, and how."""

    schema: str = setting(
        "", description="schema to write all tables to; by default the one in the envelope's TableName, else public"
    )
    tables: dict[str, str] = setting(
        default_factory=dict, description="target table by TableName, where it differs: name or schema.name"
    )
    table: str = setting("", description="target table of envelopes without a TableName")
    create_tables: bool = setting(
        False, description="whether tables that are missing are created, from the input's schema or the first rows"
    )
    deletes: Literal["apply", "ignore"] = setting("apply", description="whether deletes and truncates are applied")
    session_replication_role: Literal["origin", "local", "replica"] = setting(
        "origin",
        description="replica: foreign keys are not checked and triggers do not fire, as in PostgreSQL's replication",
    )
    replay: Literal["ordered", "any"] = setting(
        "ordered",
        description="dead letters that are replayed: ordered: none overwrites a later change; any: all are written",
    )
    origin: bool = setting(
        True, description="whether what is written carries a replication origin, so that inputs can leave it out"
    )
    checkpoint_table: str = setting("public.dstream_checkpoint", description="table that keeps the checkpoint")


def object_name(task: str) -> str:
    """A name for a slot or publication of a task: `orders-to-lake` -> `dstream_orders_to_lake`.

    Slots allow a-z, 0-9 and _ only, and 63 of them; a name that lost more than hyphens and capitals ends in a
    digest of the task's.
    """
    plain = task.lower().replace("-", "_")
    name = "dstream_" + re.sub(r"[^a-z0-9_]+", "_", plain) if plain else "dstream"
    if re.fullmatch(r"[a-z0-9_]*", plain) and len(name) <= _LONGEST_NAME:
        return name
    import hashlib

    digest = hashlib.sha256(task.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9].rstrip('_')}_{digest}"
