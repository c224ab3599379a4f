"""The connections of resource requests: one per connection string, used by one request at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dstream_postgres.database import connect, error_of, rows
from dstream_postgres.settings import Connection
from dstream_sdk import ProviderError
from dstream_sdk.pool import Pools

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
                # Not rollback(): in autocommit mode it takes this transaction for none, and leaves it open.
                with suppress(ProviderError):
                    self.run("ROLLBACK")
            raise


def _connection_to(dsn: str) -> Any:
    connection = connect(dsn)
    rows(connection, _LOCK_PATIENCE)
    return connection


_POOLS: Pools[str, Any] = Pools(
    _connection_to, size=1, kept=(Exception,), usable=lambda connection: not connection.closed
)


@contextmanager
def server_of(config: Connection, doing: str) -> Iterator[Server]:
    """Lend the server of a configuration for one request; `doing` names it in errors. Raises ProviderError."""
    dsn = config.connection_string
    with _POOLS.lend(dsn) as connection:
        yield Server(connection, dsn, doing)
