"""Alterations: DDL between the transactions of a workload, and what the databases that follow need for it.

PostgreSQL replicates no DDL: an operator runs it in the target as well. What widens a table is run there first, at any
moment. What changes the meaning of a row that is on its way, such as a new name of a column, is run once everything
before it has been applied. A table that is renamed or moved, and comes back, needs nothing in the target.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from tests.oracle.schema import Column, Schema, Table, quote
from tests.oracle.values import SAMPLES
from tests.oracle.workload import Workload

_WIDER = {
    "smallint": "integer", "integer": "bigint", "numeric(10,2)": "numeric", "character varying(400)": "text",
}  # fmt: skip
_LATE = "added later"


class Databases(Protocol):
    """How statements reach the databases."""

    def source(self, sql: str) -> None:
        """Run a statement in the source."""

    def followers(self, sql: str) -> None:
        """Run a statement in the databases that follow."""

    def settle(self) -> None:
        """Have the databases that follow apply everything that was committed."""


class Alterations:
    """Alters the tables of a schema, in the source and where it is needed in the databases that follow.

    `created`: the output creates and widens the tables itself, and an operator would rename nothing. `again`: a table
    is dropped and made anew, and the task reads it again.
    """

    def __init__(
        self, schema: Schema, seed: int, workload: Workload, databases: Databases, *, created: bool, again: bool
    ) -> None:
        self._dice = random.Random(f"alterations {seed}")
        self._schema = schema
        self._workload = workload
        self._databases = databases
        self._created = created
        self._again = again
        self._number = 0
        self.done: list[str] = []
        """What was done, for the report."""

    def one(self) -> None:
        """Alter one table in some way, if there is one that can be altered so."""
        choices = [self._add, self._drop, self._widen, self._away, self._away]
        if not self._created:
            choices += [self._rename, self._retype]
        if self._again:
            choices = [self._replace]
        self._workload.settle()
        self._dice.choice(choices)()

    def _add(self) -> None:
        table = self._dice.choice(self._alone())
        self._number += 1
        name = self._dice.choice((f"{_LATE} {self._number}", f'"{self._number}%', f"N.{self._number}"))
        column = Column(name, self._dice.choice([each for each in SAMPLES if SAMPLES[each]]))
        default = "" if self._created or table.full else f" DEFAULT {self._workload.value(column)}"
        change = f"ALTER TABLE {table.sql} ADD COLUMN {column.sql} {column.type}{default}"
        self._databases.followers(change)
        self._source(change)
        table.columns.append(column)

    def _drop(self) -> None:
        """Drop a column; where the target keeps it, it stays empty in later rows."""
        found = self._pick(lambda column: column.kind == "plain" and column.nullable)
        if found is not None:
            table, column = found
            self._source(f"ALTER TABLE {table.sql} DROP COLUMN {column.sql}")
            table.columns.remove(column)

    def _widen(self) -> None:
        found = self._pick(lambda column: column.type in _WIDER and column.kind == "plain")
        if found is None:
            return
        table, column = found
        change = f"ALTER TABLE {table.sql} ALTER COLUMN {column.sql} TYPE {_WIDER[column.type]}"
        self._databases.followers(change)
        self._source(change)
        column.type = _WIDER[column.type]

    def _retype(self) -> None:
        """Make text of a column: PostgreSQL rewrites the table and says nothing of it in the stream."""
        found = self._pick(lambda column: column.kind == "plain" and column.type != "text")
        if found is not None:
            table, column = found
            self._everywhere(f"ALTER TABLE {table.sql} ALTER COLUMN {column.sql} TYPE text USING {column.sql}::text")
            column.type = "text"

    def _rename(self) -> None:
        found = self._pick(lambda column: column.kind in ("plain", "unique"))
        if found is None:
            return
        table, column = found
        self._number += 1
        others = [each for each in table.columns if each is not column and each.type == column.type]
        other = self._dice.choice(others) if others and self._dice.random() < 0.5 else None
        if other is None or other.kind != column.kind:
            new = self._dice.choice((f"renamed {self._number}", f"re.{self._number}%s"))
            self._everywhere(f"ALTER TABLE {table.sql} RENAME COLUMN {column.sql} TO {quote(new)}")
            column.name = new
            return
        steps = ((column.sql, '"on its way"'), (other.sql, column.sql), ('"on its way"', other.sql))
        self._everywhere("; ".join(f"ALTER TABLE {table.sql} RENAME COLUMN {old} TO {new}" for old, new in steps))
        column.name, other.name = other.name, column.name

    def _away(self) -> None:
        """Rename a table or move it to another schema, change its rows there, and bring it back."""
        table = self._dice.choice(self._alone())
        schema, name = table.schema, table.name
        if self._dice.random() < 0.5:
            there, back = f"RENAME TO {quote('away.' + name[:40])}", f"RENAME TO {quote(name)}"
            moved = (schema, "away." + name[:40])
        else:
            self._databases.source('CREATE SCHEMA IF NOT EXISTS "else.where"')
            there, back = 'SET SCHEMA "else.where"', f"SET SCHEMA {quote(schema)}"
            moved = ("else.where", name)
        self._source(f"ALTER TABLE {table.sql} {there}")
        table.schema, table.name = moved
        self._workload.run(25)
        self._workload.settle()
        self._source(f"ALTER TABLE {table.sql} {back}")
        table.schema, table.name = schema, name

    def _replace(self) -> None:
        """Drop a table and make another one of the same name and columns, which is published at once."""
        tables = [table for table in self._alone() if table.identity != "index" and not self._tied(table)]
        if not tables:
            return
        table = self._dice.choice(tables)
        full = f"ALTER TABLE {table.sql} REPLICA IDENTITY FULL;" if table.identity.startswith("full") else ""
        new = Table(table.schema, "made anew")
        self._source(
            f"BEGIN; CREATE TABLE {new.sql} (LIKE {table.sql} INCLUDING ALL); DROP TABLE {table.sql};"
            f" ALTER TABLE {new.sql} RENAME TO {quote(table.name)}; {full}"
            f" ALTER PUBLICATION native ADD TABLE {table.only}; ALTER PUBLICATION dstream_copy ADD TABLE {table.only};"
            " COMMIT"
        )

    def _alone(self) -> list[Table]:
        """Tables that are no part of a tree, and that no function writes to."""
        parents = [table.parent for table in self._schema.tables]
        return [
            table for table in self._schema.tables
            if not table.leaves and table.parent is None and table not in parents and table.name != "trigger_log"
        ]  # fmt: skip

    def _tied(self, table: Table) -> bool:
        """Whether a foreign key, a trigger or a policy is part of the table."""
        references = [column.refers for each in self._schema.tables for column in each.columns if column.refers]
        own = any(column.refers for column in table.columns)
        return own or table in references or self._schema.triggers or table in self._schema.secured

    def _pick(self, fits: Callable[[Column], bool]) -> tuple[Table, Column] | None:
        """A column that nothing else of the table is made of."""
        found = [
            (table, column)
            for table in self._alone()
            for column in table.columns
            if fits(column) and column not in table.key and column is not table.columns[0] and not column.fixed
            and not (self._schema.triggers and column.type == "text")
        ]  # fmt: skip
        return self._dice.choice(found) if found else None

    def _everywhere(self, change: str) -> None:
        self._databases.settle()
        self._databases.followers(change)
        self._source(change)

    def _source(self, change: str) -> None:
        self.done.append(change)
        self._databases.source(change)
