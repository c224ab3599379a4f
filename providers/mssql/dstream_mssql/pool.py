"""Pool: connections for the threads that read, no more than there may be, made anew when they broke."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from dstream_mssql.connection_string import Target
from dstream_mssql.database import Database, Lost, connect


class Pool:
    """Connections that are lent to one thread at a time. `size` threads at most may ask at once."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._idle: list[Database] = []

    @contextlib.contextmanager
    def lend(self) -> Iterator[Database]:
        """A connection; one that an error broke is not lent again. Raises ProviderError, Lost."""
        with self._lock:
            database = self._idle.pop() if self._idle else None
        if database is None:
            database = connect(self._target)
        try:
            yield database
        except BaseException as problem:
            if isinstance(problem, Lost) or not isinstance(problem, Exception):
                database.close()
                self.close()  # the others were to the same server
            else:
                database.close()
            raise
        with self._lock:
            self._idle.append(database)

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            found, self._idle = self._idle, []
        for database in found:
            database.close()
