"""Mutants: providers that are wrong in one way, to show that the oracle finds them.

A mutant is the real provider with one function replaced, started as a program of its own. Show the seeds that find
them: `python -m tests.oracle.mutants`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.services.shebang import shebang

ROOT = Path(__file__).resolve().parents[2]
FAULT = "checkpoint_without_data"
"""The fault point of `commit_before_data`."""
WITHIN = 50
"""So many seeds at most are to find each mutant."""


def merge_without_replay() -> None:
    """The output merges changes by key whatever ties the rows together, and rejects what the target refuses."""
    import psycopg2

    from dstream_postgres.applier import Applier, Rejected, _Missing, refused
    from dstream_postgres.runs import planned
    from dstream_postgres.target import Target, TargetTable
    from dstream_postgres.values import Unfit

    def part(self: Any, placed: list[Any]) -> None:
        self._execute(b"SAVEPOINT batch")
        try:
            for run in planned(placed):
                self._run(run)
        except (psycopg2.Error, Unfit, _Missing) as problem:
            if not refused(problem):
                raise
            self._execute(b"ROLLBACK TO SAVEPOINT batch")
            self.rejected += [Rejected(row, str(problem)) for row, _ in placed]

    read = Target._read

    def untied(self: Any, table: Any) -> TargetTable | None:
        found = read(self, table)
        return found and replace(found, references=False, triggers=False)

    Target._read = untied  # type: ignore[method-assign]
    Applier._part = part  # type: ignore[method-assign]
    TargetTable.commutes = lambda self, key: frozenset(key) in self.unique  # type: ignore[method-assign]


def commit_before_data() -> None:
    """The output commits a checkpoint before the data that belongs to it.

    The fault point `checkpoint_without_data` is the moment between the two, of data that no later session reads again:
    the rows of a snapshot that was interrupted are read once more.
    """
    from dstream_postgres.output import PostgresOutput
    from dstream_sdk.failpoints import fault

    flush = PostgresOutput.flush

    def early(self: Any, checkpoint: dict[str, Any] | None) -> None:
        if self._checkpoints is not None and not self._begun:
            changes = any(b'"OperationType":"Read"' not in row.line for row in self._rows)
            self._checkpoints.store(checkpoint)
            self._connection.commit()
            if changes and checkpoint is not None:
                fault(FAULT)
        flush(self, checkpoint)

    PostgresOutput.flush = early  # type: ignore[method-assign]


def drop_by_name() -> None:
    """The input tells tables apart by their names: changes of one that was renamed are dropped."""
    from dstream_postgres import messages
    from dstream_postgres.names import Table
    from dstream_postgres.relations import Relations

    learn = Relations.learn

    def by_name(self: Any, message: bytes, snapshots: Any, xid: int) -> bytes:
        found = messages.parse_relation(message)
        relation = message[1:5]
        if str(Table(found.schema, found.name)) in self._followed.values():
            return learn(self, message, snapshots, xid)
        for known in (self.encoders, self.inserts, self.updates):
            known.pop(relation, None)
        return relation

    Relations.learn = by_name  # type: ignore[method-assign]


def snapshot_with_row_security() -> None:
    """The input reads the rows that policies let it see, and takes them for all."""
    from dstream_postgres.snapshot import SnapshotReader

    read = SnapshotReader.read

    def hidden(self: Any, tables: Any, position: Any) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute("SET row_security = on")
        return read(self, tables, position)

    SnapshotReader.read = hidden  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A provider that is wrong: the side that it stands in for, what makes it wrong, and a seed that finds it.

    `fault` is the fault point at which it has to die for that, if any.
    """

    side: str
    apply: Callable[[], None]
    seed: int
    fault: str = ""


MUTANTS = {
    "merge_without_replay": Mutant("output", merge_without_replay, 5),
    "commit_before_data": Mutant("output", commit_before_data, 1, FAULT),
    "drop_by_name": Mutant("input", drop_by_name, 5),
    "snapshot_with_row_security": Mutant("input", snapshot_with_row_security, 11),
}


def program(name: str, folder: Path) -> Path:
    """A program in `folder` that is the mutant of this name."""
    path = folder / "mutant"
    path.write_text(
        f"{shebang()}import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        f"from tests.oracle.mutants import run\nrun({name!r})\n"
    )
    path.chmod(0o755)
    return path


def run(name: str) -> None:
    """Become the mutant."""
    from dstream_postgres.__main__ import run_input, run_output

    mutant = MUTANTS[name]
    mutant.apply()
    {"input": run_input, "output": run_output}[mutant.side]()


def main(arguments: list[str]) -> int:
    """Show the seed that finds each mutant, from the first seed on, within fifty: `[FIRST] [MUTANT ...]`."""
    from tests.oracle.trial import SETTINGS, trial
    from tests.services.postgres import EmbeddedPostgres

    first = int(arguments.pop(0)) if arguments and arguments[0].isdigit() else 1
    survivors = []
    with EmbeddedPostgres(settings=SETTINGS) as server:
        for name in arguments or MUTANTS:
            for seed in range(first, first + WITHIN):
                outcome = trial(server, seed, mutant=name)
                if outcome.problems:
                    print(f"{name}: found by seed {seed}: {outcome.problems[0][:300]}", flush=True)
                    break
                print(f"{name}: survives seed {seed}", flush=True)
            else:
                survivors.append(name)
                print(f"{name}: survives {WITHIN} seeds", flush=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
