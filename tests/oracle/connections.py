"""Connections: a server whose statements share one connection for each database.

A trial asks its databases a thousand things, and each new connection costs the server more than the answer does.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

from tests.services.postgres import EmbeddedPostgres


@dataclass(slots=True)
class Server:
    """What a trial uses of a server. The connections stay open until `close`."""

    embedded: EmbeddedPostgres
    _open: dict[str, Any] = field(default_factory=dict)

    def execute(
        self, sql: str, parameters: Sequence[Any] | None = None, *, dbname: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Run SQL (autocommit) and return the rows, none for a command."""
        connection = self._open.get(dbname)
        if connection is None or connection.closed:
            connection = self._open[dbname] = psycopg2.connect(self.dsn(dbname))
            connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall()) if cursor.description else []

    def connect(self, dbname: str) -> AbstractContextManager[Any]:
        """A connection of its own, closed at the end."""
        return self.embedded.connect(dbname)

    def create_database(self, name: str) -> None:
        """Create an empty database."""
        self.execute(f'CREATE DATABASE "{name}"')

    def close(self, *names: str) -> None:
        """Close the connections to databases, all of them without a name."""
        for name in names or list(self._open):
            connection = self._open.pop(name, None)
            if connection is not None:
                connection.close()

    def dsn(self, dbname: str) -> str:
        """A connection URL."""
        return self.embedded.dsn(dbname)

    @property
    def superuser(self) -> str:
        return self.embedded.superuser

    @property
    def folder(self) -> Path:
        return self.embedded.folder

    @property
    def port(self) -> int:
        return self.embedded.port
