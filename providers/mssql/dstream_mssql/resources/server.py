"""Server: the connection of a resource session, shared by its requests one at a time, and reopened when it broke."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from dstream_mssql.database import Database, Lost, connect, target_of
from dstream_mssql.settings import Connection


class Servers:
    """Connections by connection string, of all resource types of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._connections: dict[str, Database] = {}

    @contextlib.contextmanager
    def use(self, config: Connection) -> Iterator[Database]:
        """The database of a configuration, for one request; others wait. Raises ProviderError."""
        name = config.connection_string
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            database = self._connections.get(name)
            if database is None:
                database = self._connections[name] = connect(target_of(name))
            try:
                yield database
            except Lost:
                del self._connections[name]
                database.close()
                raise


SERVERS = Servers()
"""The resource session's connections: its types share them."""
