"""Packer: fills a batch of the client library with messages, each in the encoding of AMQP 1.0.

The library encodes a message field by field, and twice: once to learn its size, once to keep it. That is most of what
sending costs. Here a message is encoded once, to the same bytes. The first of every batch is packed by the library: if
ours were not the same, or the batch were not made as it is known to be, the library packs all of them.

Encoding: OASIS AMQP 1.0, part 1 section 1.6 (types) and part 3 section 3.2 (sections of a message).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dstream_sdk import log
from dstream_servicebus.messages import Prepared

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch

_ANNOTATIONS, _PROPERTIES, _APPLICATION, _DATA = b"\0\x53\x72", b"\0\x53\x73", b"\0\x53\x74", b"\0\x53\x75"
_BINARY, _STRING, _SYMBOL = (b"\xa0", b"\xb0"), (b"\xa1", b"\xb1"), (b"\xa3", b"\xb3")
_LIST, _MAP = (b"\xc0", b"\xd0"), (b"\xc1", b"\xd1")
"""Constructors: with a length of one byte, and of four."""
_NULL, _FALSE, _TRUE = b"\x40", b"\x56\0", b"\x56\1"
_BYTES = tuple(bytes((n,)) for n in range(256))
_length, _small, _large = struct.Struct(">I").pack, struct.Struct(">Bb").pack, struct.Struct(">Bi").pack
_FIELDS = 13
"""Properties of a message, from message-id to reply-to-group-id. The library writes them all."""
_PARTITION_KEY = b"\xa3\x13x-opt-partition-key"


class Packer:
    """Encodes messages by the settings, and fills batches with them."""

    def __init__(self, content_type: str, sessions: bool) -> None:
        """`sessions` says whether the lane of a message is its session; else it is its partition key."""
        self._content_type, self._sessions = content_type, sessions
        self._content = _NULL * 2 + _sized(_SYMBOL, content_type.encode()) + _NULL * 3  # reply-to to creation-time
        self._names: dict[str, bytes] = {}
        self._trusted = True

    def fill(self, batch: ServiceBusMessageBatch, messages: Sequence[Prepared], start: int, end: int) -> int:
        """Add messages to an empty batch while they fit; return the place behind the last one.

        `start` and `end` are places in `messages`. When it returns `start`, the first fits into no batch.
        """
        from azure.servicebus.exceptions import MessageSizeExceededError

        at = start
        try:
            while at < end:
                batch.add_message(self.message(messages[at]))
                at += 1
                if self._trusted and self._same(batch, messages[at - 1]):
                    return self._add(batch, messages, at, end)
        except MessageSizeExceededError:
            pass  # for the next batch, or for none
        return at

    def message(self, prepared: Prepared) -> ServiceBusMessage:
        """Return a message as the library has it."""
        from azure.servicebus import ServiceBusMessage

        properties: dict[Any, Any] = dict(prepared.properties)
        return ServiceBusMessage(
            prepared.body,
            application_properties=properties,
            message_id=prepared.message_id,
            content_type=self._content_type,
            subject=prepared.subject or None,
            session_id=prepared.lane if self._sessions else None,
            partition_key=None if self._sessions else prepared.lane,
        )

    def encoded(self, message: Prepared) -> bytes:
        """Return the bytes of a message: annotations, properties, application properties and data."""
        lane = None if message.lane is None else _sized(_STRING, message.lane.encode())
        subject = _sized(_STRING, message.subject.encode()) if message.subject else _NULL
        fields = [_sized(_STRING, message.message_id.encode()), _NULL * 2, subject, self._content]
        fields += [lane if lane is not None and self._sessions else _NULL, _NULL * 2]
        parts = [_PROPERTIES, _compound(_LIST, _FIELDS, b"".join(fields))]
        if lane is not None and not self._sessions:
            parts[:0] = [_ANNOTATIONS, _compound(_MAP, 2, _PARTITION_KEY + lane)]
        if message.properties:
            parts += [_APPLICATION, self._application(message.properties)]
        parts += [_DATA, _sized(_BINARY, message.body)]
        return b"".join(parts)

    def _application(self, properties: dict[str, bool | int | str]) -> bytes:
        names = self._names
        pairs: list[bytes] = []
        for name, value in properties.items():
            known = names.get(name)
            if known is None:
                known = names[name] = _sized(_STRING, name.encode())
            pairs.append(known)
            if isinstance(value, str):
                pairs.append(_sized(_STRING, value.encode()))
            elif isinstance(value, bool):
                pairs.append(_TRUE if value else _FALSE)
            else:
                pairs.append(_small(0x54, value) if -128 <= value <= 127 else _large(0x71, value))
        return _compound(_MAP, 2 * len(properties), b"".join(pairs))

    # -- the batch of the library ---------------------------------------------------------------------------

    def _same(self, batch: Any, message: Prepared) -> bool:
        """Whether the library has packed a message to what we make of it, and where it is expected to be."""
        try:
            packed = batch._message[5]  # test_packing.py holds what is used of a batch to what it is
            self._trusted = len(packed) == batch._count == 1 and packed[0] == self.encoded(message)
        except (AttributeError, LookupError, TypeError):
            self._trusted = False
        if not self._trusted:
            log("this release of azure-servicebus packs messages in another way: it is left to it, and slower")
        return self._trusted

    def _add(self, batch: Any, messages: Sequence[Prepared], at: int, end: int) -> int:
        """Add messages behind the first, as the library does, while they fit; return the place behind the last."""
        packed, size, limit = batch._message[5], batch._size, batch.max_size_in_bytes
        while at < end:
            one = self.encoded(messages[at])
            grown = size + len(one) + (5 if len(one) < 256 else 8)
            if grown > limit:
                break
            packed.append(one)
            size = grown
            at += 1
        batch._size, batch._count = size, len(packed)
        return at


def _sized(constructors: tuple[bytes, bytes], value: bytes) -> bytes:
    """Return a value of variable width."""
    length = len(value)
    if length < 256:
        return constructors[0] + _BYTES[length] + value
    return constructors[1] + _length(length) + value


def _compound(constructors: tuple[bytes, bytes], count: int, values: bytes) -> bytes:
    """Return a list or map of `count` values that are encoded already."""
    size = len(values)
    if count < 256 and size < 255:
        return constructors[0] + _BYTES[size + 1] + _BYTES[count] + values
    return constructors[1] + _length(size + 4) + _length(count) + values
