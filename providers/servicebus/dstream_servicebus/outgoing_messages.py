"""Outgoing messages: converts an envelope to a message with its body, id, ordering key and application properties."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from dstream_servicebus.envelopes import Envelope, text_of
from dstream_servicebus.settings import OutputSettings

TEXT_LIMIT = 4096
"""Longer metadata is not an application property, because all headers together are limited to 64 KiB."""
_INT = 2**31
"""The client library encodes integers as AMQP int, which has 32 bits."""


class Prepared(msgspec.Struct, gc=False):
    """The message of one envelope."""

    line: bytes
    """The original envelope, for dead letters."""
    body: bytes
    message_id: str
    lane: str | None
    """The session or partition key; None if the queue keeps the order."""
    metadata: Mapping[str, Any]
    """The source of its application properties; see `property_of`."""
    subject: str
    """The operation type, or ""."""


class Preparer:
    """Prepares messages according to the settings."""

    def __init__(self, config: OutputSettings, source: str) -> None:
        """`source` is the source attribute of cloud events."""
        self._lanes = config.ordering != "queue"
        self._keys = config.ordering_keys
        self._format = config.format
        self._source = source
        self.content_type = "application/json"
        if config.format == "cloudevents":
            self.content_type = "application/cloudevents+json"

    def prepare(self, line: bytes, envelope: Envelope) -> Prepared:
        """Return the message for an envelope."""
        metadata = envelope.metadata or {}
        table = envelope.table
        message_id = identity_of(table, metadata) or uuid.uuid4().hex
        body = line
        if self._format == "data":
            body = bytes(envelope.data)
        elif self._format == "cloudevents":
            body = self._event(table, metadata, bytes(envelope.data), message_id)
        lane = self._lane(table, metadata.get("Key")) if self._lanes else None
        subject = str(property_of(metadata.get("OperationType")) or "")
        return Prepared(line, body, message_id, lane, metadata, subject)

    def _lane(self, table: str, key: Any) -> str:
        """Return the session or partition key of a row. Rows of a table without a key share one."""
        digest = hashlib.blake2b(text_of([table, key], ordered=True), digest_size=16)
        if not self._keys:
            return digest.hexdigest()
        return str(int.from_bytes(digest.digest()[:8], "big") % self._keys)

    def _event(self, table: str, metadata: Mapping[str, Any], data: bytes, message_id: str) -> bytes:
        """Return a cloud event in structured mode. Metadata with valid names becomes extension attributes."""
        event: dict[str, Any] = {
            "data": None,  # reserved: its text is appended last
            "specversion": "1.0",
            "id": message_id,
            "source": f"{self._source}/{table}" if table else self._source,
            "type": f"dstream.{str(metadata.get('OperationType') or 'record').lower()}",
            "datacontenttype": "application/json",
        }
        key = metadata.get("Key")
        if key is not None:
            event["subject"] = text_of(key).decode()
        if isinstance(moment := metadata.get("Timestamp"), str):
            event["time"] = moment
        for name, value in metadata.items():
            plain = name.lower()
            if plain.isalnum() and plain.isascii() and plain not in event and name not in ("Timestamp", "Key"):
                text = value if isinstance(value, str) else text_of(value).decode()
                event[plain] = text
        del event["data"]
        return text_of(event)[:-1] + b',"data":' + data + b"}"


def identity_of(table: str, metadata: Mapping[str, Any]) -> str | None:
    """Return the message_id of a change, which is stable when the change is read again, and unique.

    It is derived from the position in the source: Position, or LSN with Seq. Without these there is none, because the
    content alone does not distinguish a repeat from a second change to the same values.
    """
    place = metadata.get("Position")
    if place is None:
        if metadata.get("LSN") is None or metadata.get("Seq") is None:
            return None
        place = [metadata["LSN"], metadata["Seq"]]
    parts = [table, metadata.get("OperationType"), place, metadata.get("Key"), metadata.get("OldKey")]
    return hashlib.blake2b(text_of(parts, ordered=True), digest_size=16).hexdigest()


def properties_of(metadata: Mapping[str, Any]) -> dict[str, bool | int | str]:
    """Return metadata as application properties."""
    found = ((name, property_of(value)) for name, value in metadata.items() if _is_utf8(name))
    return {name: value for name, value in found if value is not None}


def property_of(value: Any) -> bool | int | str | None:
    """Return metadata as the value of an application property: scalars unchanged, other values as JSON text.

    Returns None for values that are too long or not valid UTF-8 (a lone surrogate). They are only in the body.
    """
    if value is None or isinstance(value, bool) or (isinstance(value, int) and -_INT <= value < _INT):
        return value
    text = value if isinstance(value, str) else text_of(value).decode()
    return text if len(text) <= TEXT_LIMIT and _is_utf8(text) else None


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
