"""Database connections. `errors.py` converts the driver's errors.

The driver is imported when a connection is opened, not before. No error message has the connection string in it.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from dstream_mssql import statements
from dstream_mssql.connection_string import Target, parse
from dstream_mssql.errors import name_all_errors, reached, translated
from dstream_sdk import InvalidError

AZURE_SQL_DATABASE, MANAGED_INSTANCE = 5, 8
"""EngineEdition of Azure SQL Database, and of Managed Instance, which has an agent."""
STATEMENT_TIMEOUT = 300.0
"""Seconds to wait for one response. After that the connection counts as lost."""

_SCOPE = "https://database.windows.net/.default"


def target_of(connection_string: str) -> Target:
    """Parse the setting `connection_string`. Raises InvalidError."""
    try:
        return parse(connection_string)
    except ValueError as problem:
        raise InvalidError("Invalid connection string", f"{problem}", path="config.connection_string") from None


class Database:
    """One connection. Not safe for concurrent use."""

    def __init__(self, connection: Any, target: Target) -> None:
        self.name = target.database
        self._connection, self._target = connection, target
        self._edition = 0

    @property
    def in_azure(self) -> bool:
        """Whether this is Azure SQL Database, which has no SQL Server Agent and no `msdb`. Raises ProviderError."""
        return self._engine_edition() == AZURE_SQL_DATABASE

    @property
    def has_time_zone(self) -> bool:
        """Whether the server reports its time zone: SQL Server 2022 and the services do. Raises ProviderError."""
        if self._engine_edition() in (AZURE_SQL_DATABASE, MANAGED_INSTANCE):
            return True
        return int(self.rows(statements.VERSION)[0][0] or 0) >= statements.FIRST_WITH_ZONE

    def _engine_edition(self) -> int:
        if not self._edition:
            ((self._edition,),) = self.rows(statements.EDITION)
        return self._edition

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a statement with the parameters @P1, @P2 ... Raises ProviderError, Lost."""
        with self.errors("ask SQL Server"):
            cursor = self.execute(sql, *parameters)
            return list(cursor.fetchall()) if cursor.description else []

    def run(self, doing: str, sql: str, *parameters: Any) -> None:
        """Execute a statement to completion. Raises ProviderError whose summary names `doing`."""
        with self.errors(doing):
            cursor = self.execute(sql, *parameters)
            while cursor.nextset():
                pass

    def execute(self, sql: str, *parameters: Any) -> Any:
        """Execute a statement and return its cursor. Raises the driver's errors; use it within `errors`."""
        import pytds

        cursor = self._connection.cursor()
        if parameters:
            # With named parameters the driver only replaces the % placeholders and leaves the rest of the text alone.
            values = [pytds.Binary(one) if isinstance(one, bytes) else one for one in parameters]
            cursor.execute(sql.replace("%", "%%"), {f"P{number}": one for number, one in enumerate(values, 1)})
        else:
            cursor.execute(sql)
        return cursor

    def errors(self, doing: str) -> contextlib.AbstractContextManager[None]:
        """Return a context that converts the driver's errors."""
        return translated(doing, self._target)

    def snapshot(self) -> contextlib.AbstractContextManager[None]:
        """Return a transaction with SNAPSHOT isolation."""
        return self._transaction(5)

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """Return a READ COMMITTED transaction that is rolled back at the end: for locks."""
        return self._transaction(2)

    @contextlib.contextmanager
    def _transaction(self, isolation: int) -> Any:
        with self.errors("begin a transaction"):
            self._connection.isolation_level = isolation
            self._connection.autocommit = False
        try:
            yield
        finally:
            with contextlib.suppress(Exception):  # a lost connection has ended the transaction already
                self._connection.autocommit = True

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(Exception):  # nothing to do about a failed close
            self._connection.close()


def connect(target: Target) -> Database:
    """Open a connection in autocommit mode. Raises ProviderError, Lost."""
    import pytds
    from pytds import instance_browser_client

    from dstream_mssql import tls

    tls.install()
    name_all_errors()
    with translated("connect to SQL Server", target):
        port = target.port or instance_browser_client.resolve_instance_port(
            target.host, None, target.instance, target.timeout
        )
        raw = socket.create_connection((target.host, port), target.timeout)
    with translated("connect to SQL Server", target, raw.getsockname()[0]):
        encryption: Any = tls.Encryption(
            verify=target.encrypt and not target.trust,
            host_name=target.certificate_host,
            authority=target.authority,
        )
        connection = pytds.connect(
            target.host,
            port=port,
            database=target.database,
            **_credentials(target),
            sock=raw,
            login_timeout=target.timeout,
            timeout=STATEMENT_TIMEOUT,
            autocommit=True,
            appname=target.application,
            blocksize=target.packet_size,
            cafile=encryption,
            enc_login_only=not target.encrypt,
            readonly=target.read_only,
            bytes_to_unicode=False,
            disable_connect_retry=True,
        )
    reached(target)
    return Database(connection, target)


def _credentials(target: Target) -> dict[str, Any]:
    if target.authentication == "sql":
        return {"user": target.user, "password": target.password}
    return {"access_token_callable": _token(target)}


_sources: dict[tuple[str, str, str], Callable[[], str]] = {}
"""Token sources by (authentication, user, tenant). Each caches its token until shortly before it expires."""


def _token(target: Target) -> Callable[[], str]:
    key = (target.authentication, target.user, target.tenant)
    if key not in _sources:
        _sources[key] = _source(target)
    return _sources[key]


def _source(target: Target) -> Callable[[], str]:
    import os

    from azure.identity import ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential

    credential: Any
    if target.authentication == "managed":
        credential = ManagedIdentityCredential(client_id=target.user or None)
    elif target.authentication == "principal":
        tenant = target.tenant or os.environ.get("AZURE_TENANT_ID", "")
        if not tenant:
            raise InvalidError(
                "Invalid connection string",
                "a service principal needs its tenant: add Tenant ID=... or set AZURE_TENANT_ID",
                path="config.connection_string",
            )
        credential = ClientSecretCredential(tenant, target.user, target.password)
    else:
        credential = DefaultAzureCredential(exclude_interactive_browser_credential=True)
    return lambda: str(credential.get_token(_SCOPE).token)
