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

from tests.e2e.commands import children, dstream, environment, start
from tests.oracle.schema import Schema
from tests.services.postgres import EmbeddedPostgres

TASK = "copy"


@dataclass(slots=True)
class Native:
    """A database with a subscription of its own."""

    server: EmbeddedPostgres
    source: str
    target: str

    @property
    def name(self) -> str:
        return f"n_{self.target}"

    def start(self, schema: Schema) -> None:
        """Create publication, slot and subscription; the rows that are there are copied."""
        tables = ", ".join(table.only for table in schema.tables)
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


@dataclass(slots=True)
class Dstream:
    """A database that `dstream run` fills, killed and started again at random."""

    server: EmbeddedPostgres
    source: str
    target: str
    folder: Path
    replica: bool
    mutant: str = ""
    """The mutant that stands in for a side (`mutants`), if any."""
    fault: str = ""
    """The fault point at which the output dies, again and again, while the workload runs."""
    _host: subprocess.Popen[str] | None = None

    def configure(self, schema: Schema) -> None:
        """Write the configuration and apply it."""
        tables = (
            json.dumps([table.configured for table in schema.followed], ensure_ascii=False)
            .replace("${", "$${")
            .replace("%{", "%%{")
        )
        role = 'session_replication_role = "replica"' if self.replica else ""
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

    def kill(self, dice: random.Random) -> None:
        """Kill the host or one of its providers; start the host again if it is gone."""
        host = self._host
        assert host is not None
        chosen = dice.choice([host.pid, *children(host.pid)])
        with _gone():
            os.kill(chosen, signal.SIGKILL)
        if chosen == host.pid or host.poll() is not None:
            host.wait()
            self.start()

    def finish(self, timeout: float) -> str:
        """Stop, then move all that is left; return what is wrong with the run itself, if anything."""
        if self._host is not None:
            self._host.send_signal(signal.SIGINT)
            self._host.communicate(timeout=timeout)
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
        urls = {"SOURCE_URL": self.server.dsn(self.source), "TARGET_URL": self.server.dsn(self.target)}
        return {**environment(), **urls, "DSTREAM_FAULT": ""}

    def _provider(self, side: str) -> str:
        """How the configuration names a side: the provider itself, or the program of a mutant."""
        from tests.oracle.mutants import SIDES, program

        if SIDES.get(self.mutant) != side:
            return 'provider = "postgres"'
        return f'provider_path = "{program(self.mutant, self.folder)}"'


class _gone:
    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is ProcessLookupError
