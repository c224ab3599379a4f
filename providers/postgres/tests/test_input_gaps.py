"""Gaps are found, never passed over in silence."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from providers.postgres.tests.harness import Database, InputRun, start
from tests.events import until
from tests.services.postgres import EmbeddedPostgres


def slot(database: Database) -> str:
    return f"dstream_t_{database.name}"


def recreate_slot(database: Database) -> None:
    database.execute("SELECT pg_drop_replication_slot(%s)", (slot(database),))
    database.execute("INSERT INTO t VALUES (2)")
    database.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot(database),))


def recreate_publication(database: Database) -> None:
    database.execute("DROP PUBLICATION dstream_t")
    database.execute("INSERT INTO t VALUES (2)")
    database.execute("CREATE PUBLICATION dstream_t FOR TABLE t")


def advance_slot(database: Database) -> None:
    database.execute("INSERT INTO t VALUES (2)")
    database.execute("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", (slot(database),))


def leave_and_return(database: Database) -> None:
    database.execute("CREATE TABLE other (id int PRIMARY KEY); ALTER PUBLICATION dstream_t ADD TABLE other")
    database.execute("ALTER PUBLICATION dstream_t DROP TABLE t")
    database.execute("INSERT INTO t VALUES (2)")
    database.execute("ALTER PUBLICATION dstream_t ADD TABLE t")


def narrow_and_widen(database: Database) -> None:
    database.execute("ALTER PUBLICATION dstream_t SET (publish = 'delete')")
    database.execute("INSERT INTO t VALUES (2)")
    database.execute("ALTER PUBLICATION dstream_t SET (publish = 'insert, update, delete, truncate')")


def replace_table(database: Database) -> None:
    database.execute("ALTER TABLE t RENAME TO old; CREATE TABLE t (id int PRIMARY KEY)")
    database.execute("INSERT INTO t VALUES (1), (2)")
    database.execute("ALTER PUBLICATION dstream_t ADD TABLE t")


@pytest.mark.parametrize(
    "lose",
    [recreate_slot, recreate_publication, advance_slot, leave_and_return, narrow_and_widen, replace_table],
)
def test_lost_changes_fail_the_session_and_with_on_gap_snapshot_the_tables_are_read_again(
    database: Database, lose: Any
):
    checkpoint = start(database)
    lose(database)
    refused = InputRun(database.config("t"), checkpoint).finish()
    assert refused.status["status"] == "error"
    assert refused.status["diagnostics"][0]["summary"] == "Changes may be lost"
    assert "on_gap" in refused.status["diagnostics"][0]["detail"]
    assert refused.envelopes == []
    again = InputRun(database.config("t", on_gap="snapshot"), checkpoint).finish()
    assert again.ended, again.said
    assert [(one["metadata"]["OperationType"], one["data"].get("id")) for one in again.envelopes] == [
        ("Truncate", None),
        ("Read", 1),
        ("Read", 2),
    ]
    database.execute("INSERT INTO t VALUES (3)")
    after = InputRun(database.config("t"), again.checkpoint).finish()
    assert [one["data"]["id"] for one in after.envelopes] == [3]


def test_a_publication_that_is_made_anew_while_it_is_read_ends_the_session(database: Database):
    """Version 18 would go on without an error and without the changes in between."""
    checkpoint = start(database)
    run = InputRun(database.config("t", heartbeat=50), checkpoint, until=None)
    database.execute("INSERT INTO t VALUES (10)")
    run.wait_for(lambda one: len(one.envelopes) == 1)
    recreate_publication(database)
    run.finish()
    assert run.process.returncode == 1
    assert "publication" in run.said.lower()
    refused = InputRun(database.config("t"), run.checkpoint).finish()
    assert refused.status["diagnostics"][0]["summary"] == "Changes may be lost"


def test_a_table_that_was_renamed_and_moved_and_is_back_loses_nothing(database: Database):
    checkpoint = start(database)
    database.execute("ALTER TABLE t RENAME TO elsewhere; INSERT INTO elsewhere VALUES (2)")
    database.execute("CREATE SCHEMA s; ALTER TABLE elsewhere SET SCHEMA s; INSERT INTO s.elsewhere VALUES (3)")
    away = InputRun(database.config("t"), checkpoint).finish()
    assert away.status["diagnostics"][0]["summary"] == "Table not published"
    assert "now named s.elsewhere" in away.status["diagnostics"][0]["detail"]
    database.execute("ALTER TABLE s.elsewhere SET SCHEMA public; ALTER TABLE elsewhere RENAME TO t")
    database.execute("INSERT INTO t VALUES (4)")
    back = InputRun(database.config("t"), checkpoint).finish()
    assert back.ended, back.status
    assert [(one["metadata"]["TableName"], one["data"]["id"]) for one in back.envelopes] == [
        ("public.t", 2),
        ("public.t", 3),
        ("public.t", 4),
    ]


def test_a_table_that_is_renamed_and_back_during_a_session_loses_nothing(database: Database):
    run = InputRun(database.config("t"), start(database), until=None)
    database.execute("ALTER TABLE t RENAME TO away; INSERT INTO away VALUES (2); ALTER TABLE away RENAME TO t")
    database.execute("INSERT INTO t VALUES (3)")
    run.wait_for(lambda one: len(one.envelopes) == 2)
    run.stop()
    assert [(one["metadata"]["TableName"], one["data"]["id"]) for one in run.envelopes] == [
        ("public.t", 2),
        ("public.t", 3),
    ]


def test_another_table_under_the_name_during_a_session_ends_it_and_the_next_sees_the_gap(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    database.execute("CREATE PUBLICATION dstream_t FOR ALL TABLES")
    database.execute(f"SELECT pg_create_logical_replication_slot('{slot(database)}', 'pgoutput')")
    checkpoint = InputRun(database.config("t")).finish().checkpoint
    run = InputRun(database.config("t"), checkpoint, until=None)
    database.execute("INSERT INTO t VALUES (1)")
    run.wait_for(lambda one: len(one.envelopes) == 1)
    database.execute("ALTER TABLE t RENAME TO old; CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (5)")
    run.finish()
    assert "Table replaced during the session" in run.said or "Publication changed during the session" in run.said
    assert len(run.envelopes) == 1
    refused = InputRun(database.config("t"), run.checkpoint).finish()
    assert "replaced by another table" in refused.status["diagnostics"][0]["detail"]


def test_another_table_is_noticed_before_its_transaction_is_visible(database: Database):
    """The stream finds a commit in the log before others see what it did: here, while it waits for a standby."""
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    database.execute("CREATE PUBLICATION dstream_t FOR ALL TABLES")
    database.execute(f"SELECT pg_create_logical_replication_slot('{slot(database)}', 'pgoutput')")
    checkpoint = InputRun(database.config("t")).finish().checkpoint
    run = InputRun(database.config("t", heartbeat=600_000), checkpoint, until=None)
    database.execute("INSERT INTO t VALUES (1)")
    run.wait_for(lambda one: len(one.envelopes) == 1)
    database.execute("ALTER SYSTEM SET synchronous_standby_names = 'absent'")
    database.execute("SELECT pg_reload_conf()")
    replace = (
        "BEGIN; SET LOCAL synchronous_commit = on; ALTER TABLE t RENAME TO old; CREATE TABLE t (id int PRIMARY KEY);"
        " INSERT INTO t VALUES (5); COMMIT"
    )
    hidden = threading.Thread(target=database.execute, args=(replace,))
    try:
        hidden.start()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()"
        sent = (
            "SELECT 1 FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid"
            f" WHERE s.slot_name = '{slot(database)}' AND r.sent_lsn >= '{{}}'"
        )
        until(lambda: database.execute(waiting), "the commit that waits for a standby")
        ((end,),) = database.execute("SELECT pg_current_wal_lsn()::text")
        until(lambda: database.execute(sent.format(end)), "the stream to have sent the commit")
    finally:
        database.execute("ALTER SYSTEM RESET synchronous_standby_names")
        database.execute("SELECT pg_reload_conf()")
        hidden.join()
    run.finish()
    assert "Table replaced during the session" in run.said
    assert len(run.envelopes) == 1


def test_a_publication_that_is_narrowed_and_widened_during_a_session_ends_it(database: Database):
    run = InputRun(database.config("t", heartbeat=50), start(database), until=None)
    database.execute("INSERT INTO t VALUES (10)")
    run.wait_for(lambda one: len(one.envelopes) == 1)
    narrow_and_widen(database)
    run.finish()
    assert "Publication changed" in run.said
    refused = InputRun(database.config("t"), run.checkpoint).finish()
    assert refused.status["diagnostics"][0]["summary"] == "Changes may be lost"


def test_other_operations_by_configuration_are_not_a_gap(database: Database):
    """apply alters the publication to what the configuration asks for: what was not asked for is not missing."""
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    database.execute("CREATE PUBLICATION dstream_t FOR TABLE t WITH (publish = 'insert')")
    database.execute(f"SELECT pg_create_logical_replication_slot('{slot(database)}', 'pgoutput')")
    first = InputRun(database.config("t")).finish()
    database.execute("ALTER PUBLICATION dstream_t SET (publish = 'insert, delete')")
    database.execute("INSERT INTO t VALUES (1); DELETE FROM t")
    second = InputRun(database.config("t"), first.checkpoint).finish()
    assert [one["metadata"]["OperationType"] for one in second.envelopes] == ["Insert", "Delete"]
    assert InputRun(database.config("t"), second.checkpoint).finish().ended


@pytest.mark.parametrize("late", ["publication", "table"])
def test_a_slot_that_is_older_than_its_publication_is_a_gap_unless_the_rows_are_read(database: Database, late: str):
    database.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)")
    if late == "table":
        database.execute("CREATE PUBLICATION dstream_t FOR TABLE u")
    database.execute(f"SELECT pg_create_logical_replication_slot('{slot(database)}', 'pgoutput')")
    database.execute("INSERT INTO t VALUES (1)")
    if late == "table":
        database.execute("ALTER PUBLICATION dstream_t ADD TABLE t")
    else:
        database.execute("CREATE PUBLICATION dstream_t FOR TABLE t, u")
    database.execute("INSERT INTO t VALUES (2)")
    given = database.config("t", "u", manage=False, snapshot="never")
    refused = InputRun(given).finish()
    assert refused.status["diagnostics"][0]["summary"] == "Changes may be lost"
    assert 'snapshot = "initial"' in refused.status["diagnostics"][0]["detail"]
    for config in ({**given, "snapshot": "initial"}, {**given, "on_gap": "snapshot"}):
        run = InputRun(config).finish()
        assert run.ended, run.status
        assert sorted(one["data"]["id"] for one in run.envelopes if one["data"]) == [1, 2]


def test_a_slot_that_is_newer_than_its_publication_is_read_from_its_beginning(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    database.prepare("t")
    database.execute("INSERT INTO t VALUES (1)")
    run = InputRun(database.config("t", manage=False, snapshot="never")).finish()
    assert [one["data"]["id"] for one in run.envelopes] == [1]


@pytest.mark.parametrize(
    "stored",
    [
        {"members": {"public.t": "OID"}},
        {"members": {"public.t": "OID"}, "tables": {"public.t": {"snapshot": "3:3:", "until": "0/100"}}},
        {
            "members": {"public.t": "OID"},
            "tables": {"public.t": {"snapshot": "3:3:", "until": "0/1", "reading": True, "rows": 7}},
        },
    ],
    ids=["followed", "handover", "interrupted"],
)
def test_a_checkpoint_of_an_earlier_version_is_resumed(database: Database, stored: dict[str, Any]):
    """Without relations, log and the publication's version; a table within its snapshot has its id and row count."""
    checkpoint = start(database)
    kept = {name: checkpoint[name] for name in ("system", "timeline", "slot", "lsn")}
    publication = {name: checkpoint["publication"][name] for name in ("name", "oid")}
    members = {"public.t": checkpoint["members"]["public.t"]}
    database.execute("INSERT INTO t VALUES (2)")
    run = InputRun(database.config("t"), {**kept, **stored, "publication": publication, "members": members}).finish()
    assert run.ended, run.status
    found = [(one["metadata"]["OperationType"], one["data"].get("id")) for one in run.envelopes]
    interrupted = "reading" in str(stored)
    assert found == ([("Truncate", None), ("Read", 1), ("Read", 2)] if interrupted else [("Insert", 2)])
    assert run.checkpoint is not None
    assert run.checkpoint["relations"]


