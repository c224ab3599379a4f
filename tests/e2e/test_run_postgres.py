"""`dstream apply` and `run` between two PostgreSQL databases while rows change: any of the three processes is killed,
and the tables end up equal."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import children, dstream
from tests.events import until
from tests.services.postgres import EmbeddedPostgres

DSTREAM = Path(sys.executable).parent / "dstream"
TABLES = (
    "CREATE TABLE accounts (id int PRIMARY KEY, version int NOT NULL, amount numeric, big text);"
    "CREATE TABLE log (a int, b text, at timestamptz DEFAULT clock_timestamp(), PRIMARY KEY (a, b))"
)
CONFIGURATION = """
task "copy" {
  input {
    provider = "postgres"
    config {
      connection_string   = env("SOURCE_URL")
      tables              = ["accounts", "log"]
      slot                = "NAME"
      snapshot            = "initial"
      checkpoint_interval = 20
      chunk_rows          = 50
    }
  }
  output {
    provider = "postgres"
    config {
      connection_string = env("TARGET_URL")
    }
  }
}
"""


class Writer(threading.Thread):
    """Changes the source's rows at random until it is told to stop."""

    def __init__(self, server: EmbeddedPostgres, database: str, seed: int) -> None:
        super().__init__(daemon=True)
        self._server, self._database = server, database
        self._random = random.Random(seed)
        self._halt = threading.Event()

    def run(self) -> None:
        choose = self._random
        with self._server.connect(self._database, autocommit=False) as connection:
            cursor = connection.cursor()
            number = 1000
            while not self._halt.is_set():
                for _ in range(choose.randint(1, 5)):
                    number += 1
                    key, what = choose.randint(1, 300), choose.random()
                    if what < 0.5:
                        cursor.execute(
                            "UPDATE accounts SET version = version + 1, amount = id / 7.0 WHERE id = %s", (key,)
                        )
                    elif what < 0.6:
                        cursor.execute("DELETE FROM accounts WHERE id = %s", (key,))
                    elif what < 0.75:
                        cursor.execute(
                            "INSERT INTO accounts VALUES (%s, 0, 1.10, repeat(%s, 3000)) ON CONFLICT DO NOTHING",
                            (key, chr(97 + number % 26)),
                        )
                    elif what < 0.8:
                        cursor.execute("UPDATE accounts SET id = %s WHERE id = %s", (number, key))
                    else:
                        cursor.execute("INSERT INTO log VALUES (%s, %s)", (number % 40, f"k{number}"))
                connection.rollback() if choose.random() < 0.1 else connection.commit()
                time.sleep(0.005)

    def stop(self) -> None:
        self._halt.set()
        self.join(30)


class Moments:
    """The moments of a run at which something is killed."""

    def __init__(self, postgres: EmbeddedPostgres, source: str, target: str) -> None:
        self._postgres, self._source, self._target = postgres, source, target

    def one_of(self, choose: random.Random, host: subprocess.Popen[bytes]) -> bool:
        """Wait for a moment chosen at random; False if the run has ended by itself."""
        stored = self._stored()
        slot = "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active"
        what, reached = choose.choice(
            (
                ("both providers to run", lambda: len(children(host.pid)) >= 2),
                ("the slot to be read", lambda: self._postgres.execute(slot, (self._source,))),
                ("another checkpoint", lambda: self._stored() != stored),
            )
        )
        until(lambda: host.poll() is not None or reached(), what)
        return host.poll() is None

    def _stored(self) -> object:
        return self._postgres.execute("SELECT stored_at FROM dstream_checkpoint", dbname=self._target)


@pytest.fixture
def databases(postgres: EmbeddedPostgres) -> Iterator[tuple[str, str]]:
    name = uuid.uuid4().hex[:10]
    made = f"source_{name}", f"target_{name}"
    for one in made:
        postgres.create_database(one)
        postgres.execute(TABLES, dbname=one)
    yield made
    for one in made:
        postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (one,))
    for _ in range(200):
        slots = "SELECT slot_name, active FROM pg_replication_slots WHERE database = %s"
        left = postgres.execute(slots, (made[0],))
        for slot, active in left:
            if not active:
                postgres.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
        if not left:
            break
        time.sleep(0.05)
    for one in made:
        postgres.execute(f"DROP DATABASE {one} WITH (FORCE)")
        postgres.execute(
            "SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname LIKE %s", (f"%@{one}",)
        )


