"""One embedded server per test process; a database of its own for each test that asks."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from providers.postgres.tests.harness import Database
from tests.services.postgres import EmbeddedPostgres


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tcp=True) as running:
        yield running


@pytest.fixture
def database(server: EmbeddedPostgres) -> Iterator[Database]:
    made = Database(server, "d" + uuid.uuid4().hex[:12])
    server.create_database(made.name)
    yield made
    drop(made)


@pytest.fixture
def target(server: EmbeddedPostgres) -> Iterator[Database]:
    made = Database(server, "t" + uuid.uuid4().hex[:12])
    server.create_database(made.name)
    yield made
    drop(made)


def drop(database: Database) -> None:
    server = database.server
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database.name,))
    for (slot,) in server.execute("SELECT slot_name FROM pg_replication_slots WHERE database = %s", (database.name,)):
        for _ in range(100):
            active = server.execute("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (slot,))
            if active and not active[0][0]:
                break
            server.execute("SELECT pg_sleep(0.05)")
        server.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
    server.execute(f'DROP DATABASE "{database.name}" WITH (FORCE)')
    server.execute(
        "SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname LIKE %s",
        (f"%@{database.name}%",),
    )
