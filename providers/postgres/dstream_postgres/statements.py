"""Statements: SQL for a change, or for a run of changes of one kind to one table.

Values are literals in the text: nothing in an identifier or a value is taken for a placeholder, and several statements
travel in one message. `standard_conforming_strings` is on in every session of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from dstream_postgres.names import quote
from dstream_postgres.rows import Operation, Row, Values
from dstream_postgres.target import TargetColumn, TargetTable
from dstream_postgres.values import NULL, array, field, literal, nested, plain, tuples


def columns_of(row: Row, table: TargetTable) -> tuple[TargetColumn, ...]:
    """The columns of a row that SQL may give a value: the target computes its generated ones itself."""
    return tuple(column for column in map(table.columns.__getitem__, row.columns) if not column.generated)


def insert(table: TargetTable, rows: Sequence[Row]) -> bytes:
    """Insert rows with the same columns; a row with the same key is replaced, where an index makes the key unique."""
    first = rows[0]
    columns = columns_of(first, table)
    conflict = ""
    fixed = any(column.always and column.name not in first.key_columns for column in columns)
    if first.key_columns and not first.keyless and not fixed and table.arbiter(first.key_columns):
        conflict = _conflict(columns, first.key_columns)
    return f"{_into(table, columns)} VALUES ".encode() + _tuples(rows, columns, table) + conflict.encode()


def copy(table: TargetTable, rows: Sequence[Row]) -> tuple[str, bytes] | None:
    """The COPY command for rows with the same columns, and its data; None where a value takes an SQL expression."""
    columns = columns_of(rows[0], table)
    listed = ", ".join(quote(column.name) for column in columns)
    command = f"COPY {table.table.sql} ({listed}) FROM STDIN WITH (FORMAT csv, DELIMITER E'\\t', NULL 'null')"
    text = _plain(rows, columns)
    if text is not None:
        return command, text + b"\n"
    others = [column for column in columns if not column.json and not column.text]
    if not columns or any(nested(bytes(row.data[column.name]), column) for column in others for row in rows):
        return None
    return command, b"".join([_fields(row, columns) for row in rows])


def _plain(rows: Sequence[Row], columns: Sequence[TargetColumn]) -> bytes | None:
    """The values of rows as they are written, separated by tabs and newlines, if nothing in them has to be decoded."""
    if len(columns) != len(rows[0].columns) or any(column.json for column in columns):
        return None
    text = b"\n".join([b"\t".join(row.data.values()) for row in rows])
    return text if plain(text) else None


def _tuples(rows: Sequence[Row], columns: Sequence[TargetColumn], table: TargetTable) -> bytes:
    """Rows with the same columns for VALUES, without types."""
    text = _plain(rows, columns) if rows else None
    return b", ".join([_tuple(row, columns, table) for row in rows]) if text is None else tuples(text)


def update(table: TargetTable, rows: Sequence[Row]) -> bytes:
    """Update rows with the same columns by their keys; rows that are not there stay so."""
    columns = columns_of(rows[0], table)
    keys = rows[0].key_columns
    names = {column.name: f"c{number}" for number, column in enumerate(columns)}
    extra = [table.columns[name] for name in keys if name not in names]
    names |= {column.name: f"k{number}" for number, column in enumerate(extra)}
    source = None
    if not extra and len(columns) == len(rows[0].columns):
        source = _arrays(columns, [row.data for row in rows])
    if source is None:
        listed = [_tuple(rows[0], columns, table, cast=True, more=[(rows[0].key_data, extra)])]
        if extra:
            listed += [_tuple(row, columns, table, more=[(row.key_data, extra)]) for row in rows[1:]]
        elif len(rows) > 1:
            listed.append(_tuples(rows[1:], columns, table))
        source = b"(VALUES " + b", ".join(listed) + b")"
    changed, fixed = _changes(columns, keys, names, "d")
    same = [f"t.{quote(name)} = d.{names[name]}" for name in keys]
    return (
        f"UPDATE {table.only} AS t SET {changed} FROM ".encode()
        + source
        + f" AS d ({', '.join(names.values())}) WHERE {' AND '.join(same + fixed)}".encode()
    )


def _arrays(columns: Sequence[TargetColumn], rows: Sequence[Values]) -> bytes | None:
    """Rows as a table made of an array for each column: the server parses it in half the time of VALUES.

    None for one row, or where a value or its type does not go into an array as it is.
    """
    if len(rows) < 2 or not columns or any(column.json or not column.listed for column in columns):
        return None
    arrays = []
    for column, values in zip(columns, zip(*[row.values() for row in rows], strict=True), strict=True):
        text = array(values, column)
        if text is None:
            return None
        arrays.append(text)
    return b"unnest(" + b", ".join(arrays) + b")"


def changes_anything(table: TargetTable, row: Row) -> bool:
    """Whether an update of the row sets a column: there may be nothing but the key."""
    return any(column.name not in row.key_columns for column in columns_of(row, table) if not column.always)


def delete(table: TargetTable, rows: Sequence[Row]) -> bytes:
    """Delete rows by their keys, which have no NULL unless it is one row."""
    keys = rows[0].key_columns
    source = _arrays([table.columns[name] for name in keys], [row.key_data for row in rows])
    if source is not None:
        same = " AND ".join(f"t.{quote(name)} = d.k{number}" for number, name in enumerate(keys))
        names = ", ".join(f"k{number}" for number in range(len(keys)))
        return f"DELETE FROM {table.only} AS t USING ".encode() + source + f" AS d ({names}) WHERE {same}".encode()
    return f"DELETE FROM {table.only} AS t WHERE ".encode() + _by_keys(table, [row.key_data for row in rows])


def delete_key(table: TargetTable, key: Values) -> bytes:
    """Delete the row with a key."""
    return f"DELETE FROM {table.only} AS t WHERE ".encode() + _by_keys(table, [key])


def truncate(tables: Iterable[TargetTable]) -> bytes:
    """Empty tables in one statement, so that foreign keys between them do not matter."""
    return b"TRUNCATE " + ", ".join(table.only for table in tables).encode()


def delete_all(table: TargetTable) -> bytes:
    """Empty a table that TRUNCATE refuses: one that another table refers to, or a view."""
    return f"DELETE FROM {table.only}".encode()


def upsert_one(table: TargetTable, row: Row) -> bytes:
    """Update one whole row by its key, its old one if that has changed, and insert it if it is not there."""
    columns = columns_of(row, table)
    if not table.arbiter(row.key_columns):
        gone = row.old_key_data or row.key_data
        return (
            f"DELETE FROM {table.only} AS t WHERE ".encode() + _by_keys(table, [gone]) + b"; "
            + f"{_into(table, columns)} VALUES ".encode() + _tuple(row, columns, table)
        )  # fmt: skip
    if row.old_key_data is None and not changes_anything(table, row):
        return insert(table, [row])
    found = f"WITH found AS (UPDATE {table.only} AS t SET ".encode() + _assignments(row, columns, table)
    found += b" WHERE " + _by_keys(table, [row.old_key_data or row.key_data]) + b" RETURNING 1) "
    values = _tuple(row, columns, table, cast=True)[1:-1]
    conflict = _conflict(columns, row.key_columns).encode() if row.old_key_data else b""
    return (
        found + f"{_into(table, columns)} SELECT ".encode() + values
        + b" WHERE NOT EXISTS (SELECT FROM found)" + conflict
    )  # fmt: skip


def replace_fixed(table: TargetTable, row: Row, *, moved: bool) -> bytes:
    """Delete a row and insert it again if a column that SQL cannot assign gets another value.

    That is an identity column which is GENERATED ALWAYS. Columns that were not sent keep their values, and so do those
    of the key, unless such a column of the key has changed: `moved`.
    """
    sent = {column.name: column for column in columns_of(row, table)}
    kept = () if moved or row.old_key_data is None else row.key_columns
    columns = [column for column in table.columns.values() if not column.generated]
    values = [
        literal(bytes(row.data[column.name]), column, table, column.name in row.json_nulls)
        + f"::{column.type}".encode()
        if column.name in sent and column.name not in kept
        else b"gone." + quote(column.name).encode()
        for column in columns
    ]
    differ = b" OR ".join(
        f"t.{quote(column.name)} IS DISTINCT FROM ".encode() + value
        for column, value in zip(columns, values, strict=True)
        if column.always and column.name in sent and column.name not in kept
    )
    where = _by_keys(table, [row.old_key_data or row.key_data])
    if not moved:
        where += b" AND (" + differ + b")"
    return (
        f"WITH gone AS (DELETE FROM {table.only} AS t WHERE ".encode() + where
        + f" RETURNING t.*) {_into(table, columns)} SELECT ".encode() + b", ".join(values) + b" FROM gone"
    )  # fmt: skip


def _moved(table: TargetTable, row: Row) -> bool:
    """Whether a column of the key that SQL cannot assign has changed."""
    old = row.old_key_data or row.key_data
    return any(table.columns[name].always and bytes(row.key_data[name]) != bytes(old[name]) for name in row.key_columns)


def one(table: TargetTable, row: Row) -> bytes:
    """All that one row takes, as one message. Fails with division_by_zero where a row must be there and is not."""
    if row.operation is Operation.TRUNCATE:
        return truncate([table])
    if row.keyless and row.operation is not Operation.INSERT:
        return delete_equal(table, row) if row.operation is Operation.DELETE else update_equal(table, row)
    if row.operation is Operation.DELETE:
        return delete(table, [row])
    if not row.key_columns or row.keyless:
        return insert(table, [row])
    before = b""
    moved = _moved(table, row)
    if not row.unchanged and not table.arbiter(row.key_columns):
        return upsert_one(table, row)  # it deletes and inserts
    if moved or any(column.always and column.name not in row.key_columns for column in columns_of(row, table)):
        before = replace_fixed(table, row, moved=moved) + b"; "
        if moved:
            row = replace(row, old_key=None, old_key_data=None)  # it has its new key by now
    if row.unchanged:
        return before + update_one(table, row)
    if row.operation is Operation.INSERT and not before and table.arbiter(row.key_columns) and row.old_key is None:
        return insert(table, [row])
    return before + upsert_one(table, row)


def update_one(table: TargetTable, row: Row) -> bytes:
    """Update one row that may have columns that were not sent, by its key; by its old one first if that has changed.

    Fails with division_by_zero if the row is not there: what was not sent is not known.
    """
    columns = columns_of(row, table)
    at_key = b" WHERE " + _by_keys(table, [row.key_data])
    if row.old_key_data is None:
        if not changes_anything(table, row):
            return f"SELECT 1 / count(*)::int FROM {table.only} AS t".encode() + at_key
        change = f"UPDATE {table.only} AS t SET ".encode() + _assignments(row, columns, table)
        return b"WITH found AS (" + change + at_key + b" RETURNING 1) SELECT 1 / count(*)::int FROM found"
    change = f"UPDATE {table.only} AS t SET ".encode() + _assignments(row, columns, table)
    moved = change + b" WHERE " + _by_keys(table, [row.old_key_data]) + b" RETURNING 1"
    there = change + at_key + b" AND NOT EXISTS (SELECT FROM moved) RETURNING 1"
    return (
        b"WITH moved AS (" + moved + b"), found AS (" + there + b") SELECT 1 / count(*)::int"
        b" FROM (SELECT FROM moved UNION ALL SELECT FROM found) AS either"
    )


def exchange(table: TargetTable, rows: Sequence[Row]) -> bytes:
    """Give rows with the same columns other keys in one statement. Rows with fixed columns are deleted and inserted."""
    columns = columns_of(rows[0], table)
    keys = [table.columns[name] for name in rows[0].key_columns]
    names = {column.name: f"c{number}" for number, column in enumerate(columns)}
    old = {column.name: f"o{number}" for number, column in enumerate(keys)}
    listed = []
    for number, row in enumerate(rows):
        listed.append(_tuple(row, columns, table, cast=number == 0, more=[(row.old_key_data or row.key_data, keys)]))
    source = b"(VALUES " + b", ".join(listed) + f") AS d ({', '.join((*names.values(), *old.values()))})".encode()
    where = " WHERE " + " AND ".join(f"t.{quote(name)} = d.{alias}" for name, alias in old.items())
    if not table.fixed:
        changed, _ = _changes(columns, (), names, "d")
        return f"UPDATE {table.only} AS t SET {changed} FROM ".encode() + source + where.encode()
    every = [column for column in table.columns.values() if not column.generated]
    values = [f"d.{names[each.name]}" if each.name in names else f"t.{quote(each.name)}" for each in every]
    aliases = ", ".join(f"v{number}" for number in range(len(every)))
    return (
        f"WITH gone ({aliases}) AS (DELETE FROM {table.only} AS t USING ".encode() + source
        + f"{where} RETURNING {', '.join(values)}) {_into(table, every)} SELECT {aliases} FROM gone".encode()
    )  # fmt: skip


def delete_equal(table: TargetTable, row: Row) -> bytes:
    """Delete one of the rows that equal the row."""
    return f"DELETE FROM {table.only} AS t WHERE ".encode() + _one_equal(table, row)


def update_equal(table: TargetTable, row: Row) -> bytes:
    """Update one of the rows that equal the row as it was. Fails with division_by_zero if there is none."""
    assignments = _assignments(row, columns_of(row, table), table)
    if not assignments:  # an update that gave the row the values it had
        found = f"SELECT 1 / count(*)::int FROM {table.only} AS t WHERE ".encode()
        return found + _one_equal(table, row)
    return (
        f"WITH found AS (UPDATE {table.only} AS t SET ".encode() + assignments
        + b" WHERE " + _one_equal(table, row)
        + b" RETURNING 1) SELECT 1 / count(*)::int FROM found"
    )  # fmt: skip


def has_null(values: Values) -> bool:
    """Whether a key has a NULL, which no comparison with `=` finds."""
    return any(bytes(value) == b"null" for value in values.values())


def _one_equal(table: TargetTable, row: Row) -> bytes:
    """Names one row by all the values that it had, compared as they are stored: json has no other comparison.

    Only of the present values the envelope says which null is JSON's: of earlier ones, a null stands for either.
    """
    unclear = unclear_nulls(table, row.old_key_data) if row.old_key_data else ()
    own, required = compared(table, row.old_key_data or row.key_data, row.json_nulls, unclear)
    names = [f"e.{quote(name)}" for name in unclear]
    either = "".join(f" AND ({name} IS NULL OR {name}::text = 'null')" for name in names)
    return (
        f"(t.tableoid, t.ctid) = (SELECT e.tableoid, e.ctid FROM {table.only} AS e WHERE {own}::record *= ".encode()
        + required
        + f"::record{either} LIMIT 1)".encode()
    )


def unclear_nulls(table: TargetTable, values: Values) -> tuple[str, ...]:
    """The columns of earlier values whose null may be the JSON value or SQL's NULL."""
    return tuple(name for name, value in values.items() if table.columns[name].json and bytes(value) == b"null")


