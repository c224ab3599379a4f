"""Target: inspects and creates the tables that the output writes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dstream_postgres.column_types import declared_type, guessed_type, json_schema_type, widens
from dstream_postgres.database import rows
from dstream_postgres.names import Table, parse_table, quote, table_named
from dstream_postgres.rows import Row
from dstream_postgres.settings import OutputSettings
from dstream_sdk import Column, InvalidError, log
from dstream_sdk import Stream as StreamInfo

_COLUMNS = """
SELECT a.attname::text, format_type(a.atttypid, -1), format_type(a.atttypid, a.atttypmod),
  (WITH RECURSIVE t(oid, base) AS (SELECT p.oid, p.typbasetype FROM pg_type p WHERE p.oid = a.atttypid UNION ALL
   SELECT p.oid, p.typbasetype FROM pg_type p JOIN t ON p.oid = t.base) SELECT oid::bigint FROM t WHERE base = 0),
  a.attnotnull, a.attgenerated <> '', a.attidentity = 'a',
  (SELECT typarray <> 0 AND typcategory <> 'A' AND typdelim = ',' FROM pg_type WHERE oid = a.atttypid)
FROM pg_attribute a WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_TREE = "SELECT %s::oid AS relid UNION SELECT relid FROM pg_partition_tree(%s::oid)"
_INDEXES = f"""
WITH tree AS ({_TREE})
SELECT i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT i.indisexclusion,
  i.indrelid = %s, (SELECT array_agg(a.attname::text) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, at)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.at <= i.indnkeyatts)
FROM pg_index i JOIN tree ON tree.relid = i.indrelid WHERE i.indisunique OR i.indisexclusion
"""  # noqa: S608 - constants
_TRIGGERS = f"""
WITH tree AS ({_TREE}), fires AS (SELECT CASE WHEN current_setting('session_replication_role') = 'replica'
  THEN ARRAY['R', 'A'] ELSE ARRAY['O', 'A'] END AS states)
SELECT coalesce(bool_or(NOT tgisinternal), false) OR EXISTS (SELECT FROM pg_rewrite r JOIN tree ON r.ev_class = relid
  WHERE r.ev_type <> '1'), coalesce(bool_or(tgisinternal), false)
FROM pg_trigger JOIN tree ON tgrelid = relid, fires WHERE tgenabled::text = ANY (states)
"""  # noqa: S608 - constants
_JSON_TYPES = (114, 3802)
_TEXT_TYPES = (25, 1042, 1043, 19, 18)


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column. `type` has no modifiers such as a length, `full_type` has them."""

    name: str
    type: str
    full_type: str
    json: bool
    text: bool
    required: bool
    generated: bool
    always: bool
    """GENERATED ALWAYS AS IDENTITY: SQL takes no other value in an UPDATE."""
    listed: bool = False
    """Whether its type has arrays, with commas between the elements, and `unnest` gives the elements back."""


@dataclass(frozen=True, slots=True)
class TargetTable:
    """A table as it is. `unique` are the sets of columns that an immediate unique index makes a key."""

    table: Table
    columns: Mapping[str, TargetColumn]
    unique: frozenset[frozenset[str]]
    constrained: frozenset[frozenset[str]]
    """Columns of all unique indexes and exclusions, those included that are partial, deferrable or of expressions."""
    triggers: bool
    """Whether triggers or rules of the users fire when it is written to."""
    references: bool
    """Whether foreign keys from or to it are checked."""
    kind: str
    """pg_class.relkind: r table, p partitioned, v view, f foreign."""
    fixed: bool = False
    """Whether it has an identity column that is GENERATED ALWAYS."""

    @property
    def only(self) -> str:
        """The name for statements that must not reach tables that inherit from it: their rows are their own."""
        return f"ONLY {self.table.sql}" if self.kind == "r" else self.table.sql

    def arbiter(self, key: Sequence[str]) -> bool:
        """Whether ON CONFLICT can be told of the key."""
        return frozenset(key) in self.unique

    def commutes(self, key: Sequence[str]) -> bool:
        """Whether the order of changes to different keys cannot be seen: nothing but the key ties rows together."""
        tied = self.triggers or self.references or self.kind not in "rp"
        return not tied and frozenset(key) in self.unique and self.constrained <= {frozenset(key)}


class Target:
    """Finds the table for each TableName, creating what is missing if the settings say so."""

    def __init__(self, connection: Any, config: OutputSettings, streams: Iterable[StreamInfo]) -> None:
        self._connection = connection
        self._config = config
        self._streams = {stream.name: stream for stream in streams}
        self._known: dict[str, TargetTable] = {}
        self._last: dict[str, tuple[str, ...]] = {}
        """The columns of the last row for each table in `_known`: those of the next one are mostly the same."""

    def describe(self, stream: StreamInfo) -> None:
        """Take the columns that a stream has from here on; with `create_tables`, widen those that have become wider."""
        self._streams[stream.name] = stream
        self._known.pop(stream.name, None)
        self._last.pop(stream.name, None)
        if not (self._config.create_tables and stream.columns):
            return
        table = self._name(stream.name)
        found = self._read(table)
        if found is None or found.kind != "r":
            return
        sent = {column.name: column for column in stream.columns}
        for name, present in found.columns.items():
            column = sent.get(name)
            required = declared_type(column, self._has_type) if column else present.full_type
            if widens(present.full_type, required):
                self._alter(table, f"ALTER COLUMN {quote(name)} TYPE {required}")
            if present.required and name not in stream.key and (column is None or column.nullable):
                self._alter(table, f"ALTER COLUMN {quote(name)} DROP NOT NULL")

    def existing(self, stream: str) -> tuple[Table, TargetTable | None]:
        """The name of the table that the rows of a stream go to, and the table if it exists. Raises InvalidError."""
        table = self._name(stream)
        return table, self._read(table)

    def type_of(self, column: Column) -> str:
        """The type of a column that is created for one that the input describes."""
        return declared_type(column, self._has_type)

    def forget(self) -> None:
        """Inspect all tables again: their changes have been rolled back."""
        self._known.clear()
        self._last.clear()

    def _alter(self, table: Table, change: str) -> None:
        rows(self._connection, f"ALTER TABLE {table.sql} {change}")
        log(f"{table}: the input describes other columns: {change}")

    def _has_type(self, name: str) -> bool:
        return bool(rows(self._connection, "SELECT to_regtype(%s) IS NOT NULL", (name,))[0][0])

    def table_for(self, row: Row) -> TargetTable:
        """The table that a row goes to, with all its columns. InvalidError if there is none and none is to be made."""
        found = self._known.get(row.table)
        if found is not None and (row.columns == self._last.get(row.table) or found.columns.keys() >= {*row.columns}):
            self._last[row.table] = row.columns
            return found
        found = self._known[row.table] = self._look(row)
        return found

    def _look(self, row: Row) -> TargetTable:
        table = self._name(row.table)
        found = self._read(table)
        if found is None:
            if not self._config.create_tables:
                raise InvalidError(
                    "No such table",
                    f"the target has no table {table} (for {row.table!r}), or the role may not use it. Create it, name "
                    "another one in the output's `tables`, or set create_tables = true.",
                )
            self._create(table, row)
            found = self._read(table)
        missing = [name for name in row.columns if found is None or name not in found.columns]
        if missing:
            if not self._config.create_tables:
                raise InvalidError(
                    "No such column",
                    f"the target's table {table} has no column {', '.join(missing)}. Add what is missing, or set "
                    "create_tables = true.",
                )
            for name in missing:
                kind = self._type(row, name)
                rows(self._connection, f"ALTER TABLE {table.sql} ADD COLUMN IF NOT EXISTS {quote(name)} {kind}")
            found = self._read(table)
        assert found is not None  # noqa: S101 - it has just been made
        return found

    def _name(self, name: str) -> Table:
        schema = self._config.schema
        chosen = self._config.tables.get(name) or name or self._config.table
        if not chosen:
            raise InvalidError(
                "No table named",
                "an envelope has no TableName. Say where such rows go with the output's `table`.",
                path="config.table",
            )
        if name and name not in self._config.tables:
            table = table_named(name)
            return Table(schema, table.name) if schema else table
        try:
            table = parse_table(chosen)
        except ValueError:
            first, _, rest = chosen.partition(".")
            table = Table(first or "public", rest or first)
        return table if name or not schema else Table(schema, table.name)

    def _read(self, table: Table) -> TargetTable | None:
        found = rows(
            self._connection,
            "SELECT c.oid::bigint, c.relkind, row_security_active(c.oid)"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'f')",
            (table.schema, table.name),
        )
        if not found:
            return None
        ((oid, kind, secured),) = found
        if secured:
            raise InvalidError(
                "Row-level security in the target",
                f"policies of {table} hold for this role. A row that they hide could be neither updated nor deleted, "
                "without an error. Give the role BYPASSRLS, or exempt it from the policies as the table's owner.",
            )
        columns = {
            name: TargetColumn(name, plain, full, base in _JSON_TYPES, base in _TEXT_TYPES, *more)
            for name, plain, full, base, *more in rows(self._connection, _COLUMNS, (oid,))
        }
        indexes = rows(self._connection, _INDEXES, (oid, oid, oid))
        ((triggers, references),) = rows(self._connection, _TRIGGERS, (oid, oid))
        return TargetTable(
            table,
            columns,
            unique=frozenset(frozenset(names) for is_unique, own, names in indexes if is_unique and own),
            constrained=frozenset(
                frozenset(names) if is_unique else frozenset((*(names or ()), "")) for is_unique, _, names in indexes
            ),
            triggers=triggers,
            references=references,
            kind=kind,
            fixed=any(column.always for column in columns.values()),
        )

    def _create(self, table: Table, row: Row) -> None:
        declared, schema = self._declared(row), self._schema(row)
        names = list(dict.fromkeys((*declared, *row.key_columns, *(schema or row.columns), *row.columns)))
        parts = [f"{quote(name)} {self._type(row, name)}" + self._not_null(row, name) for name in names]
        if row.key_columns and not row.keyless:
            parts.append(f"PRIMARY KEY ({', '.join(quote(name) for name in row.key_columns)})")
        rows(self._connection, f"CREATE SCHEMA IF NOT EXISTS {quote(table.schema)}")
        rows(self._connection, f"CREATE TABLE IF NOT EXISTS {table.sql} ({', '.join(parts)})")
        if not schema and not declared:
            log(f"{table}: created from the first row, whose values suggest the types: the input does not give any")

    def _schema(self, row: Row) -> Mapping[str, Any]:
        stream = self._streams.get(row.table)
        properties = (stream.schema or {}).get("properties") if stream else None
        return properties if isinstance(properties, dict) else {}

    def _declared(self, row: Row) -> Mapping[str, Column]:
        stream = self._streams.get(row.table)
        return {column.name: column for column in stream.columns} if stream else {}

    def _not_null(self, row: Row, name: str) -> str:
        column = self._declared(row).get(name)
        return "" if column is None or column.nullable else " NOT NULL"

    def _type(self, row: Row, name: str) -> str:
        """A column type: as the input describes the column, else from its JSON Schema, else from the value at hand."""
        column = self._declared(row).get(name)
        if column is not None:
            return declared_type(column, self._has_type)
        declared = self._schema(row).get(name)
        if isinstance(declared, dict):
            return json_schema_type(declared)
        value = row.data.get(name, row.key_data.get(name))
        return guessed_type(bytes(value) if value is not None else b"null")
