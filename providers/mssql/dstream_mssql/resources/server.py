"""Connections of resource requests: one for each connection string, lent to one request at a time."""

from __future__ import annotations

from contextlib import AbstractContextManager

from dstream_mssql.database import Database, connect, target_of
from dstream_mssql.errors import Lost
from dstream_mssql.settings import Connection
from dstream_sdk.pool import Pools

_POOLS: Pools[str, Database] = Pools(lambda dsn: connect(target_of(dsn)), size=1, lost=(Lost,), kept=(Exception,))


def database_of(config: Connection) -> AbstractContextManager[Database]:
    """Lend the database of a configuration for one request. Raises ProviderError."""
    return _POOLS.lend(config.connection_string)
