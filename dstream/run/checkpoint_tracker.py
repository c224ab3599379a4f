"""CheckpointTracker: the checkpoints of a session that were passed on and acknowledged, and the newest to store.

The stored value is the one that the input sent: the output's acknowledgement only reports progress.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from dstream.bounded_json import is_too_deep
from dstream.plugins.wire import decode_object

POSITION_LIMIT = 64 * 1024
_NUMBER = re.compile(rb'"n":\s*(\d+)\s*\}\s*$')


class ProtocolBroken(Exception):
    """A provider broke the protocol; the text says how, as a sentence after the provider's name."""

    def __init__(self, side: str, text: str) -> None:
        """Blame `side`, input or output."""
        super().__init__(text)
        self.side, self.text = side, text


class Sent(Struct, frozen=True):
    """A checkpoint line as the input wrote it, and how many records of the session came before it."""

    number: int
    line: bytes
    records: int

    @property
    def position(self) -> Mapping[str, Any]:
        """The position; raises ProtocolBroken if the line holds none."""
        form = decode_object(self.line)
        position = form.get("checkpoint") if form is not None else None
        if not isinstance(position, dict):
            raise ProtocolBroken("input", f"wrote a checkpoint line that holds no position: {self.line[:200]!r}")
        return position


class CheckpointTracker:
    """Thread-safe: the pump calls `sent`, the acknowledgement reader `acknowledged`, the committer `take`."""

    def __init__(self) -> None:
        """Nothing sent yet."""
        self._lock = threading.Lock()
        self._outstanding: deque[Sent] = deque()
        self._last_sent = 0
        self._last_acknowledged = 0
        self._newest: Sent | None = None

    @property
    def all_acknowledged(self) -> bool:
        """Whether every checkpoint that was sent came back."""
        with self._lock:
            return self._last_acknowledged == self._last_sent

    @property
    def outstanding(self) -> int:
        """How many were sent after the one acknowledged last."""
        with self._lock:
            return self._last_sent - self._last_acknowledged

    def sent(self, line: bytes, records: int) -> None:
        """Note a checkpoint line of the input."""
        found = _NUMBER.search(line)
        number = int(found[1]) if found else None
        with self._lock:
            if number != self._last_sent + 1:
                expected = self._last_sent + 1
                raise ProtocolBroken("input", f"numbered a checkpoint {number} where {expected} was next.")
            if len(line) > POSITION_LIMIT + 64:
                raise ProtocolBroken("input", f"wrote a checkpoint of {len(line)} bytes; {POSITION_LIMIT} are allowed.")
            self._last_sent = number
            self._outstanding.append(Sent(number, line, records))

    def acknowledged(self, line: bytes) -> None:
        """Note an acknowledgement; raise ProtocolBroken unless it was sent, and is newer than the last one."""
        form = decode_object(line)
        number = form.get("n") if form is not None else None
        if form is None or not isinstance(number, int) or isinstance(number, bool):
            raise ProtocolBroken("output", f"wrote an acknowledgement without a number: {line[:200]!r}")
        if is_too_deep(form.get("checkpoint")):  # it can be read, and not be written again
            raise ProtocolBroken("input", f"wrote a checkpoint that is nested too deeply: {line[:200]!r}")
        with self._lock:
            if number > self._last_sent:
                raise ProtocolBroken("output", f"acknowledged checkpoint {number}, which was never sent.")
            if number <= self._last_acknowledged:
                last = self._last_acknowledged
                raise ProtocolBroken("output", f"acknowledged checkpoint {number} after {last}: numbers must rise.")
            while self._outstanding[0].number < number:
                self._outstanding.popleft()
            sent = self._outstanding.popleft()
            self._last_acknowledged = number
            if line.strip() != sent.line.strip() and form.get("checkpoint") != sent.position:
                raise ProtocolBroken("output", f"acknowledged checkpoint {number} with another position than was sent.")
            self._newest = sent

    def take(self) -> Sent | None:
        """Return the newest acknowledged checkpoint that was not taken yet, or None."""
        with self._lock:
            newest, self._newest = self._newest, None
            return newest
