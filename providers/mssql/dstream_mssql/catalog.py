"""Catalog: the tables of a database with their columns, keys and capture instances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dstream_mssql import statements
from dstream_mssql.database import Database
from dstream_mssql.errors import number_of
from dstream_mssql.lsn import from_bytes
from dstream_mssql.names import Pattern, Table
from dstream_sdk import DeniedError, InvalidError, ProviderError

_NO_SUCH_OBJECT = 208


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `ordinal` is its number in the capture instance, as the update mask counts columns."""

    name: str
    type: str
    length: int | None = None
    nullable: bool = True
    computed: bool = False
    ordinal: int = 0
    precision: int = 0
    scale: int = 0
    id: int = 0
    """The column's id in the table. SQL Server never reuses it."""
    column_set: bool = False
    """Whether this is the XML column set of the sparse columns, which CDC never captures."""

    @property
    def selected(self) -> tuple[str, str, int | None]:
        """Name, type and length, as `statements.selected` takes them."""
        return self.name, self.type, self.length

    @property
    def large(self) -> bool:
        """Whether before images have this column only if the update changed it."""
        return self.type in ("text", "ntext", "image", "xml") or self.length == -1


@dataclass(frozen=True, slots=True)
class Instance:
    """A capture instance. `object_id` is that of its change table; a recreated instance has a new one.

    While `start_lsn` is 0 the capture agent has not reached its creation in the log, and it cannot be read yet.
    """

    name: str
    object_id: int
    source_id: int
    start_lsn: int
    created: str
    role: str | None
    columns: tuple[Column, ...]
    index: tuple[str, ...]
    command_ids: bool = False
    """Whether its change table has the column `__$command_id`."""
    altered: bool = False
    """Whether `cdc.ddl_history` records an ALTER TABLE since its creation; False if this login cannot read it."""


