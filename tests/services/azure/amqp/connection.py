"""Connection: one client's connection with its sessions and links, read by a thread of its own.

What the links mean is up to a `Node`: it is told what happens to them, under the lock it names, and answers through
`Link`. Windows of sessions are not kept: a client of a test never has so much under way.
"""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from tests.services.azure.amqp.codec import Array, Described, Symbol, Ubyte, Uint, Ulong, Ushort, decode, encode

SASL_HEADER, AMQP_HEADER = b"AMQP\x03\x01\x00\x00", b"AMQP\x00\x01\x00\x00"
OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE = range(0x10, 0x19)
MECHANISMS, INIT, OUTCOME = 0x40, 0x41, 0x44
ERROR = 0x1D
ACCEPTED, REJECTED, RELEASED, MODIFIED = 0x24, 0x25, 0x26, 0x27
FRAME = 64 * 1024
CREDIT = 1000
_FRAME_HEAD = struct.Struct(">IBBH")

State = Described
ACCEPT = Described(Ulong(ACCEPTED), [])


def problem(condition: str, text: str) -> Described:
    """Return an error; some clients hang on one without the map at its end."""
    return Described(Ulong(ERROR), [Symbol(condition), text, {Symbol("stand-in"): "service-bus"}])


def reject(condition: str, text: str) -> State:
    """Return the outcome that refuses a message."""
    return Described(Ulong(REJECTED), [problem(condition, text)])


class Drop(Exception):
    """The node wants the connection to break, here and now."""


class Node(Protocol):
    """What the links lead to. Every call is made with `lock` held."""

    lock: Any
    max_message_size: int

    def attached(self, link: Link) -> Described | None:
        """A link was opened; an error closes it again. May change what it says of itself."""

    def received(self, link: Link, payload: bytes, message_format: int) -> State | None:
        """A message came; its outcome, or None for no answer at all."""

    def settled(self, link: Link, tag: bytes, state: State | None) -> State:
        """The client says what became of a message sent to it; how that is taken."""

    def credited(self, link: Link) -> None:
        """The client wants more messages."""

    def detached(self, link: Link) -> None:
        """A link is gone, with its connection or alone."""


@dataclass(eq=False)
class Link:
    """One direction of messages between a client and an address. `sending` is seen from here."""

    connection: Connection
    channel: int
    handle: int
    name: str
    sending: bool
    address: str
    source: list[Any]
    target: list[Any]
    settle_mode: int
    max_message_size: int
    properties: dict[str, Any] = field(default_factory=dict)
    credit: int = 0
    delivery_count: int = 0
    draining: bool = False
    open: bool = True
    what: Any = None
    """The node's own note."""
    _parts: list[bytes] = field(default_factory=list)
    _delivery: int = 0
    _format: int = 0
    _settled: bool = False

    def send(self, payload: bytes, tag: bytes) -> None:
        """Send a message; takes one credit."""
        self.credit -= 1
        self.delivery_count += 1
        self.connection.transfer(self, payload, tag)

    def close(self, error: Described | None = None) -> None:
        """Close the link from here."""
        if self.open:
            self.open = False
            self.connection.send(self.channel, DETACH, [Uint(self.handle), True, error])

    def drained(self) -> None:
        """Tell the client that no more comes for the credit it has given."""
        self.delivery_count += self.credit
        self.credit = 0
        self.connection.flow(self)


