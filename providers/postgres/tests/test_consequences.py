"""What a plan reports of a source: where a task continues, what it reads again, and what apply and run would fail on.

PostgreSQL is the judge: what a finding says is refused, and after the statement that it prints it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg2
import psycopg2.errors
import pytest

from dstream_postgres.database import connect
from dstream_postgres.input import PostgresInput
from dstream_postgres.names import Table
from dstream_postgres.resources.publication import Publication
from dstream_postgres.resources.slot import ReplicationSlot
from dstream_postgres.settings import Connection, InputSettings
from dstream_postgres.source import inspect
from dstream_postgres.stream import identify
from dstream_sdk import Consequence, Finding, PlanContext, Prior, ProviderError, ResourceContext, RetriableError
from providers.postgres.tests.harness import Database, InputRun
from providers.postgres.tests.test_input_gaps import advance_slot, leave_and_return, recreate_slot
from tests.services.postgres import EmbeddedPostgres


def assessed(config: dict[str, Any], checkpoint: Any = None, *, running: bool = False) -> list[Any]:
    """What the input reports for the task `t`."""
    prior = Prior() if checkpoint is None else Prior(True, checkpoint, 3600, running=running)
    return list(PostgresInput().consequences(InputSettings(**config), PlanContext("t", assessed=True, prior=prior)))


def start(database: Database) -> dict[str, Any]:
    """Return the checkpoint of a session that has read the table `t`, of one row, without one."""
    database.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    database.prepare("t")
    table, slot = Table("public", "t"), f"dstream_t_{database.name}"
    with closing(connect(database.dsn, replication=True)) as replication:
        identity = identify(replication)
    with closing(connect(database.dsn)) as connection:
        source = inspect(connection, identity, slot, "dstream_t", [table], {})
    return replace(source.start(), members=source.entries, relations=source.relations).to_json()


def findings(found: list[Any]) -> dict[str, Finding]:
    return {each.summary: each for each in found if isinstance(each, Finding)}


def kinds(found: list[Any]) -> list[str]:
    return [each.kind for each in found if isinstance(each, Consequence)]


def refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (ProviderError, psycopg2.errors.InsufficientPrivilege):
        return True
    return False


@pytest.fixture
def role(database: Database):
    """A role that may connect and nothing else."""
    name = f"r_{database.name}"
    database.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{database.server.password}'")
    yield name
    database.execute(f"REASSIGN OWNED BY {name} TO postgres; DROP OWNED BY {name}; DROP ROLE {name}")


def test_each_privilege_that_is_missing_makes_apply_or_run_fail_until_the_statement_is_run(
    database: Database, role: str
):
    database.execute("CREATE ROLE owner_of_t; CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, note text)")
    database.execute("ALTER TABLE s.t OWNER TO owner_of_t")
    dsn = database.dsn.replace("postgres:", f"{role}:", 1)
    config = {"connection_string": dsn, "tables": ["s.t"], "slot": f"slot_{database.name}"}
    context: ResourceContext[Connection] = ResourceContext(Connection(dsn), {}, print)

    def select() -> None:
        with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT * FROM s.t")

    def publish() -> None:
        Publication().create(context, {"name": "dstream_t", "tables": ["s.t"]}, None)

    def reserve() -> None:
        ReplicationSlot().create(context, {"name": config["slot"]}, None)

    try:
        found = findings(assessed(config))
        assert list(found) == [
            "Role without REPLICATION",
            "No SELECT on a table",
            "No CREATE on the database",
            "Table of another owner",
        ]
        assert all(each.certain for each in found.values())
        assert refused(select) and refused(publish) and refused(reserve)
        database.execute(found["Role without REPLICATION"].fix)
        reserve()
        database.execute(found["No SELECT on a table"].fix)
        select()
        database.execute(found["No CREATE on the database"].fix)
        assert refused(publish)  # it is not the owner of the table
        database.execute(found["Table of another owner"].fix)
        publish()
        assert findings(assessed(config)) == {}
        # Columns that are granted one by one are as good as the table.
        database.execute(f"REVOKE owner_of_t FROM {role}; REVOKE SELECT ON s.t FROM {role}")
        database.execute(f"GRANT SELECT (id) ON s.t TO {role}")
        assert list(findings(assessed(config))) == ["No SELECT on a table"]
        assert refused(select)
        database.execute(f"GRANT SELECT (note) ON s.t TO {role}")
        select()
        assert findings(assessed(config)) == {}
    finally:
        database.execute("DROP PUBLICATION IF EXISTS dstream_t; DROP TABLE s.t; DROP ROLE owner_of_t")


def test_a_first_run_reads_the_rows_and_a_later_one_continues(database: Database):
    database.execute("CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u SELECT generate_series(1, 500); ANALYZE u")
    first = assessed(database.config("u"))
    assert [(each.kind, each.stream, each.rows) for each in first] == [("snapshot", "public.u", 500)]
    assert assessed(database.config("u", snapshot="never")) == []
    checkpoint = start(database)
    (resume,) = assessed(database.config("t"), checkpoint)
    assert (resume.kind, resume.label, resume.hours) == ("resume", "non-breaking", 1.0)
    assert checkpoint["lsn"] in resume.summary
    assert kinds(assessed(database.config("t", "u"), checkpoint)) == ["resume", "snapshot"]


@pytest.mark.parametrize(
    "lose",
    [
        recreate_slot,
        pytest.param(advance_slot, marks=pytest.mark.soak),
        pytest.param(leave_and_return, marks=pytest.mark.soak),
    ],
)
def test_a_resume_that_run_refuses_is_an_error_and_with_on_gap_snapshot_what_is_read_again(
    database: Database, lose: Callable[[Database], None]
):
    checkpoint = start(database)
    lose(database)
    database.execute("ANALYZE t")
    found = findings(assessed(database.config("t"), checkpoint))
    assert list(found) == ["Resume not possible"]
    assert found["Resume not possible"].certain
    # A task that runs is ahead of the checkpoint that the plan has read, and so is its slot.
    assert kinds(assessed(database.config("t"), checkpoint, running=True)) == ["resume"]
    assert findings(assessed(database.config("t"), checkpoint, running=True)) == {}
    assert 'on_gap = "snapshot"' in found["Resume not possible"].fix
    (again,) = assessed(database.config("t", on_gap="snapshot"), checkpoint)
    assert (again.kind, again.label, again.stream, again.rows) == ("reread", "breaking", "public.t", 2)


def test_a_server_that_cannot_be_identified_now_is_no_gap(database: Database, monkeypatch: pytest.MonkeyPatch):
    checkpoint = start(database)

    def busy(_connection: Any) -> Any:
        raise RetriableError("Could not connect to PostgreSQL", "number of requested standby connections exceeds")

    monkeypatch.setattr("dstream_postgres.consequences.identify", busy)
    with pytest.raises(RetriableError):  # the SDK makes a warning of it
        assessed(database.config("t"), checkpoint)


def test_slot_and_publication_that_are_gone_cannot_be_resumed_whoever_makes_them(database: Database):
    checkpoint = start(database)
    database.execute(f"SELECT pg_drop_replication_slot('dstream_t_{database.name}')")
    assert list(findings(assessed(database.config("t"), checkpoint))) == ["Resume not possible"]
    assert findings(assessed(database.config("t"))) == {}  # apply makes a new one
    database.execute("DROP PUBLICATION dstream_t")
    found = findings(assessed(database.config("t", manage=False)))
    assert list(found) == ["No publication", "No replication slot"]
    with pytest.raises(ProviderError, match="No replication slot"), closing(connect(database.dsn)) as connection:
        inspect(connection, ("", 1), f"dstream_t_{database.name}", "dstream_t", [Table("public", "t")], {})
    for each in found.values():
        database.execute(each.fix)
    assert findings(assessed(database.config("t", manage=False))) == {}
    assert InputRun(database.config("t", manage=False)).finish().ended


def test_a_server_that_cannot_be_reached_is_left_to_the_warning_of_the_plan():
    assert assessed({"connection_string": "host=127.0.0.1 port=1", "tables": ["t"]}) == []


@pytest.mark.soak
def test_settings_of_the_server_are_named_and_the_statements_change_them():
    server = EmbeddedPostgres(tcp=True)
    for name in ("wal_level", "max_replication_slots", "max_wal_senders"):
        del server._settings[name]  # so that ALTER SYSTEM counts
    with server:
        for statement in ("max_replication_slots = 0", "max_wal_senders = 0"):
            server.execute(f"ALTER SYSTEM SET {statement}")
        restart(server)
        server.execute("CREATE TABLE t (id int PRIMARY KEY)")
        config = {"connection_string": server.dsn("postgres"), "tables": ["t"]}
        found = findings(assessed(config))
        assert list(found) == ["Logical replication is off", "No free replication slot", "No free WAL sender"]
        context: ResourceContext[Connection] = ResourceContext(Connection(server.dsn("postgres")), {}, print)

        def reserve() -> None:
            ReplicationSlot().create(context, {"name": "dstream_t"}, None)

        assert refused(reserve)
        for each in found.values():
            server.execute(each.fix.partition(";")[0])
        restart(server)
        assert findings(assessed(config)) == {}
        refused(reserve)  # the connection of the server before
        reserve()


@pytest.mark.soak
def test_a_slot_that_the_server_will_give_up_is_reported_and_one_that_it_gave_up_cannot_be_resumed():
    settings = {"max_slot_wal_keep_size": "32MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}
    with EmbeddedPostgres(tcp=True, settings=settings) as server:
        server.create_database("d")
        database = Database(server, "d")
        checkpoint = start(database)
        found = assessed(database.config("t"), checkpoint)
        retention = next(each for each in found if each.kind == "retention")
        assert retention.bytes is not None and 0 < retention.bytes <= 64 * 1024 * 1024
        for _ in range(8):
            server.execute("SELECT pg_switch_wal()")
            server.execute("INSERT INTO t VALUES ((SELECT max(id) + 1 FROM t))", dbname="d")
        server.execute("CHECKPOINT")
        found = assessed(database.config("t"), checkpoint)
        assert list(findings(found)) == ["Replication slot invalidated"]
        assert findings(found)["Replication slot invalidated"].certain
        # With on_gap = "snapshot", `-replace` needs a plan.
        found = assessed(database.config("t", on_gap="snapshot"), checkpoint)
        assert not findings(found)["Replication slot invalidated"].certain
        refusal = InputRun(database.config("t"), checkpoint).finish().status["diagnostics"][0]["summary"]
        assert refusal == "Replication slot invalidated"


def restart(server: EmbeddedPostgres) -> None:
    server.stop()
    server.start()