def differences(postgres: EmbeddedPostgres, source: str, target: str) -> list[str]:
    out = []
    for table in ("accounts", "log"):
        sql = f"SELECT md5(t::text), left(t::text, 60) FROM {table} t"
        here, there = set(postgres.execute(sql, dbname=source)), set(postgres.execute(sql, dbname=target))
        out += [f"{table} lost: {row}" for row in sorted(here - there)]
        out += [f"{table} left over: {row}" for row in sorted(there - here)]
    return out


@pytest.mark.timeout(300)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the providers' processes in /proc")
def test_any_of_the_three_processes_is_killed_at_random_and_the_tables_end_up_equal(
    postgres: EmbeddedPostgres, databases: tuple[str, str], tmp_path: Path
):
    source, target = databases
    (tmp_path / "dstream.hcl").write_text(CONFIGURATION.replace("NAME", source))
    environment = {
        **os.environ,
        "SOURCE_URL": postgres.dsn(source),
        "TARGET_URL": postgres.dsn(target),
        "NO_COLOR": "1",
    }
    place: dict[str, Any] = {"cwd": tmp_path, "env": environment}
    postgres.execute(
        "INSERT INTO accounts SELECT i, 0, i * 1.10, CASE WHEN i % 5 = 0 THEN repeat('x', 3000) END"
        " FROM generate_series(1, 300) i",
        dbname=source,
    )
    applied = subprocess.run([DSTREAM, "apply", "-auto-approve"], capture_output=True, text=True, **place)
    assert applied.returncode == 0, applied.stderr
    choose = random.Random(11)
    writer = Writer(postgres, source, seed=11)
    writer.start()
    moments = Moments(postgres, source, target)
    killed = 0
    try:
        for kills in (3, 1, 0, 3, 2):
            with (tmp_path / "log").open("ab") as log:
                host = subprocess.Popen([DSTREAM, "run", "copy"], stdout=log, stderr=log, **place)
            for _ in range(kills):
                if moments.one_of(choose, host) and (providers := children(host.pid)):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(choose.choice(providers), signal.SIGKILL)
                        killed += 1
            moments.one_of(choose, host)
            host.kill()
            host.wait()
    finally:
        writer.stop()
    last = subprocess.run(
        [DSTREAM, "run", "copy", "--until-idle"], capture_output=True, text=True, timeout=120, **place
    )
    assert last.returncode == 0, last.stderr + (tmp_path / "log").read_text()
    assert differences(postgres, source, target) == []
    assert postgres.execute("SELECT count(*) > 0 FROM log", dbname=target) == [(True,)]
    assert killed > 3


MADE = """
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE made (id bigint PRIMARY KEY, n smallint NOT NULL, price numeric(8,2), at timestamptz(3), day date, u uuid,
    raw bytea, tags text[], doc jsonb, feeling mood, short varchar(5));
INSERT INTO made VALUES (1, 5, 5, '2026-01-02 03:04:05.678+02', '2026-02-28', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
    '\\x00ff', '{a,NULL}', '{"a": 1.50}', 'glad', 'abc')
"""
LATER = """
ALTER TABLE made ALTER n TYPE integer, ALTER price TYPE numeric(12,4), ALTER short TYPE text;
ALTER TABLE made ADD added interval;
INSERT INTO made (id, n, price, short, added) VALUES (2, 70000, 12345.6789, 'longer than five', '1 day')
"""


def test_tables_are_created_with_the_columns_of_the_source_and_follow_them(
    postgres: EmbeddedPostgres, databases: tuple[str, str], tmp_path: Path
):
    source, target = databases
    configured = CONFIGURATION.replace("NAME", source).replace('["accounts", "log"]', '["made"]')
    configured = configured.replace('env("TARGET_URL")', 'env("TARGET_URL")\n      create_tables     = true')
    (tmp_path / "dstream.hcl").write_text(configured)
    environment = {"SOURCE_URL": postgres.dsn(source), "TARGET_URL": postgres.dsn(target)}
    postgres.execute(MADE, dbname=source)
    applied = dstream(tmp_path, "apply", "-auto-approve", env=environment)
    assert applied.code == 0, applied.said
    for change in ("SELECT 1", LATER):
        postgres.execute(change, dbname=source)
        run = dstream(tmp_path, "run", "copy", "--until-idle", env=environment)
        assert run.code == 0, run.said
        rows = "SELECT made::text FROM made ORDER BY id"
        assert postgres.execute(rows, dbname=target) == postgres.execute(rows, dbname=source)
    columns = (
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
        " WHERE attrelid = 'made'::regclass AND attnum > 0 ORDER BY attnum"
    )
    there = postgres.execute(columns, dbname=target)
    assert there == [
        # A type of the source's own that the target does not have is text.
        (name, "text" if kind == "mood" else kind, required)
        for name, kind, required in postgres.execute(columns, dbname=source)
    ]