def test_another_server_and_a_checkpoint_from_its_future_are_gaps(database: Database):
    checkpoint = start(database)
    other = InputRun(database.config("t"), {**checkpoint, "system": "1"}).finish()
    assert "another server" in other.status["diagnostics"][0]["detail"]
    future = InputRun(database.config("t"), {**checkpoint, "lsn": "FFFF/0"}).finish()
    assert "ends at" in future.status["diagnostics"][0]["detail"]
    promoted = InputRun(database.config("t"), {**checkpoint, "timeline": 2}).finish()
    assert "restored or promoted" in promoted.status["diagnostics"][0]["detail"]


def test_a_missing_slot_publication_or_table_is_an_error_that_says_what_to_do(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)")
    database.prepare("t")
    for config, summary in (
        (database.config("t", slot="nowhere"), "No replication slot"),
        (database.config("t", publication="nowhere"), "No publication"),
        (database.config("t", "u"), "Table not published"),
    ):
        refused = InputRun(config).finish().status
        assert refused["diagnostics"][0]["summary"] == summary
        assert "dstream apply" in refused["diagnostics"][0]["detail"]


def test_a_foreign_checkpoint_is_refused(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    database.prepare("t")
    refused = InputRun(database.config("t"), {"n": 5}).finish().status
    assert refused["diagnostics"][0]["summary"] == "Not a checkpoint of this input"


def test_the_older_major_version_gives_the_same_changes():
    with EmbeddedPostgres(major=16) as server:
        database = Database(server, "postgres")
        checkpoint = start(database)
        database.execute("INSERT INTO t VALUES (2); UPDATE t SET id = 3 WHERE id = 2")
        run = InputRun(database.config("t"), checkpoint).finish()
        assert [one["metadata"]["OperationType"] for one in run.envelopes] == ["Insert", "Update"]
        recreate_publication_while_the_slot_lags(database)
        refused = InputRun(database.config("t"), run.checkpoint).finish()
        assert "created again" in refused.status["diagnostics"][0]["detail"]
        again = InputRun(database.config("t", on_gap="snapshot"), run.checkpoint).finish()
        assert again.ended, again.said
        assert [one["data"].get("id") for one in again.envelopes] == [None, 1, 3, 7]


def recreate_publication_while_the_slot_lags(database: Database) -> None:
    database.execute("DROP PUBLICATION dstream_t; INSERT INTO t VALUES (7)")
    database.execute("CREATE PUBLICATION dstream_t FOR TABLE t")
