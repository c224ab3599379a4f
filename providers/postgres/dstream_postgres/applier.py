"""Applier: applies batches of rows, in one open transaction, so that the target ends as the source does.

A batch is tried in few statements (`runs`). What the server refuses is tried again in halves, and at last row by row in
the source's order: no row is rejected before that. A row that only a constraint between rows refuses (a foreign key, a
unique value) waits until the rest of its batch is applied, with all later changes of the same row: a statement of the
source may have changed several rows whose constraints hold only together.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.errors

from dstream_postgres import statements
from dstream_postgres.names import Table
from dstream_postgres.rows import Operation, Row
from dstream_postgres.runs import Kind, Placed, Run, kind_of, ordered, planned
from dstream_postgres.target import Target, TargetTable
from dstream_postgres.values import Unfit
from dstream_sdk import InvalidError

_SINGLES = 24
"""The number of rows that are tried one by one; more are halved first."""
_WORTH_COPYING = 12
_WORTH_AN_INDEX = 50
"""Fewer rows are looked up in an index anyway."""
_COPIED_AT_ONCE = 256 * 1024
"""Bytes that COPY is handed in one call."""
_FOREIGN_KEY, _MISSING = "23503", "22012"
_BETWEEN_ROWS = ("23503", "23505", "23P01")
NO_ROW = "an update of a row that the target does not have: no row equals it"
_OF_ROWS = ("21", "22", "23", "44", "54", "P0")
"""Classes of SQLSTATE that say that a row cannot be stored, not that the server or a setting is at fault."""


class _Missing(Exception):
    """A row that has to be there is not, or more rows have changed than should."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that the target refuses, and why."""

    row: Row
    reason: str
    missing: bool = False
    """Whether it changes a row without a key of which the target has none that equals the old one."""


def refused(problem: BaseException) -> bool:
    """Whether an error is about rows."""
    if isinstance(problem, psycopg2.Error):
        return (problem.pgcode or "")[:2] in _OF_ROWS
    return isinstance(problem, Unfit | _Missing)


