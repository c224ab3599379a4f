"""Trial: one seed from beginning to end."""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from tests.oracle.alterations import Alterations
from tests.oracle.compare import differences
from tests.oracle.connections import Server
from tests.oracle.following import Dstream, Native, Ways
from tests.oracle.mutants import MUTANTS
from tests.oracle.schema import Schema, make
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

_PATIENCE = 120.0
"""Far more seconds than anything takes, also on a busy machine."""


class Wrong(Exception):
    """What dstream does is wrong before the end of the trial."""


@dataclass(slots=True)
class Outcome:
    """What a seed has shown. `problems` is empty where the databases are equal."""

    seed: int
    problems: list[str] = field(default_factory=list)
    native: str = ""
    """`equal`, `stopped` where native replication cannot follow, or what differs there."""
    counts: Counts = field(default_factory=Counts)
    altered: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = self.counts
        done = f"{counts.committed} transactions, {counts.statements} statements, {len(self.altered)} alterations"
        head = f"seed {self.seed}: {done}, native {self.native}"
        if not self.problems:
            return f"{head}: equal"
        return "\n  ".join(
            [f"{head}: DIFFERENT; run it again with: python -m tests.oracle {self.seed}", *self.problems]
        )


def trial(
    embedded: EmbeddedPostgres, seed: int, *, kills: bool = True, mutant: str = "", keep: bool = False
) -> Outcome:
    """Run one seed on a server with `SETTINGS`. `mutant` puts a provider that is wrong in its place (`mutants`)."""
    server = Server(embedded)
    dice = random.Random(f"trial {seed}")
    schema = make(seed)
    unique = f"{seed}_{time.time_ns() % 10**9}"
    source, native_name, target = (f"{kind}_{unique}" for kind in ("source", "native", "target"))
    ways = _ways(schema, random.Random(f"ways {seed}"))
    for name in (source, native_name, target):
        server.create_database(name)
        with server.connect(name) as connection, connection.cursor() as cursor:
            cursor.execute("SET client_min_messages = error")
            for statement in schema.ddl if name != target or not ways.created else ():
                cursor.execute(statement)
    outcome = Outcome(seed)
    folder = Path(tempfile.mkdtemp(prefix="oracle-"))
    native = Native(server, source, native_name)
    fault = f"before_commit:{dice.randint(2, 4)}" if kills and dice.random() < 0.3 else ""
    dies = MUTANTS[mutant].fault if mutant else ""
    fault = dies or fault
    follower = Dstream(server, source, target, folder, ways, mutant, fault)
    workload = Workload(schema, seed, lambda: psycopg2.connect(server.dsn(source)))

    try:
        workload.fill(dice.choice((0, 12, 30)))
        native.start(schema)
        follower.configure(schema)
        if schema.secured:
            _raise(follower.refuses_hidden_rows(_PATIENCE))
        # Beside the workload; after it, from the log; or after it, when all rows are in the snapshot.
        when = "beside" if fault else dice.choices(("beside", "after", "last"), (4, 5, 1))[0]
        if when == "after" or (schema.references and not ways.replica):
            # Foreign keys hold in the target only where its tables were read at the same moment.
            _raise(follower.settle(_PATIENCE))
        workload.run(20)
        if when == "beside":
            follower.start()
            if dice.random() < 0.8 or dies:
                workload.settle()  # a snapshot waits for open transactions
                follower.await_stream()
        alterations = Alterations(
            schema, seed, workload, _Databases(native, follower), created=ways.created, again=ways.again
        )
        altered = ways.again or random.Random(f"altered {seed}").random() < 0.4
        for part in range(4):
            workload.run(dice.choice((40, 120)))
            if altered and (part == 1 if ways.again else part in (0, 2)):
                alterations.one()
            if kills and when == "beside" and dice.random() < 0.4:
                follower.kill(dice)
                if dice.random() < 0.5:
                    workload.settle()
                    follower.await_stream()
        workload.finish()
        if dies:
            follower.await_end()  # the last changes of all are lost, which nothing writes over
        outcome.counts, outcome.altered = workload.counts, alterations.done
        wrong = follower.finish(_PATIENCE)
        outcome.problems += [wrong] if wrong else []
        outcome.problems += differences(server, schema, source, target, created=ways.created)
        if native.caught_up(20):
            outcome.native = "; ".join(differences(server, schema, source, native_name)) or "equal"
        else:
            outcome.native = "stopped"
    except Wrong as wrong_already:
        outcome.problems.append(str(wrong_already))
    finally:
        follower.abandon()
        native.drop()
        if not keep:
            _drop(server, source, native_name, target)
            if schema.secured:
                server.execute(f'DROP ROLE "{follower.reader}"')
        server.close()
    return outcome


@dataclass(frozen=True, slots=True)
class _Databases:
    """How alterations reach the databases of a trial."""

    native: Native
    follower: Dstream

    def source(self, sql: str) -> None:
        """Run a statement in the source."""
        self.native.server.execute(sql, dbname=self.native.source)

    def followers(self, sql: str) -> None:
        """Run a statement in the databases that follow, where their tables are not made by dstream."""
        for name in (self.native.target, *(() if self.follower.ways.created else (self.follower.target,))):
            self.native.server.execute(sql, dbname=name)

    def settle(self) -> None:
        """Have both apply everything that was committed. Raises Wrong."""
        self.native.caught_up(5)
        _raise(self.follower.settle(_PATIENCE))


def _ways(schema: Schema, dice: random.Random) -> Ways:
    """How dstream follows in a seed."""
    again = dice.random() < 0.08 and not schema.secured
    created = dice.random() < 0.15 and not again
    return Ways(
        replica=schema.triggers or dice.random() < 0.5,
        by_hand=dice.random() < 0.25 and not schema.secured,
        created=created,
        again=again,
    )


def _raise(wrong: str) -> None:
    if wrong:
        raise Wrong(wrong)


def _drop(server: Server, *names: str) -> None:
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
        server.close(name)
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        server.execute(
            "SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname LIKE %s",
            (f"dstream%@{name}%",),
        )
