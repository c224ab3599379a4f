"""Trial: one seed from beginning to end."""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from tests.oracle.compare import differences
from tests.oracle.following import Dstream, Native
from tests.oracle.schema import make
from tests.oracle.workload import Counts, Workload
from tests.services.postgres import EmbeddedPostgres

SETTINGS = {
    "max_prepared_transactions": "20",
    "max_logical_replication_workers": "20",
    "max_worker_processes": "30",
    "max_sync_workers_per_subscription": "4",
    "autovacuum": "off",
}
"""What the server needs beyond the settings of `EmbeddedPostgres`."""

_PATIENCE = 30.0


@dataclass(slots=True)
class Outcome:
    """What a seed has shown. `problems` is empty where the databases are equal."""

    seed: int
    problems: list[str] = field(default_factory=list)
    native: str = ""
    """`equal`, `stopped` where native replication cannot follow, or what differs there."""
    counts: Counts = field(default_factory=Counts)

    def __str__(self) -> str:
        done = f"{self.counts.committed} transactions, {self.counts.statements} statements"
        head = f"seed {self.seed}: {done}, native {self.native}"
        if not self.problems:
            return f"{head}: equal"
        return "\n  ".join(
            [f"{head}: DIFFERENT; run it again with: python -m tests.oracle {self.seed}", *self.problems]
        )


def trial(server: EmbeddedPostgres, seed: int, *, kills: bool = True, mutant: str = "", keep: bool = False) -> Outcome:
    """Run one seed on a server with `SETTINGS`. `mutant` puts a provider that is wrong in its place (`mutants`)."""
    dice = random.Random(f"trial {seed}")
    schema = make(seed)
    unique = f"{seed}_{time.time_ns() % 10**9}"
    source, native_name, target = (f"{kind}_{unique}" for kind in ("source", "native", "target"))
    for name in (source, native_name, target):
        server.create_database(name)
        with server.connect(name) as connection, connection.cursor() as cursor:
            cursor.execute("SET client_min_messages = error")
            for statement in schema.ddl:
                cursor.execute(statement)
    outcome = Outcome(seed)
    folder = Path(tempfile.mkdtemp(prefix="oracle-"))
    replica = schema.triggers or dice.random() < 0.5
    native = Native(server, source, native_name)
    fault = f"before_commit:{dice.randint(1, 4)}" if kills and dice.random() < 0.3 else ""
    follower = Dstream(server, source, target, folder, replica, mutant, fault)
    workload = Workload(schema, seed, lambda: psycopg2.connect(server.dsn(source)))
    try:
        workload.fill(dice.choice((0, 12, 30)))
        native.start(schema)
        follower.configure(schema)
        workload.run(20)
        beside = dice.random() < 0.5
        if beside:
            follower.start()
        for _ in range(4):
            workload.run(dice.choice((40, 120)))
            if kills and beside and dice.random() < 0.3:
                follower.kill(dice)
        workload.finish()
        outcome.counts = workload.counts
        wrong = follower.finish(_PATIENCE)
        outcome.problems += [wrong] if wrong else []
        outcome.problems += differences(server, schema, source, target)
        if native.caught_up(20):
            outcome.native = "; ".join(differences(server, schema, source, native_name)) or "equal"
        else:
            outcome.native = "stopped"
    finally:
        follower.abandon()
        native.drop()
        if not keep:
            _drop(server, source, native_name, target)
    return outcome


def _drop(server: EmbeddedPostgres, *names: str) -> None:
    for name in names:
        for (prepared,) in server.execute("SELECT gid FROM pg_prepared_xacts WHERE database = %s", (name,)):
            server.execute(f"ROLLBACK PREPARED '{prepared}'", dbname=name)
        for _ in range(100):
            server.execute(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = %s AND active",
                (name,),
            )
            left = server.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                " WHERE database = %s AND NOT active",
                (name,),
            )
            if not left and not server.execute("SELECT 1 FROM pg_replication_slots WHERE database = %s", (name,)):
                break
            time.sleep(0.05)
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
