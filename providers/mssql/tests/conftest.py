"""A stand-in for SQL Server for each test, with a database `shop`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.mssql.model import Database
from tests.services.mssql.server import SqlServer


@pytest.fixture
def server() -> Iterator[SqlServer]:
    with SqlServer() as running:
        yield running


@pytest.fixture
def shop(server: SqlServer) -> Database:
    """A database with CDC on, and a table Orders that is captured."""
    database = server.create_database("shop")
    database.create_table("Orders", "Id int primary key, Name nvarchar(50), Total decimal(10, 2)")
    database.cdc.enable_table("Orders")
    return database
