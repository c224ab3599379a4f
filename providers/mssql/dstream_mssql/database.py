"""Connections: one place that opens them and turns the driver's errors into ours.

The driver is imported when a connection is opened, not before. A connection string is never part of an error.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

from dstream_mssql.connection_string import Target, parse
from dstream_sdk import ConflictError, DeniedError, InvalidError, ProviderError, RetriableError

STATEMENT_TIMEOUT = 300.0
"""Seconds that the server may take for one answer; whoever waits longer than this has lost the connection."""

_DENIED = {229, 230, 262, 297, 300, 916, 4060, 18452, 18456, 18470, 18486, 18487, 18488, 22902, 22904, 33435}
_CONFLICT = {22906, 22926, 22962, 15233}
_INVALID = {102, 156, 207, 208, 209, 245, 313, 911, 2812, 22901, 22931, 22939, 22960, 3952, 15151}
_RETRIABLE = {
    -2, 64, 233, 601, 701, 802, 824, 921, 922, 923, 983, 1204, 1205, 1222, 3960, 4891, 6005, 8645, 8651, 9001, 10053,
    10054, 10060, 10928, 10929, 14355, 17142, 17197, 18401, 40143, 40166, 40197, 40501, 40540, 40613, 40648, 41301,
    41302, 41305, 41325, 41839, 42108, 42109, 49918, 49919, 49920,
}  # fmt: skip
"""Out of resources, deadlock, failover, throttling of Azure: the same may succeed later."""

_SCOPE = "https://database.windows.net/.default"


class Lost(RetriableError):
    """The connection broke, or there is none: nothing is wrong with the request itself."""


def target_of(connection_string: str) -> Target:
    """The target of a setting. Raises InvalidError."""
    try:
        return parse(connection_string)
    except ValueError as problem:
        raise InvalidError("Invalid connection string", f"{problem}", path="config.connection_string") from None


class Database:
    """One connection. Not for use by several threads at once."""

    def __init__(self, connection: Any, target: Target) -> None:
        self.name = target.database
        self._connection, self._target = connection, target

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows that a statement returns; its parameters are @P1, @P2 ... Raises ProviderError, Lost."""
        with self.errors("ask SQL Server"):
            cursor = self.execute(sql, *parameters)
            return list(cursor.fetchall()) if cursor.description else []

    def run(self, doing: str, sql: str, *parameters: Any) -> None:
        """Run a statement to its end. Raises ProviderError that says what was being done."""
        with self.errors(doing):
            cursor = self.execute(sql, *parameters)
            while cursor.nextset():
                pass

    def execute(self, sql: str, *parameters: Any) -> Any:
        """A cursor on a statement's result. Raises the driver's errors: use it within `errors`."""
        import pytds

        cursor = self._connection.cursor()
        if parameters:
            # Named ones, since the driver then leaves the text alone but for the sign that it formats with.
            values = [pytds.Binary(one) if isinstance(one, bytes) else one for one in parameters]
            cursor.execute(sql.replace("%", "%%"), {f"P{number}": one for number, one in enumerate(values, 1)})
        else:
            cursor.execute(sql)
        return cursor

    def errors(self, doing: str) -> contextlib.AbstractContextManager[None]:
        """Turns the driver's errors within it into ours."""
        return _errors(doing, self._target)

    def snapshot(self) -> contextlib.AbstractContextManager[None]:
        """A transaction whose reads all see the same moment (SNAPSHOT isolation)."""
        return self._transaction(5)

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """A READ COMMITTED transaction, rolled back at its end: for locks."""
        return self._transaction(2)

    @contextlib.contextmanager
    def _transaction(self, isolation: int) -> Any:
        with self.errors("begin a transaction"):
            self._connection.isolation_level = isolation
            self._connection.autocommit = False
        try:
            yield
        finally:
            with contextlib.suppress(Exception):  # the connection may be gone; then the transaction is too
                self._connection.autocommit = True

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(Exception):  # it is going away
            self._connection.close()


def connect(target: Target) -> Database:
    """An open connection in autocommit mode. Raises ProviderError, Lost."""
    import pytds
    from pytds import instance_browser_client

    from dstream_mssql import tls

    tls.install()
    with _errors("connect to SQL Server", target):
        port = target.port or instance_browser_client.resolve_instance_port(
            target.host, None, target.instance, target.timeout
        )
        raw = socket.create_connection((target.host, port), target.timeout)
        encryption: Any = tls.Encryption(
            verify=target.encrypt and not target.trust,
            host_name=target.certificate_host or target.host,
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
    return Database(connection, target)


def _credentials(target: Target) -> dict[str, Any]:
    if target.authentication == "sql":
        return {"user": target.user, "password": target.password}
    return {"access_token_callable": _token(target)}


_sources: dict[tuple[str, str, str], Callable[[], str]] = {}
"""Where tokens come from: each keeps its token until that is about to expire."""


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


@contextlib.contextmanager
def _errors(doing: str, target: Target) -> Any:
    import pytds

    try:
        yield
    except ProviderError:
        raise
    except pytds.Error as problem:
        raise _error_of(problem, f"Could not {doing}", target) from None
    except ssl.SSLError as problem:
        raise ProviderError(
            f"Could not {doing}",
            f"TLS with {target.host}: {problem.reason or problem}{_hint(problem)}",
        ) from None
    except (OSError, EOFError) as problem:
        raise Lost(f"Could not {doing}", scrub(f"{target.host}: {problem or type(problem).__name__}", target)) from None
    except Exception as problem:
        if type(problem).__module__.startswith("azure."):
            text = " ".join(str(problem).split())[:500]
            raise DeniedError(f"Could not {doing}", f"no access token from Azure: {scrub(text, target)}") from None
        raise


def _hint(problem: ssl.SSLError) -> str:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return (
            f" ({problem.verify_message}). Name the authority's file with CAFile=..., or, for a trusted server with "
            "a self-signed certificate, set TrustServerCertificate=yes"
        )
    return ""


def _error_of(problem: Any, summary: str, target: Target) -> ProviderError:
    number = getattr(problem, "number", None) or getattr(problem, "msg_no", None) or 0
    said = problem.args[0] if problem.args and isinstance(problem.args[0], str) else str(problem)
    text = scrub(" ".join(str(said).split()), target)
    detail = f"{text} (error {number})" if number else text
    if number in _DENIED or "not authorized" in text:
        return DeniedError(summary, detail)
    if number in _CONFLICT:
        return ConflictError(summary, detail)
    if not number:
        return Lost(summary, detail)
    if number in _RETRIABLE or getattr(problem, "severity", 0) >= 17:
        return RetriableError(summary, detail)
    if number in _INVALID:
        return InvalidError(summary, detail)
    return ProviderError(summary, detail)


def scrub(text: str, target: Target) -> str:
    """The text without the password."""
    return text.replace(target.password, "(password)") if target.password else text
