"""Publications, slots and replica identities: created, changed in place, found again, found missing, removed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from providers.postgres.tests.harness import Database, InputRun, OutputRun, ResourceRun, plan

PUBLICATION, SLOT, IDENTITY = "postgres_publication", "postgres_replication_slot", "postgres_replica_identity"


@pytest.fixture
def session(database: Database) -> Iterator[ResourceRun]:
    database.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE SCHEMA s; CREATE TABLE s.b (id int PRIMARY KEY)")
    running = ResourceRun({"connection_string": database.dsn})
    yield running
    running.close()


def wanted(**more: Any) -> dict[str, Any]:
    own = {"name": "p", "tables": ["s.b", "a"], "operations": ["update", "insert"], "allow_tables_without_key": False}
    return {**own, **more}


def state(answer: dict[str, Any]) -> dict[str, Any]:
    """What the host hands back of an object."""
    known = {"prior": answer["attributes"], "private": answer.get("private")}
    return {name: value for name, value in known.items() if value is not None}


def test_a_publication_lives_through_all_verbs(session: ResourceRun, database: Database):
    made = session.ask("init", PUBLICATION, key="p", desired=wanted(), intent="11111111-1111-4111-8111-111111111111")
    assert made["status"] == "ok", made
    assert made["identity"] == {"name": "p"}
    assert {**made["attributes"], "oid": 0} == {**wanted(), "oid": 0}
    read = session.ask("status", PUBLICATION, key="p", identity=made["identity"], **state(made))
    assert read["attributes"] == made["attributes"]
    ((before,),) = database.execute("SELECT oid::int FROM pg_publication_rel WHERE prrelid = 'a'::regclass")
    changed = session.ask(
        "init", PUBLICATION, key="p", **state(made), desired=wanted(tables=["a"], operations=["delete"])
    )
    assert changed["status"] == "ok", changed
    assert changed["attributes"]["tables"] == ["a"]
    assert changed["attributes"]["operations"] == ["delete"]
    # A table that stays in the publication is not taken out and put back: that would be a gap to who follows it.
    assert database.execute("SELECT oid::int FROM pg_publication_rel") == [(before,)]
    assert session.ask("destroy", PUBLICATION, key="p", identity={"name": "p"}, **state(changed))["status"] == "ok"
    assert session.ask("destroy", PUBLICATION, key="p", identity={"name": "p"}, **state(changed))["status"] == "ok"
    assert session.ask("status", PUBLICATION, key="p", identity={"name": "p"}, **state(changed))["status"] == "gone"


def test_drift_of_a_publication_shows_in_its_attributes(session: ResourceRun, database: Database):
    made = session.ask("init", PUBLICATION, key="p", desired=wanted())
    database.execute("ALTER PUBLICATION p DROP TABLE a; ALTER PUBLICATION p SET (publish = 'insert, delete')")
    read = session.ask("status", PUBLICATION, key="p", identity=made["identity"], **state(made))
    assert read["attributes"]["tables"] == ["s.b"]
    assert read["attributes"]["operations"] == ["insert", "delete"]
    database.execute("DROP PUBLICATION p; CREATE PUBLICATION p FOR TABLE a, s.b WITH (publish = 'insert, update')")
    anew = session.ask("status", PUBLICATION, key="p", identity=made["identity"], **state(made))
    assert anew["attributes"]["tables"] == made["attributes"]["tables"]
    assert anew["attributes"]["oid"] != made["attributes"]["oid"]


def test_a_publication_is_found_by_its_intent_and_creating_it_again_with_it_is_no_conflict(session: ResourceRun):
    intent = "22222222-2222-4222-8222-222222222222"
    assert session.ask("find", PUBLICATION, key="p", intent=intent)["status"] == "gone"
    made = session.ask("init", PUBLICATION, key="p", desired=wanted(), intent=intent)
    assert session.ask("find", PUBLICATION, key="p", intent=intent)["identity"] == {"name": "p"}
    again = session.ask("init", PUBLICATION, key="p", desired=wanted(), intent=intent)
    assert again["attributes"] == made["attributes"]
    other = session.ask("init", PUBLICATION, key="p", desired=wanted(), intent="33333333-3333-4333-8333-333333333333")
    assert (other["status"], other["diagnostics"][0]["class"]) == ("error", "conflict")
    imported = session.ask("import", PUBLICATION, key="p", identity={"name": "p"})
    assert sorted(imported["attributes"]["tables"]) == ["public.a", "s.b"]


def test_a_publication_of_a_table_that_is_not_there_is_an_error_and_leaves_nothing(
    session: ResourceRun, database: Database
):
    refused = session.ask("init", PUBLICATION, key="p", desired=wanted(tables=["a", "nowhere"]), intent="x")
    assert refused["diagnostics"][0]["class"] == "invalid"
    assert "nowhere" in refused["diagnostics"][0]["detail"]
    assert database.execute("SELECT count(*) FROM pg_publication") == [(0,)]


def test_a_slot_is_created_read_found_missing_and_dropped(session: ResourceRun, database: Database):
    name = f"slot_{database.name}"
    made = session.ask("init", SLOT, key=name, desired={"name": name, "plugin": "pgoutput"})
    assert made["status"] == "ok", made
    assert made["attributes"] == {
        "name": name, "plugin": "pgoutput", "failover": False, "database": database.name, "wal_status": "kept",
    }  # fmt: skip
    again = session.ask("init", SLOT, key=name, desired={"name": name})
    assert again["diagnostics"][0]["class"] == "conflict"
    database.execute("SELECT pg_drop_replication_slot(%s)", (name,))
    assert session.ask("status", SLOT, key=name, identity={"name": name}, **state(made))["status"] == "gone"
    assert session.ask("init", SLOT, key=name, desired={"name": name})["status"] == "ok"
    assert session.ask("destroy", SLOT, key=name, identity={"name": name}, **state(made))["status"] == "ok"
    assert database.execute("SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s", (name,)) == [(0,)]


def test_a_slot_that_cannot_be_created_in_time_is_not_created_later(session: ResourceRun, database: Database):
    name = f"slot_{database.name}"
    with database.server.connect(database.name, autocommit=False) as connection:
        connection.cursor().execute("INSERT INTO a VALUES (1)")  # the server waits for this transaction
        refused = session.ask("init", SLOT, key=name, desired={"name": name}, timeout=1)
        assert refused["diagnostics"][0]["class"] == "retriable", refused
        connection.rollback()
    assert database.execute("SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s", (name,)) == [(0,)]
    assert session.ask("init", SLOT, key=name, desired={"name": name}, timeout=30)["status"] == "ok"


def test_a_replica_identity_puts_the_earlier_value_back(session: ResourceRun, database: Database):
    def now() -> str:
        return str(database.execute("SELECT relreplident FROM pg_class WHERE oid = 'a'::regclass")[0][0])

    database.execute("ALTER TABLE a REPLICA IDENTITY NOTHING")
    made = session.ask("init", IDENTITY, key="a", desired={"table": "a", "identity": "full"})
    assert made["status"] == "ok", made
    assert (now(), made["private"]) == ("f", {"earlier": {"identity": "nothing", "index": ""}})
    database.execute("ALTER TABLE a REPLICA IDENTITY DEFAULT")
    drifted = session.ask("status", IDENTITY, key="a", identity=made["identity"], **state(made))
    assert drifted["attributes"]["identity"] == "default"
    assert drifted["private"] == made["private"]
    changed = session.ask(
        "init", IDENTITY, key="a", **state(made), desired={"table": "a", "identity": "index", "index": "a_pkey"}
    )
    assert (now(), changed["private"]) == ("i", made["private"])
    assert session.ask("destroy", IDENTITY, key="a", identity={"table": "a"}, **state(changed))["status"] == "ok"
    assert now() == "n"
    database.execute("DROP TABLE a")
    assert session.ask("status", IDENTITY, key="a", identity={"table": "a"}, **state(changed))["status"] == "gone"
    assert session.ask("destroy", IDENTITY, key="a", identity={"table": "a"}, **state(changed))["status"] == "ok"


def test_a_task_s_checkpoint_row_comes_and_goes_with_the_task(session: ResourceRun, database: Database):
    kind = "postgres_checkpoint"
    answers = plan("out", {"connection_string": "x"}, task="my task")
    (planned,) = [one["resource"] for one in answers if "resource" in one]
    made = session.ask("init", kind, key=planned["key"], desired=planned["attributes"])
    assert made["attributes"] == {"task": "my task", "table": "public.dstream_checkpoint"}
    output = OutputRun({"connection_string": database.dsn}, task="my task")
    assert output.ready["checkpoint"] is None
    output.checkpoint({"n": 1})
    output.end()
    assert session.ask("init", kind, key="my task", desired=planned["attributes"])["status"] == "ok"
    assert database.execute("SELECT checkpoint FROM dstream_checkpoint") == [({"n": 1},)]
    assert session.ask("destroy", kind, key="my task", identity=made["identity"], **state(made))["status"] == "ok"
    assert session.ask("status", kind, key="my task", identity=made["identity"], **state(made))["status"] == "gone"
    again = OutputRun({"connection_string": database.dsn}, task="my task")
    assert again.ready["checkpoint"] is None
    again.end()


def test_what_the_plan_of_an_input_names_is_created_by_its_own_program_and_then_runs(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    task = f"task-{database.name}"
    config = {"connection_string": database.dsn, "tables": ["t"], "replica_identity": "full"}
    session = ResourceRun(config, role="in")
    for one in plan("in", config, task=task):
        if resource := one.get("resource"):
            made = session.ask("init", resource["type"], key=resource["key"], desired=resource["attributes"])
            assert made["status"] == "ok", made
    session.close()
    database.execute("INSERT INTO t VALUES (1, 'a')")
    run = InputRun(config, task=task).finish()
    assert [one["data"] for one in run.envelopes] == [{"id": 1, "v": "a"}]