def compared(
    table: TargetTable, values: Values, json_nulls: Sequence[str], left_out: Sequence[str]
) -> tuple[str, bytes]:
    """The row `e` of a table as a ROW, and a ROW of literals to compare it with; generated columns are left out."""
    columns = [table.columns[name] for name in values if not table.columns[name].generated and name not in left_out]
    required = b", ".join(
        literal(bytes(values[column.name]), column, table, column.name in json_nulls) + f"::{column.full_type}".encode()
        for column in columns
    )
    return f"ROW({', '.join(f'e.{quote(column.name)}' for column in columns)})", b"ROW(" + required + b")"


def _by_keys(table: TargetTable, keys: Sequence[Values]) -> bytes:
    """The condition that a row has one of the keys. A key with a NULL is compared alone."""
    columns = [table.columns[name] for name in keys[0]]
    if len(keys) == 1:
        parts = []
        for column in columns:
            value = literal(bytes(keys[0][column.name]), column, table)
            name = f"t.{quote(column.name)}".encode()
            parts.append(name + b" IS NULL" if value == NULL else name + b" = " + value)
        return b" AND ".join(parts)
    texts = [b", ".join([literal(bytes(key[column.name]), column, table) for column in columns]) for key in keys]
    if len(columns) == 1:
        return f"t.{quote(columns[0].name)} IN (".encode() + b", ".join(texts) + b")"
    listed = ", ".join(f"t.{quote(column.name)}" for column in columns)
    return f"({listed}) IN (".encode() + b", ".join(b"(" + text + b")" for text in texts) + b")"


