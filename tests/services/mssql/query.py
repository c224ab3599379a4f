"""SELECT over the stand-in's tables and views: parsed by sqlglot, compiled to closures, errors as the server has them.

Enough of T-SQL for a reader of change tables: joins, subqueries, table-valued functions, TOP WITH TIES, ORDER BY, CASE,
CAST, aggregates without GROUP BY. What is not understood is an error, never a guess.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlglot import exp, parse
from sqlglot.errors import ParseError, TokenError

from tests.services.mssql.compiled import and_, constant, or_, pick, sortable, strict
from tests.services.mssql.functions import FUNCTIONS, Value, at_time_zone, cast_value
from tests.services.mssql.model import Row, SqlError
from tests.services.mssql.types import SqlType, parse_type

if TYPE_CHECKING:
    from tests.services.mssql.session import Session

Field = tuple[str, SqlType, bool]
Compiled = tuple[Callable[[Sequence[Row]], Any], SqlType]
_COMPARE = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
}
_ARITHMETIC = {exp.Add: operator.add, exp.Sub: operator.sub, exp.Mul: operator.mul}
_AGGREGATES: dict[Any, Callable[[list[Any]], Any]] = {
    exp.Max: lambda values: max(values, default=None),
    exp.Min: lambda values: min(values, default=None),
    exp.Sum: lambda values: sum(values) if values else None,
}


@dataclass(slots=True)
class Relation:
    """Rows with named columns. `rows` may be read once only."""

    fields: list[Field]
    rows: Iterable[Row]
    alias: str = ""


@lru_cache(500)
def statements(text: str) -> tuple[exp.Expression, ...]:
    """The statements of a batch. SqlError 102 if it is no T-SQL."""
    try:
        return tuple(one for one in parse(text, read="tsql") if one is not None)
    except (ParseError, TokenError) as problem:
        raise SqlError(102, f"Incorrect syntax: {str(problem)[:200]}", 15) from None


class Query:
    """Evaluates queries for one session, with the parameters of one request."""

    def __init__(self, session: Session, parameters: dict[str, Value]) -> None:
        self.session = session
        self.parameters = parameters

    def select(self, node: exp.Expression) -> Relation:
        """The result of a SELECT."""
        if isinstance(node, exp.Union):
            left, right = self.select(node.left), self.select(node.right)
            return Relation(left.fields, [*left.rows, *right.rows])
        if isinstance(node, exp.Subquery):
            return self.select(node.this)
        if not isinstance(node, exp.Select):
            raise SqlError(102, f"Not understood: {node.sql('tsql')[:200]}", 15)
        sources = []
        source = node.args.get("from_")
        rows: Iterable[tuple[Row, ...]] = [()]
        if source is not None:
            first = self._source(source.this)
            sources.append(first)
            rows = ((row,) for row in first.rows)
            for join in node.args.get("joins") or ():
                rows = self._join(join, sources, rows)
        where = node.args.get("where")
        if where is not None:
            condition = self.compile(where.this, sources)[0]
            rows = (row for row in rows if condition(row) is True)
        if any(isinstance(one.unalias(), exp.AggFunc) for one in node.expressions):
            return self._aggregate(node, sources, list(rows))
        outputs = self._outputs(node, sources)
        order = node.args.get("order")
        limit = node.args.get("limit")
        if order is not None:
            rows = self._ordered(order, limit, sources, outputs, list(rows))
        elif limit is not None:
            count = self.compile(limit.expression, [])[0](())
            rows = (row for row, _ in zip(rows, range(int(count)), strict=False))
        functions = [compiled for _, compiled, _ in outputs]
        fields = [(name, kind, nullable) for name, _, (kind, nullable) in outputs]
        if node.args.get("distinct"):
            return Relation(fields, list(dict.fromkeys(tuple(one(row) for one in functions) for row in rows)))
        if self._plain(node, sources):
            return Relation(fields, (row[0] for row in rows))
        return Relation(fields, (tuple(one(row) for one in functions) for row in rows))

    def _plain(self, node: exp.Select, sources: list[Relation]) -> bool:
        return len(sources) == 1 and len(node.expressions) == 1 and isinstance(node.expressions[0], exp.Star)

    def _source(self, node: exp.Expression) -> Relation:
        if isinstance(node, exp.Subquery):
            found = self.select(node.this)
            return Relation(found.fields, found.rows, node.alias.lower())
        if not isinstance(node, exp.Table):
            raise SqlError(102, f"Not understood in FROM: {node.sql('tsql')[:200]}", 15)
        alias = node.alias.lower()
        catalog = node.args.get("catalog")
        database = catalog.name if catalog else ""
        schema = node.args["db"].name if node.args.get("db") else "dbo"
        called = node.this
        hints = " ".join(hint.sql("tsql") for hint in node.args.get("hints") or ()).upper()
        if isinstance(called, exp.Anonymous | exp.Func):
            name = called.this if isinstance(called.this, str) else called.this.name
            arguments = [self.compile(one, [])[0](()) for one in called.expressions]
            found = self.session.function(schema, name, arguments)
        else:
            name = called.name
            found = self.session.relation(database, schema, name, hints)
        return Relation(found.fields, found.rows, alias or name.lower())

    def _join(
        self, join: exp.Join, sources: list[Relation], rows: Iterable[tuple[Row, ...]]
    ) -> Iterable[tuple[Row, ...]]:
        right = self._source(join.this)
        others = list(right.rows)
        sources.append(right)
        on = join.args.get("on")
        condition = self.compile(on, sources)[0] if on is not None else lambda _: True
        outer = (join.side or "").upper() == "LEFT"
        missing = (None,) * len(right.fields)
        out = []
        for row in rows:
            matched = [(*row, other) for other in others if condition((*row, other)) is True]
            out += matched or ([(*row, missing)] if outer else [])
        return out

    def _outputs(self, node: exp.Select, sources: list[Relation]) -> list[tuple[str, Any, tuple[SqlType, bool]]]:
        out: list[tuple[str, Any, tuple[SqlType, bool]]] = []
        for one in node.expressions:
            star = isinstance(one, exp.Star) or (isinstance(one, exp.Column) and isinstance(one.this, exp.Star))
            if star:
                wanted = one.table.lower() if isinstance(one, exp.Column) else ""
                for at, source in enumerate(sources):
                    if not wanted or source.alias == wanted:
                        for index, (name, kind, nullable) in enumerate(source.fields):
                            out.append((name, pick(at, index), (kind, nullable)))
                continue
            inner = one.this if isinstance(one, exp.Alias) else one
            function, kind = self.compile(inner, sources)
            nullable = True
            if isinstance(inner, exp.Column):
                nullable = self._field(inner, sources)[2]
            out.append((one.alias_or_name, function, (kind, nullable)))
        return out

    def _aggregate(self, node: exp.Select, sources: list[Relation], rows: list[tuple[Row, ...]]) -> Relation:
        fields: list[Field] = []
        values = []
        for one in node.expressions:
            inner = one.this if isinstance(one, exp.Alias) else one
            if isinstance(inner, exp.Count):
                fields.append((one.alias_or_name, SqlType("int", precision=10), False))
                if isinstance(inner.this, exp.Star):
                    values.append(len(rows))
                else:
                    function, _ = self.compile(inner.this, sources)
                    values.append(sum(function(row) is not None for row in rows))
                continue
            if type(inner) not in _AGGREGATES:
                raise SqlError(8120, f"Not understood as an aggregate: {inner.sql('tsql')}")
            function, kind = self.compile(inner.this, sources)
            found = [value for value in map(function, rows) if value is not None]
            fields.append((one.alias_or_name, kind, True))
            values.append(_AGGREGATES[type(inner)](found))
        return Relation(fields, [tuple(values)])

    def _ordered(
        self, order: exp.Order, limit: Any, sources: list[Relation], outputs: Any, rows: list[tuple[Row, ...]]
    ) -> list[tuple[Row, ...]]:
        keys = []
        names = {name.lower(): function for name, function, _ in outputs}
        for one in order.expressions:
            node = one.this
            if isinstance(node, exp.Column) and not node.table and node.name.lower() in names:
                keys.append((names[node.name.lower()], bool(one.args.get("desc"))))
            else:
                keys.append((self.compile(node, sources)[0], bool(one.args.get("desc"))))
        for function, descending in reversed(keys):
            rows.sort(key=lambda row, function=function: sortable(function(row)), reverse=descending)  # type: ignore[misc]  # bound now
        if limit is None:
            return rows
        count = int(self.compile(limit.expression, [])[0](()))
        options = limit.args.get("limit_options")
        if options is not None and options.args.get("with_ties") and 0 < count < len(rows):
            last = [function(rows[count - 1]) for function, _ in keys]
            while count < len(rows) and [function(rows[count]) for function, _ in keys] == last:
                count += 1
        return rows[:count]

    def _field(self, node: exp.Column, sources: list[Relation]) -> tuple[int, int, bool, SqlType]:
        wanted, table = node.name.lower(), node.table.lower()
        found = [
            (at, index, nullable, kind)
            for at, source in enumerate(sources)
            if not table or source.alias == table
            for index, (name, kind, nullable) in enumerate(source.fields)
            if name.lower() == wanted
        ]
        if not found:
            raise SqlError(207, f"Invalid column name '{node.name}'.")
        if len(found) > 1:
            raise SqlError(209, f"Ambiguous column name '{node.name}'.")
        return found[0]

    def compile(self, node: exp.Expression, sources: list[Relation]) -> Compiled:
        """An expression as a function of the sources' rows, and its type."""
        if isinstance(node, exp.Column):
            at, index, _, kind = self._field(node, sources)
            return pick(at, index), kind
        if isinstance(node, exp.Paren | exp.Alias | exp.TimeStrToTime):
            return self.compile(node.this, sources)
        if isinstance(node, exp.Parameter):
            return self._parameter(node)
        if isinstance(node, exp.Literal):
            if node.is_string:
                return constant(node.this), SqlType("varchar", max(len(node.this), 1))
            if "." in node.this:
                return constant(Decimal(node.this)), SqlType("decimal", precision=18, scale=4)
            return constant(int(node.this)), SqlType("int")
        if isinstance(node, exp.National):
            return constant(node.this), SqlType("nvarchar", max(len(node.this), 1))
        if isinstance(node, exp.HexString):
            return constant(bytes.fromhex(node.this)), SqlType("varbinary", 8000)
        if isinstance(node, exp.Null):
            return constant(None), SqlType("int")
        if isinstance(node, exp.Boolean):
            return constant(node.this), SqlType("bit")
        if isinstance(node, exp.Neg):
            function, kind = self.compile(node.this, sources)
            return lambda row: -function(row), kind
        if type(node) in _COMPARE:
            return self._compare(_COMPARE[type(node)], node, sources)
        if type(node) in _ARITHMETIC:
            left, kind = self.compile(node.this, sources)
            right, _ = self.compile(node.expression, sources)
            return strict(_ARITHMETIC[type(node)], left, right), kind
        if isinstance(node, exp.And | exp.Or | exp.Not | exp.Is | exp.In | exp.Exists | exp.Like | exp.Between):
            return self._logic(node, sources), SqlType("bit")
        if isinstance(node, exp.Case):
            return self._case(node, sources)
        if isinstance(node, exp.Cast | exp.Convert):
            # CONVERT has its type and its expression the other way round.
            converting = isinstance(node, exp.Convert)
            target = parse_type((node.this if converting else node.to).sql("tsql"))
            function, source = self.compile(node.expression if converting else node.this, sources)
            return lambda row: cast_value(function(row), source, target), target
        if isinstance(node, exp.AtTimeZone):
            moment, zone = self.compile(node.this, sources)[0], self.compile(node.args["zone"], sources)[0]
            return lambda row: at_time_zone(self.session, moment(row), zone(row)), SqlType("datetime2", scale=7)
        if isinstance(node, exp.Subquery):
            found = list(self.select(node.this).rows)
            kind = self.select(node.this).fields[0][1]
            return constant(found[0][0] if found else None), kind
        return self._call(node, sources)

    def _parameter(self, node: exp.Parameter) -> Compiled:
        if isinstance(node.this, exp.Parameter):
            return self.session.variable(node.this.name)
        name = node.name.lower()
        if name not in self.parameters:
            raise SqlError(137, f'Must declare the scalar variable "@{node.name}".', 15)
        kind, value = self.parameters[name]
        return constant(value), kind

    def _compare(self, compare: Callable[[Any, Any], bool], node: exp.Expression, sources: list[Relation]) -> Compiled:
        left, left_kind = self.compile(node.this, sources)
        right, right_kind = self.compile(node.expression, sources)
        if left_kind.name in _TEXT and right_kind.name in _TEXT:
            return strict(lambda a, b: compare(str(a).lower().rstrip(), str(b).lower().rstrip()), left, right), _BIT
        if left_kind.name in _BINARY and right_kind.name in _BINARY:
            # Binary values compare as if the shorter ended in zeros.
            return strict(lambda a, b: compare(a.ljust(len(b), b"\0"), b.ljust(len(a), b"\0")), left, right), _BIT
        return strict(compare, left, right), _BIT

    def _logic(self, node: exp.Expression, sources: list[Relation]) -> Callable[[Sequence[Row]], Any]:
        if isinstance(node, exp.And):
            left, right = self.compile(node.left, sources)[0], self.compile(node.right, sources)[0]
            return lambda row: and_(left(row), right(row))
        if isinstance(node, exp.Or):
            left, right = self.compile(node.left, sources)[0], self.compile(node.right, sources)[0]
            return lambda row: or_(left(row), right(row))
        if isinstance(node, exp.Not):
            inner = self.compile(node.this, sources)[0]
            return lambda row: None if inner(row) is None else not inner(row)
        if isinstance(node, exp.Is):
            inner = self.compile(node.this, sources)[0]
            return lambda row: inner(row) is None
        if isinstance(node, exp.In):
            inner, kind = self.compile(node.this, sources)
            if node.args.get("query") is not None:
                chosen = {row[0] for row in self.select(node.args["query"].this).rows}
            else:
                chosen = {self.compile(one, [])[0](()) for one in node.expressions}
            if kind.name in _TEXT:
                folded = {str(one).lower() for one in chosen}
                return lambda row: None if inner(row) is None else str(inner(row)).lower() in folded
            return lambda row: None if inner(row) is None else inner(row) in chosen
        raise SqlError(102, f"Not understood: {node.sql('tsql')[:200]}", 15)

    def _case(self, node: exp.Case, sources: list[Relation]) -> Compiled:
        subject = self.compile(node.this, sources)[0] if node.this is not None else None
        branches = []
        kind = SqlType("int")
        for one in node.args["ifs"]:
            test, result = self.compile(one.this, sources)[0], self.compile(one.args["true"], sources)
            kind = result[1]
            branches.append((test, result[0]))
        default = node.args.get("default")
        other = self.compile(default, sources)[0] if default is not None else constant(None)

        def choose(row: Sequence[Row]) -> Any:
            for test, result in branches:
                value = test(row)
                if (subject is None and value is True) or (subject is not None and value == subject(row)):
                    return result(row)
            return other(row)

        return choose, kind

    def _call(self, node: exp.Expression, sources: list[Relation]) -> Compiled:
        schema = ""
        if isinstance(node, exp.Dot):
            schema, node = node.this.name, node.expression
        if isinstance(node, exp.Anonymous):
            name = (node.this if isinstance(node.this, str) else node.this.name).lower()
            arguments = node.expressions
        elif isinstance(node, exp.Func):
            name = node.key.lower()
            arguments = [node.args.get(name) for name in ("this", "expression", "times", "unit")]
            arguments = [one for one in arguments if one]
            arguments += [one for one in node.expressions if one is not None]
        else:
            raise SqlError(102, f"Not understood: {node.sql('tsql')[:200]}", 15)
        known = FUNCTIONS.get(f"{schema}.{name}".lower().lstrip("."))
        if known is None:
            raise SqlError(195, f"'{name}' is not a recognized built-in function name.", 15)
        function, kind = known
        compiled = [
            (constant(one.name), SqlType("varchar", 30)) if isinstance(one, exp.Var) else self.compile(one, sources)
            for one in arguments
        ]
        session = self.session
        found = kind if isinstance(kind, SqlType) else kind([one[1] for one in compiled])
        return lambda row: function(session, *(one[0](row) for one in compiled)), found


_BIT = SqlType("bit")
_TEXT = ("nvarchar", "varchar", "char", "nchar")
_BINARY = ("varbinary", "binary", "rowversion")
