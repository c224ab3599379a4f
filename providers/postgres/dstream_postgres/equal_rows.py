"""Equal rows: SQL that counts rows of a table without a key, and finds those that a transaction has written."""

from __future__ import annotations

from collections.abc import Sequence

from dstream_postgres.rows import Row
from dstream_postgres.statements import compared
from dstream_postgres.target import TargetTable


def count_equal(table: TargetTable, rows: Sequence[Row]) -> bytes:
    """Count the rows that equal each row: (place in `rows`, digest of the row as it is stored, count).

    The rows have the same columns, and no earlier values.
    """
    pairs = [compared(table, row.key_data, row.json_nulls, ()) for row in rows]
    listed = b", ".join(b"(%d, %s::text)" % (place, literals) for place, (_, literals) in enumerate(pairs))
    return (
        b"SELECT v.place, md5(v.text), count(c.text) FROM (VALUES " + listed
        + f") AS v (place, text) LEFT JOIN (SELECT {pairs[0][0]}::text FROM {table.only} AS e) AS c (text)".encode()
        + b" ON c.text = v.text GROUP BY v.place, v.text"
    )  # fmt: skip


def written_now(table: TargetTable, row: Row) -> bytes:
    """The rows that the open transaction has written: (place in the table, digest as `count_equal` makes it)."""
    own, _ = compared(table, row.key_data, row.json_nulls, ())
    epoch = "(pg_current_xact_id()::text::bigint >> 32 << 32)"
    return (
        f"SELECT ROW(e.tableoid, e.ctid)::text, md5({own}::text) FROM {table.only} AS e"
        " WHERE CASE WHEN age(e.xmin) <= age(pg_current_xact_id()::xid)"
        f" THEN pg_xact_status(({epoch} + e.xmin::text::bigint)::text::xid8) = 'in progress' END"
    ).encode()


def delete_places(table: TargetTable, places: Sequence[str]) -> bytes:
    """Delete the rows at places that `written_now` returned."""
    listed = ", ".join(f"'{place}'" for place in places)
    return f"DELETE FROM {table.only} AS t WHERE ROW(t.tableoid, t.ctid)::text IN ({listed})".encode()