class Applier:
    """Applies rows over one connection. What is refused is in `rejected` until it is taken."""

    def __init__(self, connection: Any, target: Target, *, deletes: bool = True) -> None:
        self._connection = connection
        self._target = target
        self._deletes = deletes
        self._cursor = connection.cursor()
        self._not_copied: set[Table] = set()
        self._held: list[Placed] = []
        self.rejected: list[Rejected] = []

    def apply(self, rows: Sequence[Row]) -> None:
        """Apply a batch. Raises psycopg2.Error, ProviderError where no row is at fault."""
        placed: list[Placed] = []
        last: Row | None = None
        table: TargetTable | None = None
        for row in rows:
            if (
                last is not None
                and table is not None
                and row.columns == last.columns
                and row.key_columns
                and row.key_columns == last.key_columns
                and row.operation is last.operation
                and row.table == last.table
            ):
                placed.append((row, table))  # where the row before it went
            elif (found := self._place(row)) is not None:
                placed.append(found)
                last, table = row, found[1]
        if placed:
            self._part(placed)
            self._finish_held()

    def applies(self, row: Row) -> bool:
        """Whether a row is applied at all: deletes and truncates may not be."""
        return self._deletes or row.operation not in (Operation.DELETE, Operation.TRUNCATE)

    def _place(self, row: Row) -> Placed | None:
        if not self.applies(row):
            return None
        if not row.key_columns:
            if row.operation is Operation.DELETE:
                self.rejected.append(Rejected(row, "a delete without Key names no row"))
                return None
            if row.unchanged:
                self.rejected.append(Rejected(row, "an update with Unchanged columns and without Key names no row"))
                return None
        return row, self._target.table_for(row)

    def _part(self, placed: list[Placed]) -> None:
        """Apply rows in few statements, or in halves, or one by one."""
        if self._held:
            self._singles(placed)  # what waits must not be overtaken
            return
        self._execute(b"SAVEPOINT batch")
        try:
            for run in planned(placed):
                self._run(run)
        except (psycopg2.Error, Unfit, _Missing) as problem:
            again = isinstance(problem, _CopyRefused)
            if not again and not refused(problem):
                raise
            self._execute(b"ROLLBACK TO SAVEPOINT batch; RELEASE SAVEPOINT batch")
            if again:
                self._part(placed)
            elif len(placed) <= _SINGLES:
                self._singles(placed)
            else:
                middle = _middle(placed)
                self._part(placed[:middle])
                self._part(placed[middle:])
        else:
            self._execute(b"RELEASE SAVEPOINT batch")

    def _run(self, run: Run) -> None:
        table, found = run.table, run.rows
        match run.kind:
            case Kind.INSERT:
                self._insert(table, found)
            case Kind.UPDATE:
                self._update(table, found)
            case Kind.PATCH if len(found) > 1 and self._plain(found):
                if self._by_index(statements.update, table, found) != len(found):
                    raise _Missing
            case Kind.MOVE if len(found) > 1 and _exchanges(run.kind, table, found[0]):
                if self._execute(statements.exchange(table, found)) != len(found):
                    raise _Missing
            case Kind.DELETE if self._plain(found):
                self._by_index(statements.delete, table, found)
            case Kind.TRUNCATE:
                self._truncate(run.tables)
            case _:
                for row in found:
                    self._execute(statements.one(table, row))

    def _plain(self, found: Sequence[Row]) -> bool:
        """Whether keys can be compared with `=`."""
        return not any(b"null" in row.key and statements.has_null(row.key_data) for row in found)

    def _insert(self, table: TargetTable, found: Sequence[Row]) -> None:
        first = found[0]
        keyed = bool(first.key_columns) and not first.keyless
        if keyed and not table.arbiter(first.key_columns):
            if not self._plain(found):
                for row in found:
                    self._execute(statements.one(table, row))
                return
            self._execute(statements.delete(table, found))
        worth = len(found) >= _WORTH_COPYING and table.table not in self._not_copied
        if worth and (copying := statements.copy(table, found)) is not None:
            try:
                self._cursor.copy_expert(copying[0], io.BytesIO(copying[1]), _COPIED_AT_ONCE)
            except (psycopg2.errors.UniqueViolation, psycopg2.errors.FeatureNotSupported) as problem:
                # Rows are there already, as after a checkpoint that was set back; or rows are secured one by one.
                self._not_copied.add(table.table)
                raise _CopyRefused from problem
            return
        self._execute(statements.insert(table, found))

    def _update(self, table: TargetTable, found: Sequence[Row]) -> None:
        first = found[0]
        if len(found) == 1 or not table.arbiter(first.key_columns) or not self._plain(found):
            for row in found:
                self._execute(statements.one(table, row))
        elif not statements.changes_anything(table, first):
            self._execute(statements.insert(table, found))
        elif self._by_index(statements.update, table, found) != len(found):
            if any(column.always for column in statements.columns_of(first, table)):
                raise _Missing
            self._execute(statements.insert(table, found))

    def _by_index(
        self, statement: Callable[[TargetTable, Sequence[Row]], bytes], table: TargetTable, found: Sequence[Row]
    ) -> int:
        """Run a statement that finds rows by their keys, and return how many it changed.

        The server may prefer to read a table of up to a million rows rather than to look up some thousand of them: with
        a hash join. The next batch reads it again.
        """
        if len(found) < _WORTH_AN_INDEX or not table.arbiter(found[0].key_columns):
            return self._execute(statement(table, found))
        changed = self._execute(b"SET LOCAL enable_hashjoin = off; " + statement(table, found))
        self._execute(b"RESET enable_hashjoin")
        return changed

    def _truncate(self, tables: Sequence[TargetTable]) -> None:
        self._execute(b"SAVEPOINT empty")
        try:
            self._execute(statements.truncate(tables))
        except (
            psycopg2.errors.FeatureNotSupported, psycopg2.errors.WrongObjectType, psycopg2.errors.ObjectInUse
        ):  # fmt: skip
            # A table that is not emptied with them refers to one, one is a view, or constraints of rows written before
            # are still to be checked.
            self._execute(b"ROLLBACK TO SAVEPOINT empty")
            for table in reversed(tables):
                self._execute(statements.delete_all(table))
        self._execute(b"RELEASE SAVEPOINT empty")

    def _singles(self, placed: Sequence[Placed]) -> None:
        """Apply rows one by one, in the source's order."""
        for run in ordered(placed):
            joined = run.kind is Kind.TRUNCATE or _exchanges(run.kind, run.table, run.rows[0])
            if joined and len(run.rows) > 1 and not self._held and self._joined([run]):
                continue
            tables = run.tables if run.kind is Kind.TRUNCATE else [run.table] * len(run.rows)
            self._each(list(zip(run.rows, tables, strict=True)))

    def _joined(self, runs: Sequence[Run]) -> bool:
        """Try to apply runs as statements that hold several rows, as those of the source may have done."""
        self._execute(b"SAVEPOINT joined")
        try:
            for run in runs:
                self._run(run)
        except (psycopg2.Error, Unfit, _Missing) as problem:
            if not refused(problem):
                raise
            self._execute(b"ROLLBACK TO SAVEPOINT joined; RELEASE SAVEPOINT joined")
            return False
        self._execute(b"RELEASE SAVEPOINT joined")
        return True

    def _each(self, placed: Sequence[Placed]) -> None:
        for row, table in placed:
            if self._held and self._waits(row, table):
                continue
            problem = self._single(row, table)
            if problem is None:
                continue
            if getattr(problem, "pgcode", None) in _BETWEEN_ROWS:
                self._held.append((row, table))
            else:
                self._reject(row, problem)

    def _waits(self, row: Row, table: TargetTable) -> bool:
        """Put a row behind an earlier change of the same row that waits. A truncate ends the waiting of its table."""
        if row.operation is Operation.TRUNCATE:
            self._held = [(waiting, other) for waiting, other in self._held if waiting.table != row.table]
            return False
        own = {key for key in (row.key, row.old_key) if key}
        for waiting, _ in self._held:
            if waiting.table == row.table and own & {waiting.key, waiting.old_key}:
                self._held.append((row, table))
                return True
        return False

    def _single(self, row: Row, table: TargetTable) -> BaseException | None:
        """Apply one row behind a savepoint; return why it was refused, if it was."""
        self._execute(b"SAVEPOINT single")
        try:
            if row.operation is Operation.TRUNCATE:
                self._truncate([table])
            else:
                self._execute(statements.one(table, row))
        except (psycopg2.Error, Unfit) as problem:
            if not refused(problem):
                raise
            self._execute(b"ROLLBACK TO SAVEPOINT single; RELEASE SAVEPOINT single")
            return problem
        self._execute(b"RELEASE SAVEPOINT single")
        return None

    def _finish_held(self) -> None:
        """Try what waits until nothing more goes; what is left then is refused for good."""
        left = len(self._held) + 1
        while self._held and len(self._held) < left:
            left = len(self._held)
            waiting, self._held = self._held, []
            self._singles(waiting)
        if self._held:
            waiting, self._held = self._held, []
            if not self._joined(ordered(waiting)) and not self._together(waiting):
                for row, table in waiting:
                    problem = self._single(row, table)
                    if getattr(problem, "pgcode", None) == _FOREIGN_KEY:
                        raise _foreign_key(problem, table)
                    if problem is not None:
                        self._reject(row, problem)

    def _together(self, waiting: Sequence[Placed]) -> bool:
        """Apply rows that hold unique values against each other: remove all of them, then write them."""
        last = {(row.table, row.key): (row, table) for row, table in waiting}
        complete = all(
            row.operation is not Operation.DELETE and row.key_columns and not row.unchanged and not row.keyless
            and not table.references and not table.triggers for row, table in waiting
        )  # fmt: skip
        if not complete:
            return False
        self._execute(b"SAVEPOINT together")
        try:
            for row, table in waiting:
                for key in (row.key_data, row.old_key_data):
                    if key:
                        self._execute(statements.delete_key(table, key))
            for row, table in last.values():
                self._execute(statements.insert(table, [row]))
        except (psycopg2.Error, Unfit) as problem:
            if not refused(problem):
                raise
            self._execute(b"ROLLBACK TO SAVEPOINT together; RELEASE SAVEPOINT together")
            return False
        self._execute(b"RELEASE SAVEPOINT together")
        return True

    def _reject(self, row: Row, problem: BaseException) -> None:
        reason = " ".join(str(problem).split())
        missing = getattr(problem, "pgcode", None) == _MISSING and row.operation is Operation.UPDATE
        if missing:
            not_sent = (
                f"an update of a row that the target does not have: columns {', '.join(row.unchanged)} were not sent"
            )
            reason = not_sent if row.unchanged else NO_ROW
        self.rejected.append(Rejected(row, reason, missing and row.keyless))

    def _execute(self, sql: bytes) -> int:
        self._cursor.execute(sql)
        return int(self._cursor.rowcount)


def _exchanges(kind: Kind, table: TargetTable, row: Row) -> bool:
    """Whether several rows may exchange keys in one statement: nothing makes the key unique row by row."""
    return kind is Kind.MOVE and not table.arbiter(row.key_columns)


def _middle(placed: Sequence[Placed]) -> int:
    """Where to halve, not between rows that may exchange keys."""
    middle = len(placed) // 2
    while middle < len(placed) - 1 and all(
        _exchanges(kind_of(row, table), table, row) for row, table in placed[middle - 1 : middle + 1]
    ):
        middle += 1
    return middle


class _CopyRefused(_Missing):
    """COPY cannot insert here: INSERT does from now on."""


def _foreign_key(problem: BaseException | None, table: TargetTable) -> InvalidError:
    return InvalidError(
        "Foreign key in the target",
        f"{' '.join(str(problem).split())} Rows are written in the order in which they come, and the row that this "
        f"one refers to did not come before it. A snapshot reads tables at different moments if it takes longer than "
        'ten seconds or is interrupted: set session_replication_role = "replica" in the output, at least until it is '
        f"complete. If the rows come in one transaction, foreign keys of {table.table} that are DEFERRABLE suffice.",
    )
