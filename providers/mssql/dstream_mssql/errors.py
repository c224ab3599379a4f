"""Converts the driver's errors to provider errors, by `error_table.py`. No message has the password in it."""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Iterator
from typing import Any

from dstream_mssql.connection_string import Target
from dstream_mssql.error_table import BY_NUMBER, Kind, kind_of
from dstream_sdk import ConflictError, DeniedError, InvalidError, ProviderError, RetriableError

_ADDRESS = re.compile(r"IP address '([^']+)'")


class Lost(RetriableError):
    """The connection broke or could not be opened. The request itself is valid."""


class RangeError(ProviderError):
    """The capture instance does not have the requested LSN range."""


_CLASSES: dict[Kind, type[ProviderError]] = {
    Kind.LOST: Lost,
    Kind.TRANSIENT: RetriableError,
    Kind.DENIED: DeniedError,
    Kind.CONFLICT: ConflictError,
    Kind.INVALID: InvalidError,
    Kind.GAP: RangeError,
    Kind.FATAL: ProviderError,
}

_reached: set[tuple[str, str]] = set()
"""Hosts and databases that were connected to, in this session or in the one whose checkpoint it resumes."""


def reached(target: Target) -> None:
    """Record that the target exists and accepts this login. From now on a missing database counts as a failover."""
    _reached.add((target.host, target.database))


def number_of(problem: BaseException) -> int:
    """Return the server's number of an error, or 0 if the server did not send one."""
    return getattr(problem, "number", 0)


@contextlib.contextmanager
def translated(doing: str, target: Target, address: str = "") -> Iterator[None]:
    """Convert the driver's errors within the context. `address` is this client's, for messages about firewalls."""
    import pytds

    summary = f"Could not {doing}"
    try:
        yield
    except ProviderError:
        raise
    except pytds.Error as problem:
        raise _of_server(problem, summary, target, address) from None
    except ssl.SSLError as problem:
        raise ProviderError(summary, f"TLS with {target.host}: {problem.reason or problem}{_hint(problem)}") from None
    except (OSError, EOFError) as problem:
        raise Lost(summary, scrub(f"{target.host}: {problem or type(problem).__name__}", target)) from None
    except Exception as problem:
        if type(problem).__module__.startswith("azure."):
            text = " ".join(str(problem).split())[:500]
            raise DeniedError(summary, f"no access token from Azure: {scrub(text, target)}") from None
        raise


def name_all_errors() -> None:
    """Make the driver's exceptions carry the numbers of all errors of a response; by default they have only the last.

    A refused login always ends with 18456, and the reason comes before it.
    """
    from pytds import tds_base, tds_session

    session: Any = tds_session._TdsSession
    original = session.raise_db_exception
    if hasattr(original, "names_all"):
        return

    def raise_db_exception(self: Any) -> None:
        try:
            original(self)
        except tds_base.Error as problem:
            problem.numbers = tuple(one["msgno"] for one in self.messages)
            raise

    raise_db_exception.names_all = True  # type: ignore[attr-defined]
    session.raise_db_exception = raise_db_exception


def scrub(text: str, target: Target) -> str:
    """Return the text without the password."""
    return text.replace(target.password, "(password)") if target.password else text


def _of_server(problem: Any, summary: str, target: Target, address: str) -> ProviderError:
    last = getattr(problem, "number", None) or getattr(problem, "msg_no", None) or 0
    number = next((one for one in getattr(problem, "numbers", ()) if one in BY_NUMBER), last)
    message = problem.args[0] if problem.args and isinstance(problem.args[0], str) else str(problem)
    text = scrub(" ".join(str(message).split()), target)
    if not number:
        return DeniedError(summary, text) if "not authorized" in text else Lost(summary, text)
    entry = BY_NUMBER.get(number)
    kind = kind_of(number, getattr(problem, "severity", 0) or 0)
    detail = f"{text} (error {number})"
    if entry is not None and entry.denied_at_first and (target.host, target.database) not in _reached:
        kind = Kind.DENIED
    if entry is not None and entry.advice and kind is not Kind.LOST:
        named = _ADDRESS.search(text)
        detail += ". " + entry.advice.format(address=named[1] if named else address or "of this client")
    found = _CLASSES[kind](summary, detail)
    found.number = number  # type: ignore[attr-defined]
    return found


def _hint(problem: ssl.SSLError) -> str:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return (
            f" ({problem.verify_message}). Name the authority's file with CAFile=..., or, for a trusted server with "
            "a self-signed certificate, set TrustServerCertificate=yes"
        )
    return ""
