"""Real services that any test may ask for, each started once per test process and stopped at its end."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

# The tests start hundreds of Python processes: byte code is worth keeping, whatever the machine's habit is.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A running `EmbeddedPostgres`; make a database of your own in it with `create_database(name)`."""
    from tests.services.postgres import EmbeddedPostgres

    with EmbeddedPostgres() as server:
        yield server


@pytest.fixture(scope="session")
def azurite() -> Iterator[Any]:
    """A running `Azurite`, with an endpoint and a connection string."""
    from tests.services.azurite import azurite_server

    with azurite_server() as server:
        yield server
