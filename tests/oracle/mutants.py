"""Mutants: providers that are wrong in one way, to show that the oracle finds them.

A mutant is the real provider with one function replaced, started as a program of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


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
    """The output commits a checkpoint before the data that belongs to it."""
    from dstream_postgres.output import PostgresOutput

    flush = PostgresOutput.flush

    def early(self: Any, checkpoint: dict[str, Any] | None) -> None:
        if self._checkpoints is not None and not self._begun:
            self._checkpoints.store(checkpoint)
            self._connection.commit()
        flush(self, checkpoint)

    PostgresOutput.flush = early  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    "merge_without_replay": merge_without_replay,
    "commit_before_data": commit_before_data,
}
SIDES = {"merge_without_replay": "output", "commit_before_data": "output"}
"""The side that a mutant stands in for."""


def program(name: str, folder: Path) -> Path:
    """A program in `folder` that is the mutant of this name."""
    path = folder / "mutant"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        f"from tests.oracle.mutants import run\nrun({name!r})\n"
    )
    path.chmod(0o755)
    return path


def run(name: str) -> None:
    """Become the mutant."""
    from dstream_postgres.__main__ import run_input, run_output

    MUTANTS[name]()
    {"input": run_input, "output": run_output}[SIDES[name]]()
