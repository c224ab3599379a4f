"""Following: the two databases that follow a source, one by a native subscription, one by `dstream run`."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.commands import children, dstream, start
from tests.events import until
from tests.oracle.connections import Server
from tests.oracle.schema import Schema, quote

TASK = "copy"


@dataclass(slots=True)
class Native:
    """A database with a subscription of its own."""

    server: Server
    source: str
    target: str

    @property
    def name(self) -> str:
        return f"n_{self.target}"

    def start(self, schema: Schema) -> None:
        """Create publication, slot and subscription; the rows that are there are copied."""
        tables = ", ".join(table.only for table in schema.tables)
        # A subscriber has the same partitions: each is replicated under its own name.
        self.server.execute(f"CREATE PUBLICATION native FOR TABLE {tables}", dbname=self.source)
        # Within one cluster a subscription cannot make its slot itself: it would wait for its own transaction.
        self.server.execute(f"SELECT pg_create_logical_replication_slot('{self.name}', 'pgoutput')", dbname=self.source)
        self.server.execute(
            f"CREATE SUBSCRIPTION \"{self.name}\" CONNECTION '{self._own_dsn()}' PUBLICATION native"
            f" WITH (create_slot = false, slot_name = '{self.name}', disable_on_error = true)",
            dbname=self.target,
        )

    def caught_up(self, seconds: float) -> bool:
        """Wait until everything that the source has committed is applied; False where replication has stopped."""
        ((end,),) = self.server.execute("SELECT pg_current_wal_lsn()", dbname=self.source)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.server.execute("SELECT 1 FROM pg_subscription WHERE subenabled", dbname=self.target):
                return False
            ready = self.server.execute(
                "SELECT count(*) FILTER (WHERE srsubstate <> 'r') = 0 FROM pg_subscription_rel", dbname=self.target
            )[0][0]
            ((there,),) = self.server.execute(
                "SELECT coalesce(confirmed_flush_lsn >= %s, false) FROM pg_replication_slots WHERE slot_name = %s",
                (end, self.name),
            )
            if ready and there:
                return True
            time.sleep(0.02)
        return False

    def drop(self) -> None:
        """Remove the subscription; its slot goes with it."""
        if self.server.execute("SELECT 1 FROM pg_subscription WHERE subname = %s", (self.name,), dbname=self.target):
            self.server.execute(f'ALTER SUBSCRIPTION "{self.name}" DISABLE', dbname=self.target)
            self.server.execute(f'ALTER SUBSCRIPTION "{self.name}" SET (slot_name = NONE)', dbname=self.target)
            self.server.execute(f'DROP SUBSCRIPTION "{self.name}"', dbname=self.target)

    def _own_dsn(self) -> str:
        return f"host={self.server.folder / 'run'} port={self.server.port} user=postgres dbname={self.source}"


@dataclass(frozen=True, slots=True)
class Ways:
    """How dstream follows in this seed."""

    replica: bool = False
    """Triggers and foreign keys of the target rest."""
    by_hand: bool = False
    """An operator made publication and slot."""
    created: bool = False
    """The output creates the tables."""
    again: bool = False
    """After a gap the tables are read again."""


@dataclass(slots=True)
class Dstream:
    """A database that `dstream run` fills, killed and started again at random."""

    server: Server
    source: str
    target: str
    folder: Path
    ways: Ways
    mutant: str = ""
    """The mutant that stands in for a side (`mutants`), if any."""
    fault: str = ""
    """The fault point at which the output dies, again and again, while the workload runs."""
    restricted: bool = False
    """Whether the input connects as `reader`."""
    _host: subprocess.Popen[str] | None = None

    @property
    def reader(self) -> str:
        """The role that the input connects as, where rows are hidden from it."""
        return f"reader_{self.target}"

    def configure(self, schema: Schema) -> None:
        """Write the configuration and apply it."""
        tables = (
            json.dumps([table.configured for table in schema.followed], ensure_ascii=False)
            .replace("${", "$${")
            .replace("%{", "%%{")
        )
        role = 'session_replication_role = "replica"' if self.ways.replica else ""
        if schema.secured:
            self._restrict(schema)
        if self.ways.by_hand:
            self._publish(schema)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "dstream.hcl").write_text(
            f"""
