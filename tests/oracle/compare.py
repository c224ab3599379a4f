"""Compare: what two databases have that differs, row by row, in SQL."""

from __future__ import annotations

import io

from tests.oracle.connections import Server
from tests.oracle.schema import Schema, Table

_SHOWN = 3


def differences(server: Server, schema: Schema, source: str, target: str, *, created: bool = False) -> list[str]:
    """What differs between the tables of the two databases; rows are compared in PostgreSQL's own text.

    `created`: the target's tables were made by what fills them, as far as rows came.
    """
    found = []
    for table in schema.followed:
        with server.connect(source) as connection, connection.cursor() as cursor:
            text = io.StringIO()
            cursor.copy_expert(f"COPY ({_rows(table, created)}) TO STDOUT", text)
        text.seek(0)
        with server.connect(target) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE theirs (row text)")
            cursor.copy_expert("COPY theirs FROM STDIN", text)
            here = _columns(cursor, table) if created else None
            ours = _rows(table, created, here)
            for what, sql in (
                ("missing", f"SELECT row FROM theirs EXCEPT ALL {ours}"),
                ("left over", f"{ours} EXCEPT ALL SELECT row FROM theirs"),
            ):
                cursor.execute(sql)
                rows = [row for (row,) in cursor.fetchall()]
                if rows:
                    shown = "; ".join(row[:300] for row in rows[:_SHOWN])
                    found.append(f"{table.sql}: {len(rows)} rows {what}: {shown}")
    return found


def _columns(cursor: object, table: Table) -> frozenset[str]:
    cursor.execute(  # type: ignore[attr-defined]
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0", (table.sql,)
    )
    return frozenset(name for (name,) in cursor.fetchall())  # type: ignore[attr-defined]


def _rows(table: Table, created: bool, here: frozenset[str] | None = None) -> str:
    """The rows as text. `here` are the columns that are there, where not all of them may be."""
    if here is not None and not here:
        return "SELECT NULL::text WHERE false"
    wanted = [
        column for column in table.columns
        if column.name != "counted" and not (created and column.kind == "computed" and column not in table.key)
    ]  # fmt: skip
    columns = ", ".join(f"t.{column.sql}" if here is None or column.name in here else "NULL::text" for column in wanted)
    return f"SELECT ROW({columns})::text FROM {table.only} AS t"
