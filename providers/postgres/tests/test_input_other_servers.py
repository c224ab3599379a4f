"""Sources that are not the primary of yesterday: a hot standby, and a server whose files came back from a copy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from dstream_postgres import snapshot
from dstream_sdk import ProviderError
from dstream_sdk.testing.process import Failed
from providers.postgres.tests.harness import Database, InputRun
from providers.postgres.tests.standby import HotStandby, copied_files, restore
from tests.services.postgres import EmbeddedPostgres


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Database, Database]]:
    """A primary with a table, and its standby with a slot."""
    with EmbeddedPostgres() as primary:
        source = Database(primary, "postgres")
        source.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION dstream_t FOR TABLE t")
        with HotStandby(primary) as standby:
            standby.create_slot("dstream_t_postgres")
            yield source, Database(standby, "postgres")


def ids(run: InputRun) -> list[tuple[str, int]]:
    return [(one["metadata"]["OperationType"], one["data"]["id"]) for one in run.envelopes]


def test_a_row_that_commits_after_the_snapshot_on_a_standby_is_not_lost(pair: tuple[Database, Database]):
    """A standby's pg_current_snapshot() does not name the transactions that are in progress."""
    source, standby = pair
    assert isinstance(standby.server, HotStandby)
    source.execute("INSERT INTO t SELECT generate_series(1, 3)")
    standby.server.catch_up()
    run = InputRun(standby.config("t", heartbeat=50), commit=False, until=None)
    # The snapshot is taken when the first checkpoint is stored.
    run.wait_for(lambda one: one.checkpoint is not None)
    with source.server.connect(autocommit=False) as connection:
        connection.cursor().execute("INSERT INTO t VALUES (10)")
        # A later transaction that has committed: xmax of a snapshot is behind ours, xmin is not.
        source.execute("INSERT INTO t VALUES (4)")
        standby.server.catch_up()
        assert run.checkpoint is not None
        run.commit = True
        run.committed(1, run.checkpoint)
        with pytest.raises(Failed):
            run.wait_for(lambda one: bool(one.envelopes), timeout=1)
        connection.commit()
    run.wait_for(lambda one: len(one.envelopes) >= 5)
    source.execute("INSERT INTO t VALUES (11)")
    source.execute("SELECT pg_log_standby_snapshot()")
    run.wait_for(lambda one: ("Insert", 11) in ids(one))
    run.stop()
    found = ids(run)
    assert sorted(number for _, number in found) == [1, 2, 3, 4, 10, 11]


def test_a_snapshot_on_a_standby_that_always_sees_transactions_in_progress_is_refused(
    pair: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
):
    source, standby = pair
    assert isinstance(standby.server, HotStandby)
    monkeypatch.setattr(snapshot, "_STANDBY_PATIENCE", 0.2)
    with source.server.connect(autocommit=False) as writer, standby.server.connect() as connection:
        writer.cursor().execute("INSERT INTO t VALUES (50)")
        source.execute("INSERT INTO t VALUES (51)")  # a later one that has committed
        standby.server.catch_up()
        session: Any = SimpleNamespace(wait=threading.Event().wait)  # all that opening a snapshot needs of it
        with pytest.raises(ProviderError, match="a standby does not say which transactions are in progress") as refused:
            snapshot.SnapshotReader(connection, session, 10)._open()
        assert "Read the rows from the primary" in refused.value.detail
        writer.rollback()


def test_a_server_restored_from_a_copy_of_its_files_and_written_to_is_a_gap():
    """The same system identifier, timeline, oids and slot; the log is beyond the checkpoint again."""
    with EmbeddedPostgres() as server:
        database = Database(server, "postgres")
        database.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1)")
        database.prepare("t")
        first = InputRun(database.config("t")).finish()
        with copied_files(server) as copy:
            database.execute("INSERT INTO t VALUES (2, 'lost')")
            second = InputRun(database.config("t"), first.checkpoint).finish()
            assert ids(second) == [("Insert", 2)]
            # Nothing was restored: the next session goes on.
            assert InputRun(database.config("t"), second.checkpoint).finish().ended
            restore(server, copy)
        database.execute("INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(100, 1000) n")
        refused = InputRun(database.config("t"), second.checkpoint).finish()
        assert refused.status["diagnostics"][0]["summary"] == "Changes may be lost"
        assert "restored from an older copy" in refused.status["diagnostics"][0]["detail"]
        again = InputRun(database.config("t", on_gap="snapshot"), second.checkpoint).finish()
        assert again.ended, again.said
        assert [one["metadata"]["OperationType"] for one in again.envelopes[:2]] == ["Truncate", "Read"]
        assert len(again.envelopes) == 903


def test_a_log_that_the_server_has_recycled_is_not_a_gap():
    """Only a server that still has the log before the checkpoint can be an older copy."""
    with EmbeddedPostgres(settings={"max_wal_size": "32MB", "min_wal_size": "32MB", "wal_keep_size": "0"}) as server:
        database = Database(server, "postgres")
        database.execute("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other (v text)")
        database.prepare("t")
        first = InputRun(database.config("t")).finish()
        database.execute("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 40000)")
        assert first.checkpoint is not None
        ((segment,),) = database.execute("SELECT pg_walfile_name(%s)", (first.checkpoint["lsn"],))
        for _ in range(50):
            # A slot lets go of the log as far as the last list of running transactions, which a CHECKPOINT writes.
            database.execute("CHECKPOINT")
            database.execute("INSERT INTO other VALUES ('x')")
            database.execute("SELECT pg_replication_slot_advance(%s, %s)", (f"dstream_t_{database.name}", "FFFF/0"))
            if not database.execute("SELECT 1 FROM pg_ls_waldir() WHERE name = %s", (segment,)):
                break
        else:
            raise AssertionError(f"the server keeps {segment}")
        ((here,),) = database.execute("SELECT confirmed_flush_lsn::text FROM pg_replication_slots")
        moved = {**first.checkpoint, "lsn": here}
        run = InputRun(database.config("t"), moved).finish()
        assert run.ended, run.status
        assert "cannot be compared" in run.said
