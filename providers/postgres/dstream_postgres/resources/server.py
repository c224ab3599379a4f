"""Server: the connection of a resource session, shared by its requests one at a time, and reopened when it broke."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dstream_postgres.database import connect, error_of, rows
from dstream_postgres.settings import Connection

_LOCK_PATIENCE = "SET lock_timeout = '30s'"


class Server:
    """Statements of one request. Errors are raised as ProviderError that say what was being done."""

    def __init__(self, connection: Any, dsn: str, doing: str) -> None:
        self._connection = connection
        self._dsn = dsn
        self._doing = doing

    def run(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        import psycopg2

        try:
            return rows(self._connection, sql, parameters)
        except psycopg2.Error as problem:
            raise error_of(problem, self._doing, self._dsn) from None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements within, or none of them."""
        self.run("BEGIN")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            if not self._connection.closed:
                self._connection.rollback()
            raise


class Servers:
    """Connections by connection string, of all resource types of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._connections: dict[str, Any] = {}

    @contextmanager
    def use(self, config: Connection, doing: str) -> Iterator[Server]:
        """The server of a configuration, for one request; others wait."""
        dsn = config.connection_string
        with self._lock:
            lock = self._locks.setdefault(dsn, threading.Lock())
        with lock:
            connection = self._connections.get(dsn)
            if connection is None or connection.closed:
                connection = self._connections[dsn] = connect(dsn)
                rows(connection, _LOCK_PATIENCE)
            yield Server(connection, dsn, doing)


SERVERS = Servers()
"""The resource session's connections: its types share them."""
