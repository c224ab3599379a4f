"""Packer: fills a batch of the client library with messages, encoded in AMQP 1.0.

The library encodes each message twice, field by field: once for its size, and once for the batch. That is most of the
cost of sending. The packer encodes it once, to the same bytes. The library packs the first message of each batch: if
the bytes or the layout of the batch differ from what the packer expects, the library packs all messages.

Encoding: OASIS AMQP 1.0, part 1 section 1.6 (types) and part 3 section 3.2 (sections of a message).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dstream_sdk import log
from dstream_servicebus.outgoing_messages import Prepared, properties_of, property_of

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch

_ANNOTATIONS, _PROPERTIES, _APPLICATION, _DATA = b"\0\x53\x72", b"\0\x53\x73", b"\0\x53\x74", b"\0\x53\x75"
_BINARY, _SYMBOL = (b"\xa0", b"\xb0"), (b"\xa3", b"\xb3")
_LIST, _MAP = (b"\xc0", b"\xd0"), (b"\xc1", b"\xd1")
"""Constructors with a length of one byte, and of four bytes."""
_NULL, _FALSE, _TRUE = b"\x40", b"\x56\0", b"\x56\1"
_BYTES = tuple(bytes((n,)) for n in range(256))
_SHORT = tuple(b"\xa1" + each for each in _BYTES)
"""The prefix of strings shorter than 256 bytes; longer ones start with b1 and four bytes of length."""
_length, _small, _large = struct.Struct(">I").pack, struct.Struct(">Bb").pack, struct.Struct(">Bi").pack
_FIELDS = 13
"""The number of message properties, from message-id to reply-to-group-id. The library writes all of them."""
_MOST_NAMES = 1000
"""The size of the cache of encoded property names."""
_PARTITION_KEY = b"\xa3\x13x-opt-partition-key"


class Packer:
    """Encodes messages according to the settings, and fills batches with them."""

    def __init__(self, content_type: str, sessions: bool) -> None:
        """With `sessions`, the lane of a message is its session id, otherwise its partition key."""
        self._content_type, self._sessions = content_type, sessions
        self._content = _NULL * 2 + _sized(_SYMBOL, content_type.encode()) + _NULL * 3  # reply-to to creation-time
        self._names: dict[str, bytes] = {}
        self._trusted = True

    def fill(self, batch: ServiceBusMessageBatch, messages: Sequence[Prepared], start: int, end: int) -> int:
        """Add `messages[start:end]` to an empty batch while they fit, and return the index after the last one.

        Returns `start` if the first message does not fit into a batch.
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
            pass  # the message goes into the next batch, or into none
        return at

    def message(self, prepared: Prepared) -> ServiceBusMessage:
        """Return the library's form of a message."""
        from azure.servicebus import ServiceBusMessage

        properties: dict[Any, Any] = dict(properties_of(prepared.metadata))
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
        """Encode a message: annotations, properties, application properties and data."""
        subject = _text(message.subject) if message.subject else _NULL
        annotations, group = b"", _NULL
        if message.lane is not None:
            lane = _text(message.lane)
            if self._sessions:
                group = lane
            else:
                annotations = _ANNOTATIONS + _compound(_MAP, 2, _PARTITION_KEY + lane)
        fields = b"".join((_text(message.message_id), _NULL, _NULL, subject, self._content, group, _NULL, _NULL))
        properties = _PROPERTIES + _compound(_LIST, _FIELDS, fields)
        return b"".join(
            (annotations, properties, self._application(message.metadata), _DATA, _sized(_BINARY, message.body))
        )

    def _application(self, metadata: Mapping[str, Any]) -> bytes:
        """Encode metadata as application properties, equivalent to encoding `properties_of(metadata)`."""
        names, pairs = self._names, list[bytes]()
        try:
            for name, value in metadata.items():
                known = names.get(name) or self._name(name)
                if value.__class__ is str and len(text := value.encode()) < 256:  # most are
                    pairs.append(known + _SHORT[len(text)] + text)
                elif (found := property_of(value)) is not None:
                    pairs.append(known + _plain(found))
        except UnicodeEncodeError:  # contains invalid text, which `properties_of` leaves out
            return self._application(properties_of(metadata))
        return _APPLICATION + _compound(_MAP, 2 * len(pairs), b"".join(pairs)) if pairs else b""

    def _name(self, name: str) -> bytes:
        """Encode the name of a property, and cache it."""
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()
        self._names[name] = known = _text(name)
        return known

    # -- the batch of the library ---------------------------------------------------------------------------

    def _same(self, batch: Any, message: Prepared) -> bool:
        """Return whether the library packed a message to the same bytes, and to the expected place in the batch."""
        try:
            packed = batch._message[5]  # test_packing.py checks these private attributes
            self._trusted = len(packed) == batch._count == 1 and packed[0] == self.encoded(message)
        except (AttributeError, LookupError, TypeError):
            self._trusted = False
        if not self._trusted:
            log("this release of azure-servicebus packs messages differently; using its own, slower packing")
        return self._trusted

    def _add(self, batch: Any, messages: Sequence[Prepared], at: int, end: int) -> int:
        """Append messages to the first one while they fit, as the library does. Returns the index after the last."""
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


def _plain(value: bool | int | str) -> bytes:
    """Encode the value of an application property."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    return _small(0x54, value) if -128 <= value <= 127 else _large(0x71, value)


def _text(value: str) -> bytes:
    """Encode a string."""
    text = value.encode()
    return _SHORT[len(text)] + text if len(text) < 256 else b"\xb1" + _length(len(text)) + text


def _sized(constructors: tuple[bytes, bytes], value: bytes) -> bytes:
    """Encode a value of variable width."""
    length = len(value)
    if length < 256:
        return constructors[0] + _BYTES[length] + value
    return constructors[1] + _length(length) + value


def _compound(constructors: tuple[bytes, bytes], count: int, values: bytes) -> bytes:
    """Encode a list or map of `count` encoded values."""
    size = len(values)
    if count < 256 and size < 255:
        return constructors[0] + _BYTES[size + 1] + _BYTES[count] + values
    return constructors[1] + _length(size + 4) + _length(count) + values
