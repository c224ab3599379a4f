"""Workload: random transactions on a schema, several at a time, out of a seed.

Each statement runs behind a savepoint: what the constraints refuse is rolled back, and the transaction goes on. A
statement that waits for a lock for long is refused as well, so that one thread can hold several transactions open.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg2

from tests.oracle.schema import SMALL, Column, Schema, Table
from tests.oracle.values import literals

SESSIONS = 3


@dataclass(slots=True)
class Counts:
    """What was done and what the source refused."""

    committed: int = 0
    statements: int = 0
    refused: int = 0
    samples: list[str] = field(default_factory=list)


class Workload:
    """Changes the source. `connect` opens a connection to it, autocommit off."""

    def __init__(self, schema: Schema, seed: int, connect: Callable[[], Any]) -> None:
        self._schema = schema
        self._dice = random.Random(f"workload {seed}")
        self._connections = [connect() for _ in range(SESSIONS)]
        self._left = [0] * SESSIONS
        self._prepared: list[str] = []
        self._name = f"oracle_{seed}"
        self._number = 0
        self.counts = Counts()
        for connection in self._connections:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SET lock_timeout = '10ms'; SET client_min_messages = error; SET deadlock_timeout = '20ms'"
                )
            connection.commit()

    def fill(self, rows: int) -> None:
        """Insert rows into all tables and commit."""
        connection = self._connections[0]
        for table in self._schema.tables:
            for _ in range(rows):
                self._try(connection, self._insert(table))
            self._commit(connection)

    def run(self, steps: int) -> None:
        """Take so many steps, each a statement, a commit or a rollback in one of the transactions."""
        dice = self._dice
        for _ in range(steps):
            which = dice.randrange(SESSIONS)
            connection = self._connections[which]
            if self._left[which] == 0:
                self._left[which] = dice.choice((1, 1, 2, 3, 8))
            else:
                self._left[which] -= 1
            if self._left[which]:
                self._statements(connection)
            else:
                self._end(connection)
            if self._prepared and dice.random() < 0.15:
                self._finish_prepared()

    def settle(self) -> None:
        """Commit what is open: no transaction holds a lock then."""
        for connection in self._connections:
            self._commit(connection)
        self._left = [0] * SESSIONS
        while self._prepared:
            self._finish_prepared()

    def finish(self) -> None:
        """Commit what is open, and leave."""
        self.settle()
        for connection in self._connections:
            connection.close()

    def _statements(self, connection: Any) -> None:
        dice = self._dice
        if dice.random() < 0.15:
            self._plain(connection, "SAVEPOINT several")
            for _ in range(dice.randint(1, 3)):
                self._try(connection, self._statement())
            self._plain(connection, dice.choice(("ROLLBACK TO SAVEPOINT several", "RELEASE SAVEPOINT several")))
        elif dice.random() < 0.05:
            self._copy(connection)
        else:
            self._try(connection, self._statement())

    def _end(self, connection: Any) -> None:
        chance = self._dice.random()
        if chance < 0.1:
            connection.rollback()
            return
        self._commit(connection, prepare=chance < 0.2)

    def _commit(self, connection: Any, *, prepare: bool = False) -> None:
        try:
            if prepare:
                self._number += 1
                name = f"{self._name}_{self._number}"
                self._plain(connection, f"PREPARE TRANSACTION '{name}'")
                self._prepared.append(name)
            connection.commit()
            self.counts.committed += 1
        except psycopg2.Error as problem:  # a deferred constraint
            self._refused(problem)
            connection.rollback()

    def _finish_prepared(self) -> None:
        name = self._prepared.pop(0)
        connection = self._connections[self._left.index(0)] if 0 in self._left else None
        if connection is None or connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            connection = self._connections[0]
            connection.rollback()
        connection.autocommit = True
        try:
            self._plain(connection, f"{self._dice.choice(('COMMIT', 'COMMIT', 'ROLLBACK'))} PREPARED '{name}'")
        finally:
            connection.autocommit = False

    def _plain(self, connection: Any, sql: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql)

    def _try(self, connection: Any, sql: str) -> None:
        self.counts.statements += 1
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT one")
            try:
                cursor.execute(sql)
            except psycopg2.Error as problem:
                self._refused(problem, sql)
                cursor.execute("ROLLBACK TO SAVEPOINT one")
            cursor.execute("RELEASE SAVEPOINT one")

    def _refused(self, problem: psycopg2.Error, sql: str = "") -> None:
        self.counts.refused += 1
        if (problem.pgcode or "").startswith(("42", "0A")) and len(self.counts.samples) < 5:
            self.counts.samples.append(f"{problem} in {sql[:500]}")

    def _statement(self) -> str:
        dice = self._dice
        table = dice.choice(self._schema.tables)
        uniques = [column for column in table.columns if column.kind == "unique"]
        chance = dice.random()
        if chance < 0.25:
            return self._insert(table)
        if chance < 0.36 and table.full:
            names = ", ".join(column.sql for column in table.writable)
            return f"INSERT INTO {table.sql} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM {table.only} LIMIT 2"
        if 0.25 < chance < 0.6 and uniques:
            column = dice.choice(uniques)
            if dice.random() < 0.5:
                return self._exchange(table, column) if dice.random() < 0.6 else self._rotate(table, column)
            if dice.random() < 0.4:
                move = dice.choice((f"{column.sql} + 1", f"{SMALL} - {column.sql}", f"{column.sql} * 2 % 7"))
                return f"UPDATE {table.only} SET {column.sql} = {move}"
            return f"UPDATE {table.only} SET {column.sql} = {self.value(column)} WHERE {self._some(table)}"
        if chance < 0.55 and table.key and table.key[0].type in ("integer", "bigint"):
            key = table.key[0]
            if dice.random() < 0.3:
                return self._swap_keys(table, key)
            step = dice.choice((1, 1, -1, 1000))
            return f"UPDATE {table.only} SET {key.sql} = {key.sql} + {step} WHERE {self._some(table, 3)}"
        if chance < 0.8:
            changed = dice.sample(table.writable, min(len(table.writable), dice.randint(1, 3)))
            changes = ", ".join(f"{column.sql} = {self.value(column)}" for column in changed)
            return f"UPDATE {table.only} SET {changes} WHERE {self._some(table, dice.choice((1, 1, 1, 4)))}"
        if chance < 0.994:
            return f"DELETE FROM {table.only} WHERE {self._some(table, dice.choice((1, 1, 3)))}"
        if dice.random() < 0.5:
            return f"TRUNCATE {table.only} CASCADE"
        return f"TRUNCATE {', '.join(each.only for each in dice.sample(self._schema.tables, 2))}"

    def _exchange(self, table: Table, column: Column) -> str:
        """Two rows exchange a unique value, by way of none."""
        first, second = self._dice.sample(range(7), 2)
        name, rows = column.sql, table.only
        pick = f"FROM {rows} WHERE {name} IS NOT NULL ORDER BY ctid LIMIT 1 OFFSET"
        return (
            f"DO $do$ DECLARE a tid; b tid; x {column.type}; y {column.type}; BEGIN"
            f" SELECT ctid, {name} INTO a, x {pick} {first};"
            f" SELECT ctid, {name} INTO b, y {pick} {second};"
            f" UPDATE {rows} SET {name} = NULL WHERE ctid = a RETURNING ctid INTO a;"
            f" UPDATE {rows} SET {name} = x WHERE ctid = b; UPDATE {rows} SET {name} = y WHERE ctid = a; END $do$"
        )

    def _rotate(self, table: Table, column: Column) -> str:
        """Several rows that were there before pass their unique values on in a ring, by way of none."""
        name, rows, count = column.sql, table.only, self._dice.randint(3, 6)
        pick = f"FROM {rows} WHERE {name} IS NOT NULL ORDER BY ctid LIMIT {count} OFFSET {self._dice.randint(0, 3)}"
        return (
            f"DO $do$ DECLARE _at tid[]; _v {column.type}[]; _n integer; _moved tid; BEGIN"
            f" SELECT array_agg(ctid), array_agg({name}) INTO _at, _v FROM (SELECT ctid, {name} {pick}) AS r;"
            " _n := coalesce(cardinality(_v), 0); IF _n < 2 THEN RETURN; END IF;"
            f" UPDATE {rows} SET {name} = NULL WHERE ctid = _at[1] RETURNING ctid INTO _moved;"
            " FOR i IN REVERSE _n .. 2 LOOP"
            f" UPDATE {rows} SET {name} = _v[i % _n + 1] WHERE ctid = _at[i]; END LOOP;"
            f" UPDATE {rows} SET {name} = _v[2] WHERE ctid = _moved; END $do$"
        )

    def _swap_keys(self, table: Table, key: Column) -> str:
        """Two rows that were there before exchange their keys, by way of a free one."""
        first, second = self._dice.sample(range(7), 2)
        name, rows = key.sql, table.only
        pick = f"FROM {rows} ORDER BY tableoid, ctid LIMIT 1 OFFSET"
        free = self._dice.randint(100_000, 999_999)
        return (
            f"DO $do$ DECLARE a {key.type}; b {key.type}; BEGIN"
            f" SELECT {name} INTO a {pick} {first}; SELECT {name} INTO b {pick} {second};"
            f" UPDATE {rows} SET {name} = {free} WHERE {name} = a;"
            f" UPDATE {rows} SET {name} = a WHERE {name} = b; UPDATE {rows} SET {name} = b WHERE {name} = {free};"
            " END $do$"
        )

    def _insert(self, table: Table) -> str:
        names = ", ".join(column.sql for column in table.writable)
        rows = ", ".join(
            "(" + ", ".join(self.value(column) for column in table.writable) + ")"
            for _ in range(self._dice.choice((1, 1, 2, 5)))
        )
        return f"INSERT INTO {table.sql} ({names}) OVERRIDING SYSTEM VALUE VALUES {rows}"

    def _copy(self, connection: Any) -> None:
        table = self._dice.choice([each for each in self._schema.tables if each.key or each.full])
        columns = table.writable
        lines = []
        for _ in range(self._dice.randint(1, 30)):
            values = [self._literal(column) for column in columns]
            lines.append("\t".join(r"\N" if value is None else _escape(value) for value in values) + "\n")
        names = ", ".join(column.sql for column in columns)
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT one")
            try:
                cursor.copy_expert(f"COPY {table.sql} ({names}) FROM STDIN", io.StringIO("".join(lines)))
            except psycopg2.Error as problem:
                self._refused(problem)
                cursor.execute("ROLLBACK TO SAVEPOINT one")
            cursor.execute("RELEASE SAVEPOINT one")

    def _some(self, table: Table, rows: int = 1) -> str:
        offset = self._dice.randint(0, 12)
        return f"(tableoid, ctid) IN (SELECT tableoid, ctid FROM {table.only} OFFSET {offset} LIMIT {rows})"

    def value(self, column: Column) -> str:
        """A value for a column, as SQL."""
        if column.kind == "reference" and column.refers is not None and self._dice.random() < 0.8:
            key = column.refers.key[0].sql
            return f"(SELECT {key} FROM {column.refers.sql} OFFSET {self._dice.randint(0, 5)} LIMIT 1)"
        if column.kind == "toast" and self._dice.random() < 0.7:
            text = f"repeat('{self._dice.choice('abcxyz')}', {self._dice.choice((10, 2500, 9000))})"
            return {"text": text, "jsonb": f"to_jsonb({text})", "bytea": f"convert_to({text}, 'UTF8')"}[column.type]
        value = self._literal(column)
        return "NULL" if value is None else "E'" + value.replace("\\", "\\\\").replace("'", "''") + f"'::{column.type}"

    def _literal(self, column: Column) -> str | None:
        dice = self._dice
        if column.nullable and dice.random() < 0.12:
            return None
        if column.kind == "unique":
            return str(dice.randrange(SMALL))
        if column.type in ("integer", "bigint", "positive") and dice.random() < 0.85:
            return str(dice.randint(1, 60))
        if column.type == "text" and dice.random() < 0.3:
            return f"k{dice.randint(1, 40)}"
        return dice.choice(literals(column.type))


def _escape(value: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        value = value.replace(plain, escaped)
    return value
