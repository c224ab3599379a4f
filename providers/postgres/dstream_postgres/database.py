"""Connections: one place that opens them, prepares their sessions and turns their errors into ours.

psycopg2 is imported here when a connection is opened, not before: planning needs none. A connection string is
never part of an error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dstream_sdk import ConflictError, DeniedError, InvalidError, ProviderError, RetriableError

if TYPE_CHECKING:
    import psycopg2.extensions

SESSION = """
SET client_encoding = 'UTF8'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; SET timezone = 'UTC';
SET extra_float_digits = 3; SET bytea_output = 'hex'; SET standard_conforming_strings = on
"""
"""How values are written as text, whatever server, database and role say."""

TIMEOUTS = {
    "statement_timeout": 0,
    "lock_timeout": 0,
    "idle_in_transaction_session_timeout": 0,
    "idle_session_timeout": 140000,
    "transaction_timeout": 170000,
}
"""Limits that a server, database or role may set for its applications, with the version that introduced each. A
snapshot of a large table, or a session without changes, exceeds any of them: they are off in our sessions."""

SENDER_TIMEOUT = "SET wal_sender_timeout = '300s'"
"""A sink may hold us up for longer than the usual 60 s; a vanished client is found by TCP keepalives."""

PARAMETERS = {
    "fallback_application_name": "dstream",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
"""What a connection string need not say: a server that has vanished is noticed within a minute."""

_DENIED = ("authentication failed", "permission denied", "must be superuser", "no pg_hba.conf entry", 'role "')
_CERTIFICATE = re.compile(
    r"certificate|private key|unknown ca|handshake failure|unsupported protocol|does(n't| not) support SSL",
    re.IGNORECASE,
)
"""What libpq and OpenSSL say where one side does not accept the certificate or the encryption of the other."""
_NO_DATABASE = re.compile(r'database "[^"]*" does not exist')
# A refused connection has no SQLSTATE in psycopg2, only the server's text.


def connect(dsn: str, *, replication: bool = False, connect_timeout: int = 15) -> psycopg2.extensions.connection:
    """An open connection in autocommit mode with a prepared session. Raises ProviderError."""
    import psycopg2
    import psycopg2.extensions
    import psycopg2.extras

    factory = psycopg2.extras.LogicalReplicationConnection if replication else None
    try:
        parameters = {"connect_timeout": str(connect_timeout), **PARAMETERS, **psycopg2.extensions.parse_dsn(dsn)}
        connection = psycopg2.connect(connection_factory=factory, **parameters)
    except psycopg2.ProgrammingError:
        # libpq repeats the string in its message; what is wrong with it is for the user to see, not for a log.
        raise InvalidError(
            "Invalid connection string",
            "expected a URL such as postgresql://user:password@host:5432/database or key=value pairs",
            path="config.connection_string",
        ) from None
    except psycopg2.Error as problem:
        raise error_of(problem, "connect to PostgreSQL", dsn) from None
    try:
        if not replication:
            connection.autocommit = True
        limits = (name for name, since in TIMEOUTS.items() if connection.server_version >= since)
        with connection.cursor() as cursor:
            cursor.execute(SESSION)
            cursor.execute("; ".join(f"SET {name} = 0" for name in limits))
            if replication:
                cursor.execute(SENDER_TIMEOUT)
    except psycopg2.Error as problem:
        connection.close()
        raise error_of(problem, "prepare the session", dsn) from None
    return connection


def rows(connection: Any, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """The rows that a statement returns, none for a command. Raises psycopg2.Error."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall()) if cursor.description else []


def error_of(problem: BaseException, doing: str, dsn: str = "") -> ProviderError:
    """What a psycopg2 error means to the host: by SQLSTATE, without any secret."""
    code = getattr(problem, "pgcode", None) or ""
    text = scrub(" ".join(str(problem).split()), dsn)
    summary = f"Could not {doing}"
    if code == "42501" or code.startswith("28") or (not code and any(sign in text for sign in _DENIED)):
        return DeniedError(summary, text)
    if not code and _CERTIFICATE.search(text):
        return DeniedError(
            summary,
            f"{text}. The connection string decides what is checked: with sslmode=verify-full the server's certificate "
            "has to be for its `host`, and be issued by an authority in the file `sslrootcert`; `sslcert` and `sslkey` "
            "are the client's own certificate.",
        )
    if not code and _NO_DATABASE.search(text):
        return InvalidError(summary, text)
    if code in ("42710", "42P07", "55006", "23505"):
        return ConflictError(summary, text)
    if code.startswith(("08", "40", "53", "57", "58")) or not code:
        return RetriableError(summary, text)
    if code.startswith(("42", "22", "3D", "3F", "0A", "55")):
        return InvalidError(summary, text)
    return ProviderError(summary, text)


def scrub(text: str, dsn: str) -> str:
    """The text without the connection string and its password."""
    if dsn:
        import psycopg2.extensions

        text = text.replace(dsn, "(connection string)")
        try:
            password = psycopg2.extensions.parse_dsn(dsn).get("password")
        except psycopg2.ProgrammingError:
            password = None
        if password:
            text = text.replace(password, "(password)")
    return text
