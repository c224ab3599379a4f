"""Target: the tables that the output writes to, as they are, and as it creates them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dstream_postgres.database import rows
from dstream_postgres.names import Table, parse_table, quote
from dstream_postgres.rows import Row
from dstream_postgres.settings import OutputSettings
from dstream_sdk import InvalidError
from dstream_sdk import Stream as StreamInfo

_JSON_TYPES = {"integer": "bigint", "number": "numeric", "boolean": "boolean", "object": "jsonb", "array": "jsonb"}
_FORMATS = {"date-time": "timestamptz", "date": "date", "uuid": "uuid"}


@dataclass(slots=True)
class TargetTable:
    """A table: its columns and the sets of columns that a unique index makes a key."""

    table: Table
    columns: frozenset[str]
    unique: frozenset[frozenset[str]] = field(default_factory=frozenset)


class Target:
    """Finds the table for each TableName, creating what is missing if the settings say so."""

    def __init__(self, connection: Any, config: OutputSettings, streams: Sequence[StreamInfo]) -> None:
        self._connection = connection
        self._config = config
        self._streams = {stream.name: stream for stream in streams}
        self._known: dict[str, TargetTable] = {}

    def table_for(self, row: Row) -> TargetTable:
        """The table that a row goes to, with all its columns. InvalidError if there is none and none is to be made."""
        found = self._known.get(row.table)
        if found is None or not found.columns.issuperset(row.columns):
            found = self._known[row.table] = self._look(row)
        return found

    def _look(self, row: Row) -> TargetTable:
        table = self._name(row.table)
        found = self._read(table)
        if not found.columns:
            if not self._config.create_tables:
                raise InvalidError(
                    "No such table",
                    f"the target has no table {table} (for {row.table!r}), or the role may not use it. Create it, name "
                    "another one in the output's `tables`, or set create_tables = true.",
                )
            self._create(table, row)
            found = self._read(table)
        missing = [name for name in row.columns if name not in found.columns]
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
        try:
            table = parse_table(chosen)
        except ValueError:
            first, _, rest = chosen.partition(".")
            table = Table(first or "public", rest or first)
        return Table(schema, table.name) if schema and name not in self._config.tables else table

    def _read(self, table: Table) -> TargetTable:
        columns = rows(
            self._connection,
            "SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s"
            " AND c.relkind IN ('r', 'p', 'v', 'f') AND a.attnum > 0 AND NOT a.attisdropped",
            (table.schema, table.name),
        )
        unique = rows(
            self._connection,
            "SELECT array_agg(a.attname::text) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, at)"
            " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum"
            " WHERE n.nspname = %s AND c.relname = %s AND i.indisunique AND i.indisvalid AND i.indimmediate"
            " AND i.indpred IS NULL AND i.indexprs IS NULL AND k.at <= i.indnkeyatts GROUP BY i.indexrelid",
            (table.schema, table.name),
        )
        return TargetTable(
            table,
            frozenset(name for (name,) in columns),
            frozenset(frozenset(names) for (names,) in unique),
        )

    def _create(self, table: Table, row: Row) -> None:
        schema = self._schema(row)
        names = list(dict.fromkeys((*row.key_columns, *(schema or row.columns), *row.columns)))
        parts = [f"{quote(name)} {self._type(row, name)}" for name in names]
        if row.key_columns:
            parts.append(f"PRIMARY KEY ({', '.join(quote(name) for name in row.key_columns)})")
        rows(self._connection, f"CREATE SCHEMA IF NOT EXISTS {quote(table.schema)}")
        rows(self._connection, f"CREATE TABLE IF NOT EXISTS {table.sql} ({', '.join(parts)})")

    def _schema(self, row: Row) -> Mapping[str, Any]:
        stream = self._streams.get(row.table)
        properties = (stream.schema or {}).get("properties") if stream else None
        return properties if isinstance(properties, dict) else {}

    def _type(self, row: Row, name: str) -> str:
        """A column type: from the input's JSON Schema, else from the value at hand; text takes everything."""
        declared = self._schema(row).get(name)
        if isinstance(declared, dict):
            kinds = declared.get("type")
            kind = next((one for one in kinds if one != "null"), "") if isinstance(kinds, list) else str(kinds or "")
            return _FORMATS.get(str(declared.get("format"))) or _JSON_TYPES.get(kind, "text")
        value = row.values.get(name)
        if isinstance(value, bool):
            return "boolean"
        if isinstance(value, int):
            return "bigint"
        if isinstance(value, float):
            return "numeric"
        return "jsonb" if isinstance(value, dict | list) else "text"