def _conflict(columns: Sequence[TargetColumn], keys: Sequence[str]) -> str:
    changed = [column for column in columns if column.name not in keys and not column.always]
    listed = ", ".join(quote(name) for name in keys)
    change = ", ".join(f"{quote(column.name)} = EXCLUDED.{quote(column.name)}" for column in changed)
    return f" ON CONFLICT ({listed}) " + (f"DO UPDATE SET {change}" if change else "DO NOTHING")


def _into(table: TargetTable, columns: Sequence[TargetColumn]) -> str:
    listed = ", ".join(quote(column.name) for column in columns)
    return f"INSERT INTO {table.table.sql} ({listed}) OVERRIDING SYSTEM VALUE"


def _tuple(
    row: Row,
    columns: Sequence[TargetColumn],
    table: TargetTable,
    *,
    cast: bool = False,
    more: Sequence[tuple[Values, Sequence[TargetColumn]]] = (),
) -> bytes:
    """A row of VALUES. `cast` gives each value its type, which the first row of a list decides for all."""
    nulls = row.json_nulls
    parts = [literal(bytes(row.data[column.name]), column, table, column.name in nulls) for column in columns]
    every = list(columns)
    for values, others in more:
        parts += [literal(bytes(values[column.name]), column, table) for column in others]
        every += others
    if cast:
        parts = [part + f"::{column.type}".encode() for part, column in zip(parts, every, strict=True)]
    return b"(" + b", ".join(parts) + b")"


def _fields(row: Row, columns: Sequence[TargetColumn]) -> bytes:
    nulls = row.json_nulls
    return b"\t".join([field(bytes(row.data[c.name]), c, c.name in nulls) for c in columns]) + b"\n"


def _assignments(row: Row, columns: Sequence[TargetColumn], table: TargetTable) -> bytes:
    keys = row.key_columns if row.old_key_data is None else ()
    return b", ".join(
        f"{quote(column.name)} = ".encode()
        + literal(bytes(row.data[column.name]), column, table, column.name in row.json_nulls)
        for column in columns
        if column.name not in keys and not column.always
    )


def _changes(
    columns: Sequence[TargetColumn], keys: Sequence[str], names: dict[str, str], source: str
) -> tuple[str, list[str]]:
    """The assignments, and the conditions under which columns that SQL cannot assign have their values already."""
    changed = [column for column in columns if column.name not in keys and not column.always]
    fixed = [column for column in columns if column.name not in keys and column.always]
    return (
        ", ".join(f"{quote(column.name)} = {source}.{names[column.name]}" for column in changed),
        [f"t.{quote(column.name)} = {source}.{names[column.name]}" for column in fixed],
    )
