"""AMQP inside of WebSockets (RFC 6455), as the service offers it on port 443: a reader and a writer over one socket.

Only what a client of the service sends: whole binary messages, pings, and the end.
"""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import threading
from collections.abc import Callable, Mapping
from typing import BinaryIO

PATH = "/$servicebus/websocket"
PROTOCOL = "AMQPWSB10"
_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BINARY, _CLOSE, _PING, _PONG = 2, 8, 9, 10


def handshake(headers: Mapping[str, str]) -> bytes:
    """Return the answer to a client's request; ValueError if it does not ask for AMQP."""
    if headers.get("sec-websocket-protocol") != PROTOCOL:
        raise ValueError(f"the subprotocol is not {PROTOCOL}")
    proof = base64.b64encode(hashlib.sha1((headers["sec-websocket-key"] + _MAGIC).encode()).digest()).decode()
    upgrade = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
    chosen = (f"Sec-WebSocket-Accept: {proof}", f"Sec-WebSocket-Protocol: {PROTOCOL}")
    return "\r\n".join((*upgrade, *chosen, "", "")).encode()


class Messages(io.RawIOBase):
    """Reads the bytes inside of a client's messages; `send` puts bytes into one."""

    def __init__(self, reader: BinaryIO, write: Callable[[bytes], None]) -> None:
        super().__init__()
        self._reader, self._write = reader, write
        self._writing = threading.Lock()
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        while not self._left:
            found = self._message()
            if found is None:
                return 0
            self._left = found
        view = memoryview(buffer)  # type: ignore[arg-type]  # what RawIOBase is given
        size = min(len(view), len(self._left))
        view[:size], self._left = self._left[:size], self._left[size:]
        return size

    def send(self, data: bytes) -> None:
        """Send bytes as one message."""
        self._frame(_BINARY, data)

    def _frame(self, code: int, data: bytes) -> None:
        size = len(data)
        length = struct.pack(">BH", 126, size) if size < 65536 else struct.pack(">BQ", 127, size)
        length = bytes((size,)) if size < 126 else length
        with self._writing:
            self._write(bytes((0x80 | code,)) + length + data)

    def _message(self) -> bytes | None:
        """Return the bytes of the next frame with data, None at the end."""
        while True:
            head = self._reader.read(2)
            if len(head) < 2:
                return None
            code, size = head[0] & 15, head[1] & 127
            if size >= 126:
                wide = self._reader.read(2 if size == 126 else 8)
                size = int.from_bytes(wide, "big")
            mask = self._reader.read(4)
            data = self._reader.read(size)
            if len(data) < size or code == _CLOSE:
                return None
            masks = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
            clear = (int.from_bytes(data, "big") ^ masks).to_bytes(size, "big")
            if code == _PING:
                self._frame(_PONG, clear)
            elif code <= _BINARY:
                return clear
