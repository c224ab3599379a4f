"""The settler: takes an acknowledged checkpoint through its last steps: dead letters durable, stored, committed.

The order is the promise: what is committed is stored, what is stored was acknowledged, and what an output refused
before it acknowledged is in the dead letters by then. Only the newest checkpoint matters, so those that pile up while
one is being stored are passed over.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from dstream.plugins.wire import encode
from dstream.run.checkpoint_tracker import Ledger, ProtocolBroken, Sent
from dstream.run.failpoints import fault

if TYPE_CHECKING:
    from dstream_state import Checkpoint, TaskLease

_PENDING_LIMIT = 8 * 1024 * 1024
_REJECT = b'{"reject":{"envelope":'


class Settler:
    """One thread per session. `reject` is called by the reader of the output's lines, `run` is the thread."""

    def __init__(
        self,
        ledger: Ledger,
        lease: TaskLease,
        template: Checkpoint,
        to_input: int | None,
        *,
        interval: float,
        on_stored: Callable[[Sent], None],
    ) -> None:
        """Store positions in the form of `template`, and write `committed` lines to the descriptor `to_input`."""
        self._ledger, self._lease, self._template = ledger, lease, template
        self._to_input, self._interval, self._on_stored = to_input, interval, on_stored
        self._letters: list[tuple[bytes, str]] = []
        self._letters_size = 0
        self._lock = threading.Lock()
        self._wake = threading.Condition()
        self._closing = False
        self._unwritten = b""
        self._next_commit: Sent | None = None
        self.dead_letters = 0

    def notify(self) -> None:
        """Say that a checkpoint was acknowledged."""
        with self._wake:
            self._wake.notify()

    def close(self) -> None:
        """Settle what was acknowledged by now, then let `run` return."""
        with self._wake:
            self._closing = True
            self._wake.notify()

    def reject(self, line: bytes) -> None:
        """Take a reject line; it is durable before a later acknowledgement is stored."""
        letter = parse_reject(line)
        with self._lock:
            self._letters.append(letter)
            self._letters_size += len(letter[0])
            full = self._letters_size > _PENDING_LIMIT
        if full:
            self.keep_letters()

    def keep_letters(self) -> None:
        """Make the dead letters that wait durable."""
        with self._lock:
            letters, self._letters = self._letters, []
            self._letters_size = 0
            if letters:
                self._lease.dead_letters.append(letters)
                self.dead_letters += len(letters)

    def run(self) -> None:
        """Settle until closed. Raises what the state raises, and ProtocolBroken."""
        next_at = 0.0
        while True:
            with self._wake:
                closing = self._closing
                if not closing:
                    wait = next_at - time.monotonic()
                    self._wake.wait(max(wait, 0.01) if wait > 0 else 0.25)
                    closing = self._closing
            if not closing and time.monotonic() < next_at:
                continue
            self._flush_committed()
            sent = self._ledger.take()
            if sent is not None:
                self.settle(sent)
                next_at = time.monotonic() + self._interval
            elif closing:
                return

    def settle(self, sent: Sent) -> None:
        """Take one acknowledged checkpoint through all steps."""
        fault("after_ack_before_store")
        self.keep_letters()
        self.store(sent)
        fault("after_store_before_commit")
        self.commit(sent)

    def store(self, sent: Sent) -> None:
        """Store the position under the lease."""
        self._lease.store(replace(self._template, position=sent.position))
        self._on_stored(sent)

    def commit(self, sent: Sent) -> None:
        """Tell the input that it may release its source up to here."""
        self._next_commit = sent
        self._flush_committed()

    def _flush_committed(self) -> None:
        """Write as much as the input takes: an input that does not read must not stop the host."""
        while self._to_input is not None:
            if not self._unwritten:
                sent, self._next_commit = self._next_commit, None
                if sent is None:
                    return
                self._unwritten = encode({"committed": {"n": sent.number, "checkpoint": sent.position}})
            try:
                written = os.write(self._to_input, self._unwritten)
            except BlockingIOError:
                return
            except OSError as problem:
                if problem.errno not in (errno.EPIPE, errno.EBADF):
                    raise
                self._to_input = None
                return
            self._unwritten = self._unwritten[written:]


def parse_reject(line: bytes) -> tuple[bytes, str]:
    """Return envelope (its bytes as they came, where the line has the usual form) and reason of a reject line."""
    try:
        text = line.decode()
        form = json.loads(text)["reject"]
        envelope, reason = form["envelope"], str(form.get("reason") or "no reason given")
        if line.startswith(_REJECT):
            start = len(_REJECT)
            _, end = json.JSONDecoder().raw_decode(text, start)
            raw = text[start:end].encode()
        else:
            raw = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ProtocolBroken("output", f"wrote a reject line of another form: {line[:200]!r}") from None
    return (envelope.encode() if isinstance(envelope, str) else raw), reason