task "{TASK}" {{
  input {{
    {self._provider("input")}
    config {{
      connection_string   = env("SOURCE_URL")
      tables              = {tables}
      slot                = "d_{self.target}"
      publication         = "dstream_{TASK}"
      manage              = {str(not self.ways.by_hand).lower()}
      on_gap              = "{"snapshot" if self.ways.again else "fail"}"
      snapshot            = "initial"
      checkpoint_interval = 20
      chunk_rows          = 7
    }}
  }}
  output {{
    {self._provider("output")}
    env = ["DSTREAM_FAULT"]
    config {{
      connection_string = env("TARGET_URL")
      create_tables     = {str(self.ways.created).lower()}
      {role}
    }}
  }}
}}
"""
        )
        done = dstream(self.folder, "apply", "-auto-approve", env=self._environment())
        if done.code:
            raise AssertionError(f"dstream apply failed:\n{done.said}")

    def start(self) -> None:
        """Start to follow, beside the workload."""
        self._host = start(self.folder, "run", TASK, env={**self._environment(), "DSTREAM_FAULT": self.fault})

    def await_stream(self) -> None:
        """Wait until the changes of the source are read, or the run has ended."""
        host = self._host
        assert host is not None, "it does not run"
        slot = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = 'd_{self.target}' AND active"
        until(lambda: host.poll() is not None or self.server.execute(slot), "the task to read the slot")

    def await_end(self) -> None:
        """Wait until all that the source has committed counts as stored, or the run has ended."""
        host = self._host
        assert host is not None, "it does not run"
        ((end,),) = self.server.execute("SELECT pg_current_wal_insert_lsn()", dbname=self.source)
        slot = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = 'd_{self.target}' AND confirmed_flush_lsn >= %s"
        until(lambda: host.poll() is not None or self.server.execute(slot, (end,)), "the source's end to be stored")

    def kill(self, dice: random.Random) -> None:
        """Kill the host or one of its providers; start the host again if it is gone."""
        host = self._host
        assert host is not None, "it does not run"
        chosen = dice.choice([host.pid, *children(host.pid)])
        with _gone():
            os.kill(chosen, signal.SIGKILL)
        if chosen == host.pid or host.poll() is not None:
            host.wait()
            self.start()

    def refuses_hidden_rows(self, timeout: float) -> str:
        """Run as a role from which rows are hidden, then let it see them; return what is wrong, if anything."""
        done = dstream(self.folder, "run", "--until-idle", TASK, env=self._environment(), timeout=timeout)
        self.server.execute(f'ALTER ROLE "{self.reader}" BYPASSRLS')
        if not done.code or "row-level security" not in done.said:
            return f"dstream run ended with {done.code} and said nothing of the hidden rows:\n{done.said[-2000:]}"
        return ""

    def settle(self, timeout: float) -> str:
        """Apply all that the source has committed, then follow on; return what is wrong, if anything."""
        running = self._host is not None
        wrong = self.finish(timeout)
        if running:
            self.start()
        return wrong

    def finish(self, timeout: float) -> str:
        """Stop, then move all that is left; return what is wrong with the run itself, if anything."""
        if self._host is not None:
            self._host.send_signal(signal.SIGTERM)  # a program started in the background may ignore SIGINT
            self._host.communicate(timeout=timeout)
            self._host = None
        try:
            done = dstream(self.folder, "run", "--until-idle", TASK, env=self._environment(), timeout=timeout)
        except subprocess.TimeoutExpired as late:
            return f"dstream run did not end in {timeout:.0f} s:\n{(late.stderr or b'').decode()[-2000:]}"
        if done.code:
            return f"dstream run ended with {done.code}:\n{done.said[-3000:]}"
        letters = list((self.folder / ".dstream").rglob("*dead*/*"))
        if letters:
            listed = dstream(self.folder, "dlq", "list", TASK, env=self._environment())
            return f"{len(letters)} dead letters:\n{listed.out[-3000:]}"
        return ""

    def abandon(self) -> None:
        """Kill what still runs."""
        if self._host is not None and self._host.poll() is None:
            with _gone():
                os.killpg(self._host.pid, signal.SIGKILL)
            self._host.communicate()

    def _environment(self) -> dict[str, str]:
        source = self.server.dsn(self.source)
        if self.restricted:
            source = source.replace(f"//{self.server.superuser}@", f"//{self.reader}@")
        urls = {"SOURCE_URL": source, "TARGET_URL": self.server.dsn(self.target)}
        return {**urls, "DSTREAM_FAULT": ""}  # more would have each command start an interpreter of its own

    def _restrict(self, schema: Schema) -> None:
        """Give the tables to a role that policies hold for: it may publish and read them."""
        statements = [
            f'CREATE ROLE "{self.reader}" LOGIN REPLICATION',
            f'GRANT CREATE ON DATABASE "{self.source}" TO "{self.reader}"',
        ]
        for table in schema.tables:
            statements.append(f'GRANT ALL ON SCHEMA {quote(table.schema)} TO "{self.reader}"')
            statements += [f'ALTER TABLE {each.sql} OWNER TO "{self.reader}"' for each in (table, *table.leaves)]
        for statement in [*statements, *schema.policies]:
            self.server.execute(statement, dbname=self.source)
        self.restricted = True

    def _publish(self, schema: Schema) -> None:
        """Create publication and slot as an operator does who lets partitions speak for themselves."""
        tables = ", ".join(table.only for table in schema.tables)
        root = str(schema.by_root).lower()
        for statement in (
            f"CREATE PUBLICATION dstream_{TASK} FOR TABLE {tables} WITH (publish_via_partition_root = {root})",
            f"SELECT pg_create_logical_replication_slot('d_{self.target}', 'pgoutput')",
        ):
            self.server.execute(statement, dbname=self.source)

    def _provider(self, side: str) -> str:
        """How the configuration names a side: the provider itself, or the program of a mutant."""
        from tests.oracle.mutants import MUTANTS, program

        if not self.mutant or MUTANTS[self.mutant].side != side:
            return 'provider = "postgres"'
        return f'provider_path = "{program(self.mutant, self.folder)}"'


class _gone:
    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is ProcessLookupError
