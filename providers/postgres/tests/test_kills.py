"""No lost change: input and output are killed at every fault point and at random, and the tables end up equal."""

from __future__ import annotations

import random
import subprocess
import threading
import time

import pytest

from providers.postgres.tests.flow import Flow
from providers.postgres.tests.harness import Database

TABLES = (
    "CREATE TABLE accounts (id int PRIMARY KEY, version int NOT NULL, amount numeric, note text, big text);"
    "CREATE TABLE log (a int, b text, v int, PRIMARY KEY (a, b))"
)


def prepare(source: Database, target: Database) -> Flow:
    for database in (source, target):
        database.execute(TABLES)
    source.execute("ALTER TABLE accounts ALTER big SET STORAGE EXTERNAL")
    source.execute(
        "INSERT INTO accounts SELECT i, 0, i * 1.10, 'note ' || i, CASE WHEN i % 5 = 0 THEN repeat('x', 3000) END"
        " FROM generate_series(1, 200) i"
    )
    source.prepare("accounts", "log")
    # The target refuses a version that goes back within one commit or between two.
    return Flow(
        source.config("accounts", "log", chunk_rows=25, checkpoint_interval=10),
        {"connection_string": target.dsn},
    )


class Writer(threading.Thread):
    """Changes the source's tables at random until it is told to stop."""

    def __init__(self, source: Database, seed: int) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._random = random.Random(seed)
        self._halt = threading.Event()

    def run(self) -> None:
        choose = self._random
        with self._source.server.connect(self._source.name, autocommit=False) as connection:
            cursor = connection.cursor()
            number = 1000
            while not self._halt.is_set():
                for _ in range(choose.randint(1, 6)):
                    number += 1
                    key = choose.randint(1, 260)
                    what = choose.random()
                    if what < 0.5:
                        cursor.execute(
                            "UPDATE accounts SET version = version + 1, amount = amount * 1.01 WHERE id = %s", (key,)
                        )
                    elif what < 0.6:
                        cursor.execute("DELETE FROM accounts WHERE id = %s", (key,))
                    elif what < 0.7:
                        cursor.execute(
                            "INSERT INTO accounts VALUES (%s, 0, 'NaN', 'new', repeat('y', 2500))"
                            " ON CONFLICT DO NOTHING",
                            (key,),
                        )
                    elif what < 0.75:
                        cursor.execute("UPDATE accounts SET id = %s WHERE id = %s", (number, key))
                    elif what < 0.78:
                        cursor.execute("TRUNCATE log")
                    else:
                        cursor.execute("INSERT INTO log VALUES (%s, %s, 1)", (number % 50, f"k{number}"))
                if choose.random() < 0.1:
                    connection.rollback()
                else:
                    connection.commit()
                time.sleep(0.003)

    def stop(self) -> None:
        self._halt.set()
        self.join(30)


def differences(source: Database, target: Database) -> list[str]:
    """Rows, by hash and beginning, that only one of the two has."""
    out = []
    for table in ("accounts", "log"):
        sql = f"SELECT md5(t::text), left(t::text, 60) FROM {table} t"
        here, there = set(source.execute(sql)), set(target.execute(sql))
        out += [f"{table} lost: {row}" for row in sorted(here - there)]
        out += [f"{table} left over: {row}" for row in sorted(there - here)]
    return out


@pytest.mark.parametrize(
    ("input_fault", "output_fault"),
    [
        ("mid_snapshot", ""),
        ("mid_snapshot:4", ""),
        ("mid_transaction", ""),
        ("mid_transaction:7", ""),
        ("mid_line", ""),
        ("mid_line:5", ""),
        ("", "after_sink_before_ack"),
        ("", "after_sink_before_ack:6"),
    ],
)
def test_killed_at_a_fault_point_again_and_again_nothing_is_lost(
    database: Database, target: Database, input_fault: str, output_fault: str
):
    flow = prepare(database, target)
    writer = Writer(database, seed=len(input_fault + output_fault))
    writer.start()
    try:
        for _ in range(5):
            ended = flow.session(until=None, input_fault=input_fault, output_fault=output_fault, kill=after(2.5))
            assert not ended
    finally:
        writer.stop()
    finish(flow)
    assert differences(database, target) == []


def after(seconds: float):  # type: ignore[no-untyped-def]  # a callable for Flow.session
    def kill(source: subprocess.Popen[bytes], output: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and source.poll() is None and output.poll() is None:
            time.sleep(0.01)
        source.kill()

    return kill


def finish(flow: Flow) -> None:
    for _ in range(3):
        if flow.session():
            return
    raise AssertionError("the flow does not come to an end")


def test_killed_at_random_nothing_is_lost(database: Database, target: Database):
    flow = prepare(database, target)
    choose = random.Random(7)
    writer = Writer(database, seed=7)
    writer.start()

    def kill(source: subprocess.Popen[bytes], output: subprocess.Popen[bytes]) -> None:
        time.sleep(choose.uniform(0.02, 0.8))
        choose.choice((source, output)).kill()

    try:
        for _ in range(15):
            flow.session(until=None, kill=kill)
    finally:
        writer.stop()
    finish(flow)
    assert differences(database, target) == []
    assert target.execute("SELECT count(*) > 0 FROM accounts") == [(True,)]