class Connection:
    """One connection. `run` returns when it is over."""

    def __init__(self, reader: BinaryIO, write: Callable[[bytes], None], node: Node) -> None:
        self._reader, self._write, self.node = reader, write, node
        self._writing = threading.Lock()
        self.links: dict[tuple[int, int], Link] = {}
        """By the channel and the client's handle."""
        self.note: dict[str, Any] = {}
        """The node's own note."""
        self._out_handle = 0
        self._delivery = 0
        self._sent: dict[int, tuple[Link, bytes]] = {}
        self._frame = FRAME
        self._idle = 0.0
        self._last_write = time.monotonic()

    def run(self) -> None:
        """Serve until either side ends it."""
        try:
            self._greet()
            while (frame := self._read()) is not None:
                channel, code, fields, payload = frame
                if code and not self._handle(channel, code, fields, payload):
                    break
        except (OSError, Drop):
            pass
        finally:
            with self.node.lock:
                for link in list(self.links.values()):
                    link.open = False
                    self.node.detached(link)
                self.links.clear()

    # -- frames --------------------------------------------------------------------------------------

    def _greet(self) -> None:
        header = self._reader.read(8)
        if header == SASL_HEADER:
            self._put(SASL_HEADER)
            self._put(_frame(1, 0, MECHANISMS, [Array(0xB3, ("MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"))]))
            self._read()
            self._put(_frame(1, 0, OUTCOME, [Ubyte(0)]))
            header = self._reader.read(8)
        if header != AMQP_HEADER:
            raise ValueError(f"not AMQP 1.0: {header!r}")
        self._put(AMQP_HEADER)

    def _read(self) -> tuple[int, int, list[Any], bytes] | None:
        head = self._reader.read(8)
        if len(head) < 8:
            return None
        size, offset, _, channel = _FRAME_HEAD.unpack(head)
        body = self._reader.read(size - 8)
        if len(body) < size - 8:
            return None
        start = offset * 4 - 8
        if start >= len(body):
            return channel, 0, [], b""
        made, at = decode(body, start)
        return channel, int(made.descriptor), made.value, body[at:]

    def _put(self, data: bytes) -> None:
        with self._writing:
            self._last_write = time.monotonic()
            self._write(data)

    def send(self, channel: int, code: int, fields: list[Any], payload: bytes = b"") -> None:
        """Send a frame; a client that is gone is no error."""
        with contextlib.suppress(OSError):
            self._put(_frame(0, channel, code, fields, payload))

    def keep_alive(self) -> None:
        """Send an empty frame, if the client would else take this end for dead."""
        if self._idle and time.monotonic() - self._last_write > self._idle:
            with contextlib.suppress(OSError):
                self._put(_FRAME_HEAD.pack(8, 2, 0, 0))

    def close(self, error: Described) -> None:
        """Close the connection from here."""
        self.send(0, CLOSE, [error])

    def flow(self, link: Link) -> None:
        """Say where a link stands."""
        big = Uint(2**31 - 1)
        mine = [Uint(link.delivery_count), Uint(link.credit), Uint(0), link.draining]
        self.send(link.channel, FLOW, [Uint(0), big, Uint(self._delivery), big, Uint(link.handle), *mine])

    def transfer(self, link: Link, payload: bytes, tag: bytes) -> None:
        """Send a message in as many frames as it takes."""
        number = self._delivery
        self._delivery += 1
        settled = link.settle_mode == 1
        if not settled:
            self._sent[number] = (link, tag)
        room = self._frame - 512
        pieces = [payload[at : at + room] for at in range(0, len(payload), room)] or [b""]
        for at, piece in enumerate(pieces):
            more = at + 1 < len(pieces)
            head = [Uint(link.handle), Uint(number), tag, Uint(0), settled, more]
            self.send(link.channel, TRANSFER, head, piece)

    # -- what clients say ------------------------------------------------------------------------------

    def _handle(self, channel: int, code: int, fields: list[Any], payload: bytes) -> bool:
        """Do what a frame asks for; False ends the connection."""
        get = _getter(fields)
        if code == OPEN:
            self._frame = min(FRAME, int(get(2) or FRAME))
            self._idle = int(get(4) or 0) / 2000
            self.send(0, OPEN, ["stand-in", None, Uint(FRAME), Ushort(255), Uint(240_000)])
        elif code == BEGIN:
            self.send(channel, BEGIN, [Ushort(channel), Uint(0), Uint(2**31 - 1), Uint(2**31 - 1), Uint(1024)])
        elif code == ATTACH:
            with self.node.lock:
                self._attach(channel, get)
        elif code == FLOW and get(4) is not None:
            with self.node.lock:
                self._credit(channel, get)
        elif code == TRANSFER:
            self._transfer(channel, get, payload)
        elif code == DISPOSITION and get(0):
            with self.node.lock:
                self._disposition(channel, get)
        elif code == DETACH:
            with self.node.lock:
                link = self.links.pop((channel, int(get(0))), None)
                if link is not None:
                    self.node.detached(link)
                    link.close()
        elif code == END:
            self.send(channel, END, [])
        elif code == CLOSE:
            self.send(0, CLOSE, [])
            return False
        return True

    def _attach(self, channel: int, get: Callable[[int], Any]) -> None:
        sending = bool(get(2))  # the client's role is receiver
        source, target = (each.value if each is not None else [] for each in (get(5), get(6)))
        address = str((source if sending else target or [""])[0] or "")
        self._out_handle += 1
        mode = get(3)
        settle_mode = 2 if mode is None else int(mode)
        size = self.node.max_message_size
        link = Link(self, channel, self._out_handle, str(get(0)), sending, address, source, target, settle_mode, size)
        link.properties = {str(key): value for key, value in (get(13) or {}).items()}
        self.links[channel, int(get(1))] = link
        error = self.node.attached(link)
        answer: list[Any] = [link.name, Uint(link.handle), not sending, mode, get(4)]
        answer += [Described(Ulong(0x28), link.source), Described(Ulong(0x29), link.target), None, None]
        answer += [Uint(0) if sending else None, Ulong(link.max_message_size), None, None]
        answer.append({Symbol(key): value for key, value in link.properties.items()} or None)
        self.send(channel, ATTACH, answer)
        if error is not None:
            link.close(error)
        elif not sending:
            link.credit, link.delivery_count = CREDIT, int(get(9) or 0)
            self.flow(link)

    def _credit(self, channel: int, get: Callable[[int], Any]) -> None:
        link = self.links.get((channel, int(get(4))))
        if link is None or not link.sending:
            return
        link.credit = int(get(6) or 0) + int(get(5) or 0) - link.delivery_count
        link.draining = bool(get(8))
        if link.open:
            self.node.credited(link)

    def _transfer(self, channel: int, get: Callable[[int], Any], payload: bytes) -> None:
        link = self.links.get((channel, int(get(0))))
        if link is None:
            return
        if get(1) is not None:
            link._delivery, link._format, link._settled = int(get(1)), int(get(3) or 0), bool(get(4))
        link._parts.append(payload)
        if get(5):
            return
        whole = b"".join(link._parts)
        link._parts.clear()
        if get(9) or not link.open:  # aborted, or on a link that was refused: the detach is the answer
            return
        with self.node.lock:
            state = self.node.received(link, whole, link._format)
            link.credit, link.delivery_count = link.credit - 1, link.delivery_count + 1
            if state is not None and not link._settled:
                self.send(channel, DISPOSITION, [True, Uint(link._delivery), Uint(link._delivery), True, state])
            if link.credit < CREDIT // 2:
                link.credit = CREDIT
                self.flow(link)

    def _disposition(self, channel: int, get: Callable[[int], Any]) -> None:
        first = int(get(1))
        for number in range(first, int(get(2) if get(2) is not None else first) + 1):
            link, tag = self._sent.get(number, (None, b""))
            if link is None:
                continue
            state = get(4)
            if state is not None or get(3):
                del self._sent[number]
                taken = self.node.settled(link, tag, state)
                self.send(channel, DISPOSITION, [False, Uint(number), Uint(number), True, taken])


def _frame(kind: int, channel: int, code: int, fields: list[Any], payload: bytes = b"") -> bytes:
    body = encode(Described(Ulong(code), fields))
    return _FRAME_HEAD.pack(8 + len(body) + len(payload), 2, kind, channel) + body + payload


def _getter(fields: list[Any]) -> Callable[[int], Any]:
    return lambda at: fields[at] if at < len(fields) else None