@dataclass(slots=True)
class Source:
    """A table with its capture instances, oldest first."""

    table: Table
    object_id: int
    columns: tuple[Column, ...] = ()
    primary_key: tuple[str, ...] = ()
    instances: tuple[Instance, ...] = ()

    @property
    def readable(self) -> tuple[Instance, ...]:
        """The capture instances that the capture agent has started."""
        return tuple(instance for instance in self.instances if instance.start_lsn)

    @property
    def uncaptured(self) -> tuple[str, ...]:
        """Columns that were added after the newest capture instance was created, and that it therefore lacks.

        A column that was dropped and added again counts, because its id is new. A column that was left out when the
        instance was created does not count, as long as a later column is captured.
        """
        if not self.instances:
            return ()
        newest = max((column.id for column in self.instances[-1].columns), default=0)
        return tuple(
            column.name
            for column in self.columns
            if column.id > newest and not column.computed and not column.column_set
        )

    def key(self, chosen: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the key columns: those configured, else the primary key, else CDC's unique index."""
        if chosen:
            return tuple(chosen)
        if self.primary_key:
            return self.primary_key
        return self.instances[-1].index if self.instances else ()


@dataclass(slots=True)
class Catalog:
    """The contents of a database at one moment."""

    database: str
    cdc: bool
    snapshot_isolation: bool
    guid: str
    read_only: bool = False
    """Whether this is a read-only replica, where no locks are taken and CDC cannot be enabled."""
    sources: dict[tuple[str, str], Source] = field(default_factory=dict)

    def selected(self, patterns: Sequence[Pattern], exclude: Sequence[Pattern] = ()) -> list[Source]:
        """Return the tables that match, in a fixed order. Wildcards match only tables with CDC.

        Without patterns, all tables with CDC match. A named table that does not exist is skipped; see `missing`.
        """
        found: dict[tuple[str, str], Source] = {}
        if not patterns:
            found = {key: one for key, one in sorted(self.sources.items()) if one.instances}
        for pattern in patterns:
            if not pattern.wild:
                one = self.sources.get(pattern.table.folded)
                if one is not None:
                    found[one.table.folded] = one
                continue
            for key, one in sorted(self.sources.items()):
                if one.instances and pattern.matches(one.table):
                    found[key] = one
        return [one for one in found.values() if not any(pattern.matches(one.table) for pattern in exclude)]

    def missing(self, patterns: Sequence[Pattern]) -> list[str]:
        """Return the named tables that do not exist."""
        return [
            pattern.table.full for pattern in patterns if not pattern.wild and pattern.table.folded not in self.sources
        ]


def retention_of(database: Database) -> int | None:
    """Return the retention in minutes, or None if the cleanup job does not exist yet. Raises ProviderError."""
    try:
        found = database.rows(statements.RETENTION_IN_AZURE if database.in_azure else statements.RETENTION)
    except InvalidError as problem:
        if number_of(problem) == _NO_SUCH_OBJECT:
            return None
        raise
    return int(found[0][0]) if found else None


def read_catalog(database: Database) -> Catalog:
    """Read the catalog of the database. Raises ProviderError."""
    found = database.rows(statements.DATABASE)
    if not found:
        raise ProviderError("Database not found", "sys.databases does not have the database of this connection")
    name, cdc, isolation, guid, updateability = found[0]
    catalog = Catalog(str(name), bool(cdc), isolation == 1, str(guid), updateability == "READ_ONLY")
    by_id: dict[int, Source] = {}
    for object_id, schema, table, _ in database.rows(statements.TABLES):
        source = Source(Table(schema, table), object_id)
        by_id[object_id] = catalog.sources[source.table.folded] = source
    columns: dict[int, list[Column]] = defaultdict(list)
    for object_id, name, kind, length, *flags, precision, scale, number, column_set in database.rows(
        statements.COLUMNS
    ):
        nullable, computed = map(bool, flags)
        sizes = (precision or 0, scale or 0)
        columns[object_id].append(Column(name, kind, length, nullable, computed, 0, *sizes, number, bool(column_set)))
    keys: dict[int, list[str]] = defaultdict(list)
    for object_id, column in database.rows(statements.PRIMARY_KEYS):
        keys[object_id].append(column)
    for object_id, source in by_id.items():
        source.columns, source.primary_key = tuple(columns[object_id]), tuple(keys[object_id])
    if catalog.cdc:
        for instance in _instances(database):
            owner = by_id.get(instance.source_id)
            if owner is not None:
                owner.instances = tuple(
                    sorted((*owner.instances, instance), key=lambda one: (one.created, one.start_lsn, one.name))
                )
    return catalog


def _instances(database: Database) -> list[Instance]:
    captured: dict[int, list[Column]] = defaultdict(list)
    for object_id, name, kind, ordinal, computed, length, number in database.rows(statements.CAPTURED_COLUMNS):
        captured[object_id].append(Column(name, kind, length, True, bool(computed), ordinal, id=number))
    index: dict[int, list[str]] = defaultdict(list)
    for object_id, name in database.rows(statements.INDEX_COLUMNS):
        index[object_id].append(name)
    try:
        altered = {object_id for (object_id,) in database.rows(statements.ALTERED)}
    except DeniedError:
        altered = set()
    numbered = {object_id for (object_id,) in database.rows(statements.COMMAND_IDS)}
    return [
        Instance(
            name,
            object_id,
            source,
            from_bytes(start),
            created,
            role,
            tuple(captured[object_id]),
            tuple(index[object_id]),
            object_id in numbered,
            object_id in altered,
        )
        for name, object_id, source, start, created, role in database.rows(statements.INSTANCES)
    ]


_NUMBERS = {"tinyint", "smallint", "int", "bigint"}
_DECIMALS = {"decimal", "numeric", "money", "smallmoney", "real", "float"}
_FORMATS = {"datetimeoffset": "date-time", "date": "date", "uniqueidentifier": "uuid"}


def json_schema(columns: Sequence[Column], *, strings: bool) -> Mapping[str, Any]:
    """Return the JSON Schema of a table's `data`, without computed columns, which CDC does not capture."""
    properties: dict[str, Any] = {}
    for column in columns:
        if column.computed or column.column_set:
            continue
        kind = "string"
        if not strings and column.type != "sql_variant":
            kind = (
                "integer"
                if column.type in _NUMBERS
                else "number"
                if column.type in _DECIMALS
                else "boolean"
                if column.type == "bit"
                else "string"
            )
        body: dict[str, Any] = {"type": [kind, "null"] if column.nullable else kind}
        if column.type == "sql_variant" and not strings:
            body = {}
        if kind == "string" and column.type in _FORMATS:
            body["format"] = _FORMATS[column.type]
        body["x-sql-type"] = column.type
        properties[column.name] = body
    return {"type": "object", "properties": properties}


def check_key(source: Source, key: Sequence[str]) -> None:
    """Raise InvalidError if a key names a column that the table does not have."""
    names = {column.name for column in source.columns}
    unknown = [name for name in key if name not in names]
    if unknown:
        raise InvalidError(
            "Column not found", f"the table {source.table.full} has no column {', '.join(unknown)}", path="config.keys"
        )
