"""What receivers ask of `$management`: peek, renew a lock or a session's lock, settle.

Source: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-request-response.
"""

from __future__ import annotations

from typing import Any

from tests.services.azure.amqp.codec import Array, Timestamp
from tests.services.azure.messages import Store


def operate(store: Store, operation: str, body: dict[Any, Any], *, dead: bool) -> tuple[int, str, Any]:
    """Perform an operation on an entity or its dead letters; return status, description and answer."""
    asked = {str(key): value for key, value in body.items()}
    tokens = _values(asked.get("lock-tokens"))
    until = store.clock() + store.lock_seconds
    if operation == "com.microsoft:peek-message":
        every = list(store.dead) if dead else store.everything()
        found = [each for each in every if each.sequence >= asked["from-sequence-number"]][: asked["message-count"]]
        if not found:
            return 204, "No content", None
        return 200, "OK", {"messages": [{"message": each.encode()} for each in found]}
    if operation == "com.microsoft:renew-lock":
        if not all(token in store.locked for token in tokens):
            return 410, "The lock supplied is invalid or has expired.", None
        for token in tokens:
            store.locked[token].until = until
        return 200, "OK", {"expirations": Array(0x83, tuple(int(until * 1000) for _ in tokens))}
    if operation == "com.microsoft:renew-session-lock":
        if asked.get("session-id") not in store.sessions:
            return 410, "The session lock has expired.", None
        return 200, "OK", {"expiration": Timestamp(int(until * 1000))}
    if operation == "com.microsoft:update-disposition":
        names = {"completed": "complete", "abandoned": "abandon", "defered": "defer", "suspended": "dead-letter"}
        how = names[str(asked["disposition-status"])]
        why = asked.get("deadletter-reason"), asked.get("deadletter-description")
        done = [store.settle(token, how, *why) for token in tokens]
        return (200, "OK", None) if all(done) else (410, "The lock supplied is invalid or has expired.", None)
    return 501, f"not here: {operation}", None


def _values(found: Any) -> list[Any]:
    return list(found.values if isinstance(found, Array) else found or ())
