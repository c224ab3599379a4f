"""What the service refuses of a message, a batch, or a queue that is full.

Sources: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas (a message id, session id or
partition key has at most 128 characters, the headers of a message 64 KB, a queue its maximum size); the conditions are
those that azure-sdk-for-python knows (`azure/servicebus/_common/constants.py`): `com.microsoft:argument-out-of-range`,
`com.microsoft:argument-error`, `amqp:resource-limit-exceeded`, `com.microsoft:entity-disabled`.
"""

from __future__ import annotations

from tests.services.azure.messages import APPLICATION, DATA, Message, NotTaken, Store
from tests.services.azure.model import Entity

LONGEST_ID = 128
HEADERS = 64 * 1024
OUT_OF_RANGE, ARGUMENT = "com.microsoft:argument-out-of-range", "com.microsoft:argument-error"


def check_message(message: Message) -> None:
    """Refuse a message that breaks a limit on its own."""
    named = {"MessageId": message.message_id, "SessionId": message.session_id, "PartitionKey": message.partition_key}
    for name, value in named.items():
        if len(str(value or "")) > LONGEST_ID:
            raise NotTaken(OUT_OF_RANGE, f"The length of {name} must be at most {LONGEST_ID}. Parameter name: {name}")
    size = len(message.sections.get(APPLICATION, b""))
    if size > HEADERS:
        raise NotTaken(ARGUMENT, f"The message headers have {size} bytes; at most {HEADERS} are allowed.")


def check_batch(entity: Entity, messages: list[Message]) -> None:
    """Refuse what the service does not take in one piece."""
    partitioned = bool(entity.properties.get("enablePartitioning"))
    keys = {each.session_id or each.partition_key for each in messages}
    if partitioned and keys == {None} and entity.properties.get("requiresDuplicateDetection"):
        keys = {each.message_id for each in messages}
    if (partitioned or entity.properties.get("requiresSession")) and len(keys) > 1:
        text = "Batching brokered messages with distinct SessionId or PartitionKey is not supported for this entity."
        raise NotTaken("amqp:not-allowed", text)
    if any(DATA not in each.sections and 0x77 not in each.sections for each in messages):
        raise NotTaken("amqp:decode-error", "A message of the batch has no body.")


def check_room(store: Store, size: int, megabyte: int) -> None:
    """Refuse what a full queue has no room for; a subscription's room is that of its topic."""
    most = store.properties.get("maxSizeInMegabytes")
    if most is None or store.taken_bytes + size <= int(most) * megabyte:
        return
    if store.size + size > int(most) * megabyte:
        text = f"The maximum entity size has been reached or exceeded for Queue: '{store.name}'."
        raise NotTaken("amqp:resource-limit-exceeded", text)


def status_against(entity: Entity, *, sending: bool) -> str | None:
    """Return the status of an entity that does not let clients send, or receive; None if it does."""
    status = str(entity.properties.get("status") or "Active")
    return status if status in ("Disabled", "SendDisabled" if sending else "ReceiveDisabled") else None
