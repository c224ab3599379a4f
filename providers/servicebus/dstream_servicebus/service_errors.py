"""Service errors: classifies the exceptions of the client library, and converts them to provider errors."""

from __future__ import annotations

import re
from enum import Enum

from dstream_sdk import ConflictError, DeniedError, InvalidError, ProviderError, RetriableError


class Kind(Enum):
    """How to react to a failure."""

    BUSY = "busy"
    """The service is throttling."""
    FULL = "full"
    """The entity is full until messages are read from it."""
    AGAIN = "again"
    """The connection is lost, or may be: retry."""
    MISSING = "missing"
    """The entity does not exist."""
    DENIED = "denied"
    """The credentials do not allow it."""
    REFUSED = "refused"
    """The service rejects this message, or this batch."""
    OFF = "off"
    """The entity is disabled."""


_REFUSED = frozenset(
    (
        "amqp:not-allowed", "amqp:decode-error", "amqp:invalid-field", "amqp:not-implemented",
        "com.microsoft:argument-error", "com.microsoft:argument-out-of-range",
    )
)  # fmt: skip
"""Conditions for which a retry of the message would fail again."""
_PAUSE = re.compile(r"wait (\d+) seconds?", re.IGNORECASE)


def pause_of(problem: BaseException) -> float | None:
    """Return the seconds to wait that a busy service reports ("Please wait 2 seconds ..."), or None."""
    found = _PAUSE.search(str(problem))
    return float(found[1]) if found else None


def kind_of(problem: BaseException) -> Kind:
    """Classify the exception of a failed send or receive.

    A missing entity and a missing right are not always reported as such: a link that the service closes immediately is
    reported as `amqp:unknown-error`, a rejected token as `amqp:client-error`. These are AGAIN here; if they repeat, the
    caller queries the management plane.
    """
    from azure.servicebus import exceptions as known

    table: tuple[tuple[type[BaseException], Kind], ...] = (
        (known.ServiceBusServerBusyError, Kind.BUSY),
        (known.ServiceBusQuotaExceededError, Kind.FULL),
        (known.MessagingEntityNotFoundError, Kind.MISSING),
        (known.MessagingEntityDisabledError, Kind.OFF),
        (known.MessageSizeExceededError, Kind.REFUSED),
        (known.ServiceBusAuthorizationError, Kind.DENIED),
        (known.ServiceBusConnectionError, Kind.AGAIN),
        (known.ServiceBusCommunicationError, Kind.AGAIN),
        (known.OperationTimeoutError, Kind.AGAIN),
        (known.ServiceBusAuthenticationError, Kind.AGAIN),
    )
    for type_, kind in table:
        if isinstance(problem, type_):
            return kind
    if isinstance(problem, known.ServiceBusError):
        condition = str(getattr(problem, "_condition", "") or "")
        return Kind.REFUSED if condition in _REFUSED else Kind.AGAIN
    return Kind.AGAIN


NO_REASON = (
    ". The service closed the link, and the client library drops its reason. If the namespace can be reached, "
    "check that the key has the right Send (role Azure Service Bus Data Sender)"
)


def closed_without_reason(problem: BaseException) -> bool:
    """Whether a link was closed as soon as it was open, as for a key that lacks a right."""
    return str(getattr(problem, "_condition", "") or "") == "amqp:unknown-error"


def token_refused(problem: BaseException) -> bool:
    """Return whether the namespace rejects the token. Through a custom endpoint this appears as a lost connection."""
    from azure.servicebus.exceptions import ServiceBusAuthenticationError

    if isinstance(problem, ServiceBusAuthenticationError):
        return True
    cause = problem.__cause__ or problem.__context__
    return cause is not None and type(cause).__name__ == "TokenAuthFailure"


def sentence(problem: BaseException) -> str:
    """Return the library's message in one line, without tracking ids of the service."""
    text = " ".join(str(getattr(problem, "message", "") or problem).split())
    for mark in (" TrackingId:", " Reference:", " For more information", " Error condition:", "Content: <"):
        text = text.partition(mark)[0].strip()
    return text or type(problem).__name__


def missing(kind: str, name: str) -> ProviderError:
    """Return the error for an entity that does not exist."""
    return ConflictError(
        f"{kind.capitalize()} not found",
        f"the {kind} {name!r} does not exist in the namespace. Create it with dstream apply; if it was deleted, "
        "dstream plan shows this as drift",
    )


def denied(doing: str, problem: BaseException) -> ProviderError:
    """Return the error for credentials without the required rights."""
    return DeniedError(
        "Access denied",
        f"cannot {doing}: {sentence(problem)}. Sending requires the right Send (role Azure Service Bus Data Sender), "
        "reading requires Listen (Data Receiver), and creating or deleting queues requires Manage (Data Owner)",
    )


def of_entities(problem: BaseException, doing: str) -> ProviderError:
    """Convert the exception of a failed call to the management plane."""
    from azure.core import exceptions as core

    if isinstance(problem, ProviderError):
        return problem
    text = f"cannot {doing}: {sentence(problem)}"
    if isinstance(problem, core.ClientAuthenticationError):
        return denied(doing, problem)
    if isinstance(problem, core.HttpResponseError) and problem.status_code is not None:
        wait = _retry_after(problem)
        if problem.status_code in (401, 403):
            return denied(doing, problem)
        if problem.status_code in (408, 429) or problem.status_code >= 500:
            return RetriableError("Service Bus is busy", text, retry_after=wait)
        if problem.status_code == 409:
            return ConflictError("Conflict", text)
        return InvalidError("Refused by Service Bus", text)
    if isinstance(problem, core.AzureError):  # no connection, no response, or an invalid one
        return RetriableError("Service Bus cannot be reached", text)
    return ProviderError("Service Bus failed", f"{text} ({type(problem).__name__})")


def _retry_after(problem: object) -> float | None:
    response = getattr(problem, "response", None)
    text = str(getattr(response, "headers", {}).get("Retry-After") or "")
    return float(text) if text.replace(".", "", 1).isdigit() else None
