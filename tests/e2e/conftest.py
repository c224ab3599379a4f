"""The demo's configuration, with a database of its own and its state in Azurite or in the folder."""

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from tests.e2e.commands import LONGEST, Ended, dstream, example, start

TABLES = """
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, total numeric(10, 2) NOT NULL)
"""
BACKEND = """
dstream {{
  backend "azurerm" {{
    container_name = "{container}"
    key            = "shop.json"
  }}
}}
"""
_numbers = itertools.count(1)


@dataclass
class Shop:
    """A folder with the demo's dstream.hcl, and the database that it speaks of."""

    folder: Path
    environment: dict[str, str]
    database: str
    server: object

    def dstream(self, *arguments: str, timeout: float = LONGEST, **env: str) -> Ended:
        """Run a command to its end."""
        return dstream(self.folder, *arguments, env={**self.environment, **env}, timeout=timeout)

    def start(self, *arguments: str, **env: str):
        """Start a command."""
        return start(self.folder, *arguments, env={**self.environment, **env})

    def sql(self, statement: str):
        """Run SQL in the shop's database."""
        return self.server.execute(statement, dbname=self.database)

    def replication(self) -> tuple[list[str], list[str]]:
        """The publications and slots that the database really has."""
        slots = f"SELECT slot_name FROM pg_replication_slots WHERE database = '{self.database}' ORDER BY 1"
        return (
            [row[0] for row in self.sql("SELECT pubname FROM pg_publication ORDER BY 1")],
            [row[0] for row in self.sql(slots)],
        )


@pytest.fixture
def shop(tmp_path, postgres):
    """The demo's configuration with local state."""
    database = f"shop_{next(_numbers)}"
    url = postgres.create_database(database)
    postgres.execute(TABLES, dbname=database)
    found = Shop(example("postgres-to-jsonl", tmp_path), {"DATABASE_URL": url}, database, postgres)
    path = found.folder / "dstream.hcl"
    # Slots belong to the server, not to a database: each test's task has a name of its own.
    path.write_text(path.read_text().replace("orders-to-file", f"orders-{next(_numbers)}"))
    yield found
    for (slot,) in postgres.execute(
        "SELECT slot_name FROM pg_replication_slots WHERE database = %s AND NOT active", (database,)
    ):
        postgres.execute("SELECT pg_drop_replication_slot(%s)", (slot,))


@pytest.fixture
def bench(tmp_path):
    """A folder to write providers in, and one flow at a time (`run_parts/bench.py`)."""
    from tests.e2e.run_parts.bench import Bench

    return Bench(tmp_path)


@pytest.fixture
def remote_shop(shop, azurite):
    """The same with its state in Azurite."""
    container = f"shop-{os.getpid()}-{next(_numbers)}"
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        service.create_container(container)
    path = shop.folder / "dstream.hcl"
    path.write_text(BACKEND.format(container=container) + path.read_text())
    shop.environment["AZURE_STORAGE_CONNECTION_STRING"] = azurite.connection_string
    return shop


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A home folder of the tests' own, in which the schemas of plugins are kept from one test to the next."""
    return tmp_path_factory.mktemp("home")
