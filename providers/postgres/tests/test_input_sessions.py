"""Sessions end, are killed and resume; the slot is released on `committed` and by nothing else."""

from __future__ import annotations

from providers.postgres.tests.harness import Database, InputRun, start
from tests.events import until
from tests.services.postgres import EmbeddedPostgres


def confirmed(database: Database) -> str:
    ((lsn,),) = database.execute(
        "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s",
        (f"dstream_t_{database.name}",),
    )
    return str(lsn)


def test_the_slot_moves_on_committed_only(database: Database):
    checkpoint = start(database)
    before = confirmed(database)
    run = InputRun(database.config("t", checkpoint_interval=50), checkpoint, until=None, commit=False)
    database.execute("INSERT INTO t VALUES (2)")
    run.wait_for(lambda one: one.checkpoint != checkpoint)
    stored = run.checkpoint
    assert stored is not None
    database.execute("INSERT INTO t VALUES (3)")
    run.wait_for(lambda one: one.covered == 2)  # the server has read what the input told it before it sent this change
    assert confirmed(database) in (before, checkpoint["lsn"])
    run.committed(1, stored)
    until(lambda: confirmed(database) == stored["lsn"], "the slot at the stored checkpoint")
    run.stop()


def test_an_idle_session_does_not_move_the_slot_ahead_of_the_stored_checkpoint(database: Database):
    """A client that confirms whatever a keepalive names would make the next session see a gap that is none."""
    checkpoint = start(database)
    database.execute("CREATE TABLE busy (v int)")
    run = InputRun(database.config("t", heartbeat=60_000, checkpoint_interval=60_000), checkpoint, until=None)
    run.wait_for(lambda one: one.status.get("status") == "ready")
    for number in (
        2,
        3,
    ):  # what the input confirms with the first of these, the server reads before it sends the second
        for each in range(5):
            database.execute("INSERT INTO busy VALUES (%s)", (each,))
            database.sent()  # followed by a keepalive that names a later place
        database.execute("INSERT INTO t VALUES (%s)", (number,))
        run.wait_for(lambda one, number=number: len(one.envelopes) == number - 1)
    assert run.checkpoint == checkpoint
    run.kill()
    assert confirmed(database) == checkpoint["lsn"]
    again = InputRun(database.config("t"), checkpoint).finish()
    assert again.ended, again.status
    assert len(again.envelopes) == 2


def test_an_idle_table_beside_a_busy_database_does_not_hold_the_log_back(database: Database):
    checkpoint = start(database)
    database.execute("CREATE TABLE busy (v text)")
    run = InputRun(database.config("t", heartbeat=50), checkpoint, until=None)
    for _ in range(5):
        database.execute("INSERT INTO busy SELECT repeat('x', 100) FROM generate_series(1, 2000)")
    ((lsn,),) = database.execute("SELECT pg_current_wal_lsn()::text")
    reached = "SELECT %s::pg_lsn <= %s::pg_lsn"
    until(lambda: database.execute(reached, (lsn, confirmed(database))) == [(True,)], f"the slot at {lsn}")
    assert run.envelopes == []
    run.stop()
    assert run.ended


def test_sigterm_writes_a_last_checkpoint_and_an_end(database: Database):
    checkpoint = start(database)
    run = InputRun(database.config("t", checkpoint_interval=60000, heartbeat=60000), checkpoint, until=None)
    database.execute("INSERT INTO t VALUES (2)")
    run.wait_for(lambda one: len(one.envelopes) == 1)
    run.stop()
    assert run.ended
    rest = InputRun(database.config("t"), run.checkpoint).finish()
    assert rest.envelopes == []


def test_end_of_stdin_stops_it_too(database: Database):
    run = InputRun(database.config("t"), start(database), until=None)
    run.wait_for(lambda one: one.status.get("status") == "ready")
    run.process.close()
    run.finish()
    assert run.ended


def test_killed_in_the_middle_of_a_transaction_it_delivers_all_of_it_again(database: Database):
    checkpoint = start(database)
    database.execute("INSERT INTO t SELECT generate_series(10, 19)")
    killed = InputRun(database.config("t"), checkpoint, env={"DSTREAM_FAULT": "mid_transaction"}).finish()
    assert not killed.ended
    assert 0 < len(killed.envelopes) < 10
    assert killed.checkpoint == checkpoint
    rest = InputRun(database.config("t"), killed.checkpoint).finish()
    assert [one["data"]["id"] for one in rest.envelopes] == list(range(10, 20))


def test_a_server_that_goes_away_is_an_error_without_the_password_and_the_next_session_goes_on():
    with EmbeddedPostgres(tcp=True) as server:
        database = Database(server, "postgres")
        checkpoint = start(database)
        run = InputRun(database.config("t"), checkpoint, until=None)
        database.execute("INSERT INTO t VALUES (2)")
        run.wait_for(lambda one: len(one.envelopes) == 1)
        server.crash()
        run.finish()
        said = run.said
        assert run.process.returncode == 1
        assert "Could not read the changes" in said
        assert server.password not in said
        server.start()
        database.execute("INSERT INTO t VALUES (3)")
        rest = InputRun(database.config("t"), run.checkpoint).finish()
        assert [one["data"]["id"] for one in rest.envelopes][-1] == 3
