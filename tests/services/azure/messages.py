"""Message and Store: what a queue or subscription holds, and what receivers do with it.

Peek-lock with expiring locks, delivery counts, dead letters, deferral, sessions, scheduled messages and duplicate
detection. Time is `clock()`, so that a test may move it.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.services.azure.amqp.codec import Described, Symbol, Timestamp, Uint, Ulong, decode, encode, end_of
from tests.services.azure.model import FOREVER

BATCH = 0x80013700
"""The message format of a transfer whose data sections are messages."""
HEADER, DELIVERY, ANNOTATIONS, PROPERTIES, APPLICATION, DATA, SEQUENCE, VALUE, FOOTER = range(0x70, 0x79)


class NotTaken(Exception):
    """A message is refused: the condition, and a sentence."""

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(text)
        self.condition, self.text = condition, text


@dataclass
class Message:
    """One message, parsed as far as a broker needs it."""

    header: list[Any]
    annotations: dict[Any, Any]
    properties: list[Any]
    sections: dict[int, bytes]
    """The sections that are passed on as they came, by their code."""
    size: int
    sequence: int = 0
    enqueued: float = 0.0
    not_before: float = 0.0
    deliveries: int = 0

    @property
    def message_id(self) -> Any:
        """Return what the sender calls it."""
        return _at(self.properties, 0)

    @property
    def session_id(self) -> Any:
        """Return the session that it belongs to, None without one."""
        return _at(self.properties, 10)

    @property
    def subject(self) -> Any:
        """Return its subject, also called label."""
        return _at(self.properties, 3)

    @property
    def content_type(self) -> Any:
        """Return what its body is."""
        return _at(self.properties, 6)

    @property
    def partition_key(self) -> Any:
        """Return what chooses its partition."""
        return self.annotations.get(Symbol("x-opt-partition-key"))

    @property
    def body(self) -> bytes:
        """Return its data."""
        return bytes(decode(self.sections[DATA])[0].value) if DATA in self.sections else b""

    @property
    def application_properties(self) -> dict[str, Any]:
        """Return what the sender put on it."""
        found = self.sections.get(APPLICATION)
        return dict(decode(found)[0].value) if found else {}

    def copy(self) -> Message:
        """Return another one for another subscription."""
        return Message(list(self.header), dict(self.annotations), list(self.properties), dict(self.sections), self.size)

    def json(self) -> Any:
        """Return its data, as JSON."""
        return json.loads(self.body)

    def encode(self, locked_until: float | None = None, **more: Any) -> bytes:
        """Return it as a receiver gets it."""
        header = [*self.header, *[None] * (5 - len(self.header))]
        header[4] = Uint(self.deliveries)
        annotations = {
            **self.annotations,
            Symbol("x-opt-sequence-number"): self.sequence,
            Symbol("x-opt-enqueued-time"): Timestamp(int(self.enqueued * 1000)),
            **{Symbol(key): value for key, value in more.items()},
        }
        if locked_until is not None:
            annotations[Symbol("x-opt-locked-until")] = Timestamp(int(locked_until * 1000))
        parts = [_section(HEADER, header), _section(ANNOTATIONS, annotations), _section(PROPERTIES, self.properties)]
        parts += [self.sections[code] for code in sorted(self.sections)]
        return b"".join(parts)

    def blame(self, reason: Any, description: Any) -> None:
        """Note why it is a dead letter."""
        said = {"DeadLetterReason": reason, "DeadLetterErrorDescription": description}
        properties = {**self.application_properties, **{k: v for k, v in said.items() if v is not None}}
        self.sections[APPLICATION] = _section(APPLICATION, properties)


def _at(values: list[Any], place: int) -> Any:
    return values[place] if place < len(values) else None


def _section(code: int, value: Any) -> bytes:
    return encode(Described(Ulong(code), value))


def _pieces(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(raw):
        if raw[at] != 0:
            raise ValueError("a section begins with a descriptor")
        code, _ = decode(raw, at + 1)
        end = end_of(raw, at)
        if end > len(raw):
            raise ValueError("a section is cut off")
        yield int(code), raw[at:end]
        at = end


def parse(raw: bytes) -> Message:
    """Return a message. Raises NotTaken."""
    made = Message([], {}, [], {}, len(raw))
    try:
        for code, piece in _pieces(raw):
            if code == HEADER:
                made.header = decode(piece)[0].value
            elif code == ANNOTATIONS:
                made.annotations = decode(piece)[0].value
            elif code == PROPERTIES:
                made.properties = decode(piece)[0].value
            elif code == DATA and DATA in made.sections:
                made.sections[DATA] += piece
            elif code != DELIVERY:
                made.sections[code] = piece
    except (ValueError, IndexError, TypeError) as problem:
        raise NotTaken("amqp:decode-error", f"not a message: {problem}") from None
    return made


def split(raw: bytes) -> tuple[Message, list[Message]]:
    """Return the envelope of a batch and the messages in it."""
    inner: list[Message] = []
    outer = bytearray()
    for code, piece in _pieces(raw):
        if code == DATA:
            inner.append(parse(decode(piece)[0].value))
        else:
            outer += piece
    return parse(bytes(outer)), inner


@dataclass
class Lock:
    """A message that a receiver holds."""

    message: Message
    until: float


@dataclass
class Store:
    """The messages of one queue or subscription."""

    name: str
    properties: Mapping[str, Any]
    clock: Callable[[], float] = time.time
    ready: deque[Message] = field(default_factory=deque)
    locked: dict[uuid.UUID, Lock] = field(default_factory=dict)
    deferred: dict[int, Message] = field(default_factory=dict)
    dead: deque[Message] = field(default_factory=deque)
    history: list[Message] = field(default_factory=list)
    """Every message that ever came in, duplicates left out, in order."""
    duplicates: int = 0
    taken_bytes: int = 0
    """Bytes of every message that ever came in."""
    sessions: dict[str, Any] = field(default_factory=dict)
    """Who holds which session."""
    _sequence: int = 0
    _seen: dict[Any, float] = field(default_factory=dict)

    def check(self, message: Message) -> None:
        """Refuse what this store does not take."""
        if self.properties.get("requiresSession") and message.session_id is None:
            raise NotTaken(
                "amqp:not-allowed", f"The SessionId was not set on a message for '{self.name}', which requires one."
            )
        if message.session_id is not None and message.partition_key not in (None, message.session_id):
            raise NotTaken("amqp:not-allowed", "The PartitionKey must be the SessionId.")

    def put(self, message: Message) -> int | None:
        """Take a message in; None for a duplicate."""
        now = self.clock()
        if self.properties.get("requiresDuplicateDetection") and message.message_id is not None:
            window = seconds(str(self.properties.get("duplicateDetectionHistoryTimeWindow") or "PT10M"))
            if now - self._seen.get(message.message_id, -window) < window:
                self.duplicates += 1
                return None
            self._seen[message.message_id] = now
        self._sequence += 1
        scheduled = message.annotations.get(Symbol("x-opt-scheduled-enqueue-time"))
        message.sequence, message.enqueued = self._sequence, now
        message.not_before = scheduled / 1000 if scheduled else 0.0
        self.ready.append(message)
        self.history.append(message)
        self.taken_bytes += message.size
        return self._sequence

    def everything(self) -> list[Message]:
        """Return what has not been settled, in order."""
        held = [each.message for each in list(self.locked.values())]
        return sorted([*self.ready, *held, *self.deferred.values()], key=lambda each: each.sequence)

    @property
    def size(self) -> int:
        """Return the bytes that wait."""
        held = [each.message for each in list(self.locked.values())]
        return sum(each.size for each in [*self.ready, *self.dead, *held])

    def take(self, session: str | None = None, dead: bool = False) -> tuple[uuid.UUID, Lock] | None:
        """Lock the next message for a receiver; None if there is none."""
        found = (self.dead.popleft() if self.dead else None) if dead else self._next(session)
        if found is None:
            return None
        lock = Lock(found, self.clock() + self.lock_seconds)
        token = uuid.uuid4()
        self.locked[token] = lock
        return token, lock

    @property
    def lock_seconds(self) -> float:
        """Return how long a lock lasts."""
        return seconds(str(self.properties.get("lockDuration") or "PT1M"))

    def _next(self, session: str | None) -> Message | None:
        now = self.clock()
        needs = self.properties.get("requiresSession")
        for place, each in enumerate(self.ready):
            if each.not_before <= now and (not needs or each.session_id == session):
                del self.ready[place]
                return each
        return None

    def expire(self) -> None:
        """Give back what was locked for too long, and drop what has outlived its time."""
        now = self.clock()
        for token, lock in list(self.locked.items()):
            if lock.until < now:
                del self.locked[token]
                self.give_back(lock.message)
        for each in [m for m in self.ready if (_at(m.header, 2) or 0) and m.enqueued + m.header[2] / 1000 < now]:
            self.ready.remove(each)
            if self.properties.get("deadLetteringOnMessageExpiration"):
                self._kill(each, "TTLExpiredException", "The message expired.")

    def give_back(self, message: Message, *, counts: bool = True) -> None:
        """Make a message ready again, or a dead letter after too many deliveries."""
        message.deliveries += counts
        if message.deliveries >= int(self.properties.get("maxDeliveryCount") or 10):
            self._kill(message, "MaxDeliveryCountExceeded", "Message could not be consumed in time.")
            return
        place = next((at for at, each in enumerate(self.ready) if each.sequence > message.sequence), len(self.ready))
        self.ready.insert(place, message)

    def settle(self, token: uuid.UUID, outcome: str, reason: Any = None, description: Any = None) -> bool:
        """Do with a locked message what its receiver says; False if the lock is lost."""
        lock = self.locked.pop(token, None)
        if lock is None:
            return False
        if lock.until < self.clock():
            self.give_back(lock.message)
            return False
        if outcome == "dead-letter":
            self._kill(lock.message, reason, description)
        elif outcome == "defer":
            self.deferred[lock.message.sequence] = lock.message
        elif outcome == "abandon":
            self.give_back(lock.message)
        elif outcome == "release":
            self.give_back(lock.message, counts=False)
        return True

    def _kill(self, message: Message, reason: Any, description: Any) -> None:
        message.blame(reason, description)
        self.dead.append(message)


def seconds(duration: str) -> float:
    """Return the seconds of an ISO 8601 duration of days and smaller."""
    if duration == FOREVER:
        return float("inf")
    match = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?", duration)
    if match is None:
        raise ValueError(f"not a duration: {duration}")
    return sum(float(part or 0) * unit for part, unit in zip(match.groups(), (86400, 3600, 60, 1), strict=True))
