"""The consistent snapshot: no row twice, none lost, whatever commits meanwhile and wherever it is interrupted."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from providers.postgres.tests.harness import Database, InputRun


def kinds(run: InputRun) -> list[tuple[str, Any]]:
    return [(one["metadata"]["OperationType"], one["data"].get("id")) for one in run.envelopes]


def test_rows_that_are_there_are_read_once_and_changes_follow(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (2, 'b'), (1, 'a')")
    database.prepare("t")
    database.execute("INSERT INTO t VALUES (3, 'c')")  # after the slot: in the snapshot and in the stream
    first = InputRun(database.config("t")).finish()
    assert sorted(kinds(first)) == [("Read", 1), ("Read", 2), ("Read", 3)]
    database.execute("INSERT INTO t VALUES (4, 'd')")
    second = InputRun(database.config("t"), first.checkpoint).finish()
    assert kinds(second) == [("Insert", 4)]


def test_a_transaction_that_commits_after_the_snapshot_but_began_before_it_is_delivered(database: Database):
    """Its first record lies before the snapshot in the log; a handover by position would have to guess."""
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    database.prepare("t")
    database.execute("INSERT INTO t SELECT generate_series(1, 10)")
    run = InputRun(database.config("t", chunk_rows=1), commit=False, until=None)
    # The snapshot is taken when the first checkpoint is stored.
    run.wait_for(lambda one: one.checkpoint is not None)
    with database.server.connect(database.name, autocommit=False) as connection:
        connection.cursor().execute("INSERT INTO t VALUES (11)")
        assert run.checkpoint is not None
        run.commit = True
        run.committed(1, run.checkpoint)
        run.wait_for(lambda one: len(one.envelopes) == 10)
        connection.commit()
    run.wait_for(lambda one: ("Insert", 11) in kinds(one))
    run.stop()
    assert kinds(run) == [*(("Read", number) for number in range(1, 11)), ("Insert", 11)]


def test_it_waits_for_transactions_that_wrote_before_the_table_was_published(database: Database):
    database.execute("CREATE TABLE old (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY)")
    database.prepare("old")
    start = InputRun(database.config("old")).finish().checkpoint
    with database.server.connect(database.name, autocommit=False) as connection:
        connection.cursor().execute("INSERT INTO t VALUES (1)")  # before the table is published: not in the stream
        database.execute("ALTER PUBLICATION dstream_t ADD TABLE t")
        run = InputRun(database.config("old", "t"), start)
        run.wait_for(lambda one: "waiting for transactions" in one.said)
        time.sleep(0.3)  # long enough to go wrong, if it did not wait
        assert kinds(run) == []
        connection.commit()
    run.finish()
    assert kinds(run) == [("Read", 1)]


def test_an_added_table_is_read_and_the_others_are_not_read_again(database: Database):
    database.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)")
    database.execute("INSERT INTO a VALUES (1); INSERT INTO b VALUES (10)")
    database.prepare("a")
    first = InputRun(database.config("a")).finish()
    database.execute("INSERT INTO a VALUES (2)")
    database.execute("ALTER PUBLICATION dstream_t ADD TABLE b")
    database.execute("INSERT INTO b VALUES (11); INSERT INTO a VALUES (3)")
    second = InputRun(database.config("a", "b"), first.checkpoint).finish()
    assert kinds(first) == [("Read", 1)]
    assert kinds(second) == [("Read", 10), ("Read", 11), ("Insert", 2), ("Insert", 3)]


def test_an_interrupted_snapshot_starts_over_with_its_table_and_not_with_the_others(database: Database):
    database.execute("CREATE TABLE done (id int PRIMARY KEY); INSERT INTO done VALUES (1)")
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT i, 0 FROM generate_series(1, 30) i"
    )
    database.prepare("done", "t")
    config = database.config("done", "t", chunk_rows=10)
    killed = InputRun(config, env={"DSTREAM_FAULT": "mid_snapshot:3"}).finish()
    assert not killed.ended
    assert len(killed.envelopes) == 21
    database.execute("DELETE FROM t WHERE id IN (5, 15, 25); UPDATE t SET v = 1 WHERE id IN (6, 16, 26)")
    rest = InputRun(config, killed.checkpoint).finish()
    assert rest.ended
    assert rest.envelopes[0]["metadata"]["OperationType"] == "Truncate"
    assert {one["metadata"]["OperationType"] for one in rest.envelopes[1:]} == {"Read"}
    read = sorted((one["data"]["id"], one["data"]["v"]) for one in rest.envelopes[1:])
    assert read == database.execute("SELECT id, v FROM t ORDER BY id")
    database.execute("INSERT INTO t VALUES (31, 1)")
    assert kinds(InputRun(config, rest.checkpoint).finish()) == [("Insert", 31)]


def test_no_row_is_emitted_before_the_snapshot_is_stored(database: Database):
    """A row that was delivered under a forgotten snapshot and deleted before the next would stay for ever."""
    database.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    database.prepare("t")
    run = InputRun(database.config("t"), commit=False)
    run.wait_for(lambda one: one.checkpoint is not None)
    time.sleep(0.5)
    assert run.envelopes == []
    assert run.checkpoint is not None
    run.committed(1, run.checkpoint)
    run.commit = True
    run.wait_for(lambda one: bool(one.envelopes))
    run.kill()


def test_row_filters_and_column_lists_of_the_publication_hold_for_the_snapshot_too(database: Database):
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int, secret text, twice int GENERATED ALWAYS AS (v * 2) STORED)"
    )
    database.execute("INSERT INTO t VALUES (1, 1, 'x'), (2, 20, 'y')")
    database.prepare("t (id, v) WHERE (id > 1)")
    database.execute("INSERT INTO t VALUES (3, 30, 'z'), (0, 0, 'no')")
    read = InputRun(database.config("t")).finish()
    assert sorted(kinds(read)) == [("Read", 2), ("Read", 3)]
    database.execute("INSERT INTO t VALUES (4, 40, 'w')")
    streamed = InputRun(database.config("t"), read.checkpoint).finish()
    assert [one["data"] for one in streamed.envelopes] == [{"id": 4, "v": 40}]
    assert {tuple(one["data"]) for one in read.envelopes} == {("id", "v")}


def test_without_a_snapshot_only_changes_are_delivered(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    database.prepare("t")
    database.execute("INSERT INTO t VALUES (2)")
    assert kinds(InputRun(database.config("t", snapshot="never")).finish()) == [("Insert", 2)]


@pytest.mark.parametrize("chunk_rows", [7, 1000])
def test_under_concurrent_writes_every_row_is_seen_exactly_once(database: Database, chunk_rows: int):
    """Each transaction inserts its rows once: a row that is both read and inserted, or neither, is a fault."""
    database.execute("CREATE TABLE t (id bigserial PRIMARY KEY, w int)")
    database.execute("INSERT INTO t (w) SELECT 0 FROM generate_series(1, 300)")
    database.prepare("t")
    stop = threading.Event()

    def write(number: int) -> None:
        with database.server.connect(database.name, autocommit=False) as connection:
            cursor = connection.cursor()
            while not stop.is_set():
                cursor.execute("INSERT INTO t (w) VALUES (%s), (%s)", (number, number))
                time.sleep(0.001)
                cursor.execute("INSERT INTO t (w) VALUES (%s)", (number,))
                connection.commit()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
    for writer in writers:
        writer.start()
    try:
        time.sleep(0.2)
        run = InputRun(database.config("t", chunk_rows=chunk_rows), until=None)
        run.wait_for(lambda one: any(kind == "Insert" for kind, _ in kinds(one)))
        time.sleep(0.3)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    wanted = [number for (number,) in database.execute("SELECT id FROM t ORDER BY id")]
    run.wait_for(lambda one: len(one.envelopes) >= len(wanted))
    run.stop()
    assert sorted(number for _, number in kinds(run)) == wanted


def test_the_handover_asks_for_visibility_and_not_for_the_place_in_the_log(database: Database):
    """A commit record can lie before the place where a snapshot was taken that does not see the transaction."""
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    database.prepare("t")
    start = InputRun(database.config("t")).finish().checkpoint
    assert start is not None
    ids = []
    for number in (1, 2, 3):
        ((xid,),) = database.execute("INSERT INTO t VALUES (%s) RETURNING pg_current_xact_id()::text", (number,))
        ids.append(int(xid))
    ((behind,),) = database.execute("SELECT pg_current_wal_insert_lsn()::text")
    unseen = {"snapshot": f"{ids[1]}:{ids[2] + 1}:{ids[1]}", "until": behind}
    run = InputRun(database.config("t"), {**start, "tables": {"public.t": unseen}}).finish()
    assert kinds(run) == [("Insert", 2)]
    assert run.checkpoint is not None
    assert "tables" not in run.checkpoint
