"""The consistent snapshot: no row twice, none lost, whatever commits meanwhile and wherever it is interrupted."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from dstream_postgres.position import Position
from providers.postgres.tests.harness import Database, InputRun
from tests.events import until


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
        run.waits()
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
    # hits: the batch and the end of `done`, then each chunk of `t`
    killed = InputRun(config, env={"DSTREAM_FAULT": "mid_snapshot:4"}).finish()
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
    run.waits()
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
        written = "SELECT count(DISTINCT w) FROM t"
        until(lambda: database.execute(written) == [(5,)], "a row of each writer")
        run = InputRun(database.config("t", chunk_rows=chunk_rows), until=None)
        run.wait_for(lambda one: sum(kind == "Insert" for kind, _ in kinds(one)) > 100)
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


def test_row_level_security_is_an_error_and_not_fewer_rows(database: Database):
    role = f"reader_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'reader-secret'")
    try:
        database.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)")
        database.execute(f"GRANT SELECT ON t TO {role}; CREATE POLICY one ON t FOR SELECT USING (id = 1)")
        database.execute("ALTER TABLE t ENABLE ROW LEVEL SECURITY")
        database.prepare("t")
        dsn = database.dsn.replace(f"postgres:{database.server.password}", f"{role}:reader-secret")
        run = InputRun({**database.config("t"), "connection_string": dsn}).finish()
        assert not run.ended
        assert run.envelopes == []
        assert "row-level security" in run.said
    finally:
        database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_children_of_a_table_are_tables_of_their_own_in_snapshot_and_stream(database: Database):
    database.execute("CREATE TABLE parent (id int PRIMARY KEY, v text); CREATE TABLE child () INHERITS (parent)")
    database.execute("INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2)")
    database.prepare("parent")
    database.execute("ALTER TABLE child REPLICA IDENTITY FULL")
    read = InputRun(database.config("parent")).finish()
    assert kinds(read) == [("Read", 1)]
    database.execute("INSERT INTO parent VALUES (3); INSERT INTO child VALUES (4); UPDATE child SET v = 'x'")
    assert kinds(InputRun(database.config("parent"), read.checkpoint).finish()) == [("Insert", 3)]
    both = InputRun(database.config("parent", "child")).finish()
    assert sorted((one["metadata"]["TableName"], one["data"]["id"]) for one in both.envelopes) == [
        ("public.child", 2),
        ("public.child", 4),
        ("public.parent", 1),
        ("public.parent", 3),
    ]


def test_partitions_are_part_of_their_table_in_snapshot_and_stream(database: Database):
    database.execute("CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    database.execute("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)")
    database.execute("CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20); INSERT INTO p VALUES (1), (11)")
    database.execute("CREATE PUBLICATION dstream_t FOR TABLE p WITH (publish_via_partition_root)")
    database.execute(f"SELECT pg_create_logical_replication_slot('dstream_t_{database.name}', 'pgoutput')")
    read = InputRun(database.config("p")).finish()
    assert sorted(kinds(read)) == [("Read", 1), ("Read", 11)]
    database.execute("INSERT INTO p VALUES (2), (12)")
    rest = InputRun(database.config("p"), read.checkpoint).finish()
    assert kinds(rest) == [("Insert", 2), ("Insert", 12)]
    assert {one["metadata"]["TableName"] for one in [*read.envelopes, *rest.envelopes]} == {"public.p"}
    database.execute("ALTER PUBLICATION dstream_t SET (publish_via_partition_root = false)")
    refused = InputRun(database.config("p")).finish()
    assert "publish_via_partition_root" in refused.status["diagnostics"][0]["detail"]


def test_a_snapshot_that_always_fails_leaves_the_same_checkpoint_each_time(database: Database):
    """The host blocks a task whose sessions end at the same checkpoint: another one counts as progress."""
    role = f"reader_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'reader-secret'")
    try:
        database.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)")
        database.execute(f"INSERT INTO u VALUES (1); GRANT SELECT ON u TO {role}")
        database.prepare("t", "u")
        dsn = database.dsn.replace(f"postgres:{database.server.password}", f"{role}:reader-secret")
        stored, ends = None, []
        for _ in range(3):
            run = InputRun({**database.config("u", "t"), "connection_string": dsn}, stored).finish()
            assert "permission denied for table t" in run.said
            stored = run.checkpoint
            ends.append(stored)
            database.execute("INSERT INTO u SELECT max(id) + 1 FROM u")
        assert ends[0] is not None
        assert ends[0] == ends[1] == ends[2]
    finally:
        database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_chunks_of_a_reading_that_fails_are_no_progress_either(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 30)")
    database.prepare("t")
    fault = {"DSTREAM_FAULT": "mid_snapshot:2"}
    stored, ends = None, []
    for chunk in (5, 7, 5):  # as after a time limit: each time it gets somewhere else
        stored = InputRun(database.config("t", chunk_rows=chunk), stored, env=fault).finish().checkpoint
        ends.append(stored)
    assert ends[0] is not None
    assert ends[0] == ends[1] == ends[2]


def past_the_limits(database: Database) -> None:
    """Wait until the server has ended two sessions of ours, one of them idle in a transaction, at its time limits."""
    with database.server.connect(database.name) as idle, database.server.connect(database.name) as within:
        pids = [idle.info.backend_pid, within.info.backend_pid]
        within.cursor().execute("BEGIN; SELECT 1")
        alive = "SELECT 1 FROM pg_stat_activity WHERE pid = ANY(%s)"
        until(lambda: database.server.execute(alive, (pids,)) == [], "the end of idle sessions")


def test_the_server_s_time_limits_do_not_hold_for_us(database: Database):
    for name in ("statement", "transaction", "idle_session", "idle_in_transaction_session", "lock"):
        database.execute(f"ALTER DATABASE {database.name} SET {name}_timeout = '300ms'")
    database.execute("SET statement_timeout = 0; CREATE TABLE t (id int PRIMARY KEY)")
    database.execute("CREATE FUNCTION slow(n int) RETURNS bool LANGUAGE sql IMMUTABLE AS "
                     "'SELECT n > 0 AND pg_sleep(0.02) IS NOT NULL'")  # fmt: skip
    database.execute("INSERT INTO t SELECT generate_series(1, 30)")
    database.prepare("t")
    run = InputRun(database.config("t", chunk_rows=1, heartbeat=100), commit=False, until=None)
    run.wait_for(lambda one: one.checkpoint is not None)
    past_the_limits(database)
    assert run.checkpoint is not None
    run.commit = True
    run.committed(1, run.checkpoint)
    run.wait_for(lambda one: len(one.envelopes) == 30)
    past_the_limits(database)
    database.execute("INSERT INTO t VALUES (31)")
    run.wait_for(lambda one: ("Insert", 31) in kinds(one))
    run.stop()
    assert run.ended, run.said


def test_many_tables_are_read_after_few_waits_for_the_host_and_fit_into_a_checkpoint(database: Database):
    """The host confirms a checkpoint a second: one for each table would take minutes."""
    names = [f"t{number:03d}_{'x' * 58}" for number in range(250)]
    tables = [f"public.{name}" for name in names]
    database.execute(
        "".join(f"CREATE TABLE {name} (id int PRIMARY KEY); INSERT INTO {name} VALUES (1);" for name in names)
    )
    database.prepare(*names)
    run = InputRun(database.config(*names), commit=False)

    def marked(one: InputRun) -> tuple[int, int]:
        """How many tables the newest checkpoint knows, and how many of them are being read."""
        position = Position.from_json(one.checkpoint or {}, tables) if one.checkpoint else None
        return (len(position.members), sum(each.reading for each in position.tables.values())) if position else (0, 0)

    for waiting in ((100, 100), (200, 100), (250, 50)):
        run.wait_for(lambda one, waiting=waiting: marked(one) == waiting)  # type: ignore[misc]
        assert run.checkpoint is not None
        run.committed(1, run.checkpoint)
    run.commit = True
    run.finish()
    assert run.ended, run.said
    assert len(run.envelopes) == 250
    assert len(json.dumps(run.checkpoint)) < 16 * 1024
    assert InputRun(database.config(*names), run.checkpoint).finish().envelopes == []


def test_tables_that_foreign_keys_refer_to_are_read_first(database: Database):
    database.execute(
        "CREATE TABLE top (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY);"
        "CREATE TABLE middle (id int PRIMARY KEY, up int REFERENCES top, self int REFERENCES middle);"
        "CREATE TABLE leaf (id int PRIMARY KEY, up int REFERENCES middle, side int REFERENCES other);"
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY REFERENCES a);"
        "ALTER TABLE a ADD FOREIGN KEY (id) REFERENCES b DEFERRABLE INITIALLY DEFERRED;"
        "INSERT INTO top VALUES (1); INSERT INTO other VALUES (1); INSERT INTO middle VALUES (1, 1, 1);"
        "INSERT INTO leaf VALUES (1, 1, 1); BEGIN; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); COMMIT"
    )
    tables = ("leaf", "a", "b", "other", "middle", "top")
    database.prepare(*tables)
    run = InputRun(database.config(*tables)).finish()
    read = [one["metadata"]["TableName"].removeprefix("public.") for one in run.envelopes]
    assert sorted(read) == sorted(tables)
    for referring, referred in (("leaf", "middle"), ("leaf", "other"), ("middle", "top")):
        assert read.index(referred) < read.index(referring), read


def test_text_in_an_unknown_encoding_is_an_error_of_the_snapshot(database: Database):
    name = f"{database.name}_ascii"
    database.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    other = Database(database.server, name)
    try:
        other.execute(r"CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, E'a\xe9b')")
        other.prepare("t")
        run = InputRun(other.config("t")).finish()
        assert run.envelopes == [] and not run.ended
        assert 'invalid byte sequence for encoding "UTF8"' in str(run.status), run.status
    finally:
        other.execute(f"SELECT pg_drop_replication_slot('dstream_t_{name}')")
        database.execute(f"DROP DATABASE {name} WITH (FORCE)")
