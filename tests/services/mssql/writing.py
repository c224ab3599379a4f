"""Statements that change something: CREATE, ALTER and DROP TABLE, INSERT, UPDATE and DELETE with simple conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from tests.services.mssql.functions import cast_value
from tests.services.mssql.model import Row, SqlError, Table
from tests.services.mssql.query import Query, Relation
from tests.services.mssql.transaction import Transaction

if TYPE_CHECKING:
    from tests.services.mssql.session import Session

WRITES = (exp.Create, exp.Alter, exp.Drop, exp.Insert, exp.Update, exp.Delete)


def write(session: Session, query: Query, statement: exp.Expression) -> None:
    """Run one of `WRITES`, in a transaction of its own. SqlError 262 for who may not."""
    if not session.login.owner:
        raise SqlError(262, f"permission denied in database '{session.database.name}'.", 14)
    database = session.database
    if isinstance(statement, exp.Create):
        _create(session, statement)
        return
    if isinstance(statement, exp.Alter):
        _alter(session, statement)
        return
    if isinstance(statement, exp.Drop):
        database.drop_table(_name(statement.args["tables"][0]))
        return
    target = statement.this.this if isinstance(statement.this, exp.Schema) else statement.this
    table = database.table(_name(target))
    with database.transaction() as transaction:
        if isinstance(statement, exp.Insert):
            _insert(query, statement, table, transaction)
            return
        source = Relation([(one.name, one.type, one.nullable) for one in table.columns], [], table.name.lower())
        where = statement.args.get("where")
        condition = query.compile(where.this, [source])[0] if where is not None else (lambda _: True)
        found = [row for row in database.read(table) if condition((row,)) is True]
        for row in found:
            new = _updated(query, statement, table, source, row) if isinstance(statement, exp.Update) else None
            transaction.changes.append((table, row, new, False))


def _name(table: exp.Expression) -> str:
    return f"{table.args['db'].name if table.args.get('db') else 'dbo'}.{table.name}"


def _create(session: Session, statement: exp.Create) -> None:
    schema = statement.this
    parts = []
    for column in schema.expressions:
        kinds = {type(one.kind).__name__ for one in column.constraints}
        rest = " primary key" if "PrimaryKeyColumnConstraint" in kinds else ""
        rest += " not null" if "NotNullColumnConstraint" in kinds else ""
        parts.append(f"[{column.name}] {column.kind.sql('tsql')}{rest}")
    name = _name(schema.this)
    if tuple(name.lower().split(".")) in session.database.tables:
        raise SqlError(2714, f"There is already an object named '{name}' in the database.")
    session.database.create_table(name, ", ".join(parts))


def _alter(session: Session, statement: exp.Alter) -> None:
    name = _name(statement.this)
    for action in statement.args["actions"]:
        if isinstance(action, exp.ColumnDef):
            session.database.add_column(name, f"{action.name} {action.kind.sql('tsql')}")
        elif isinstance(action, exp.Drop):
            session.database.drop_column(name, action.args["tables"][0].name)
        else:
            raise SqlError(102, f"Not understood: {statement.sql('tsql')[:200]}", 15)


def _insert(query: Query, statement: exp.Insert, table: Table, transaction: Transaction) -> None:
    names = [one.name for one in statement.this.expressions]
    for values in statement.expression.expressions:
        given: dict[str, Any] = {}
        for name, value in zip(names, values.expressions, strict=True):
            given[name] = _converted(query, table, name, value, [], ())
        for column in table.columns:
            if column.type.name == "rowversion":
                given[column.name] = query.session.server.next_number().to_bytes(8, "big")
        transaction.insert(table.schema + "." + table.name, **given)


def _updated(query: Query, statement: exp.Update, table: Table, source: Relation, row: Row) -> Row:
    new = list(row)
    for one in statement.expressions:
        new[table.at(one.this.name)] = _converted(query, table, one.this.name, one.expression, [source], (row,))
    return tuple(new)


def _converted(
    query: Query, table: Table, name: str, value: exp.Expression, sources: list[Relation], rows: tuple[Row, ...]
) -> Any:
    function, source = query.compile(value, sources)
    target = table.columns[table.at(name)].type
    found = function(rows)
    if target.name == "sql_variant":
        return None if found is None else (source, found)
    return found if target.name in ("hierarchyid", "xml") else cast_value(found, source, target)
