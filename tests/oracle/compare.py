"""Compare: what two databases have that differs, row by row, in SQL."""

from __future__ import annotations

import io

from tests.oracle.schema import Schema, Table
from tests.services.postgres import EmbeddedPostgres

_SHOWN = 3


def differences(server: EmbeddedPostgres, schema: Schema, source: str, target: str) -> list[str]:
    """What differs between the tables of the two databases; rows are compared in PostgreSQL's own text."""
    found = []
    for table in schema.followed:
        with server.connect(source) as connection, connection.cursor() as cursor:
            text = io.StringIO()
            cursor.copy_expert(f"COPY ({_rows(table)}) TO STDOUT", text)
        text.seek(0)
        with server.connect(target) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE theirs (row text)")
            cursor.copy_expert("COPY theirs FROM STDIN", text)
            for what, sql in (
                ("missing", f"SELECT row FROM theirs EXCEPT ALL {_rows(table)}"),
                ("left over", f"{_rows(table)} EXCEPT ALL SELECT row FROM theirs"),
            ):
                cursor.execute(sql)
                rows = [row for (row,) in cursor.fetchall()]
                if rows:
                    shown = "; ".join(row[:300] for row in rows[:_SHOWN])
                    found.append(f"{table.sql}: {len(rows)} rows {what}: {shown}")
    return found


def _rows(table: Table) -> str:
    columns = ", ".join(f"t.{column.sql}" for column in table.columns if column.name != "counted")
    return f"SELECT ROW({columns})::text FROM ONLY {table.sql} AS t"
