"""Committer: takes an acknowledged checkpoint through its last steps: dead letters durable, stored, committed.

The order is the promise: a position is stored before it is committed, acknowledged before it is stored, and the records
that the output rejected before it are then in the dead letters. Only the newest checkpoint matters, so those that pile
up while one is being stored are passed over.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dstream.diagnostics import error
from dstream.plugins.wire import encode
from dstream.run.checkpoint_tracker import CheckpointTracker, ProtocolBroken, Sent
from dstream.run.end_reason import Failure, SessionOver
from dstream.run.failpoints import fault

if TYPE_CHECKING:
    from dstream_state import Checkpoint, TaskLease

_RETRY = 0.25
"""Seconds until a `committed` line is written again to an input that does not read."""
_PENDING_LIMIT = 8 * 1024 * 1024
_REJECT = b'{"reject":{"envelope":'
_TOO_MANY = (
    "More records were rejected than max_dead_letters of the task allows. They are kept: dstream dlq list shows them. "
    "Fix the cause or raise max_dead_letters, then run the task again."
)


class Committer:
    """`run` is a thread of the session; `reject` and `notify` are called by the thread that reads the output."""

    def __init__(
        self,
        tracker: CheckpointTracker,
        lease: TaskLease,
        template: Checkpoint,
        *,
        interval: float,
        on_stored: Callable[[Sent], None],
        max_dead_letters: int | None = None,
    ) -> None:
        """Store positions in the form of `template`, at most once in `interval` seconds.

        More than `max_dead_letters` end the session.
        """
        self._tracker, self._lease, self._template = tracker, lease, template
        self._interval, self._on_stored = interval, on_stored
        self._max_dead_letters = max_dead_letters
        self._to_input: int | None = None
        self._letters: list[tuple[bytes, str]] = []
        self._letters_size = 0
        self._lock = threading.Lock()
        self._wake = threading.Condition()
        self._closing = self._notified = False
        self._unwritten = b""
        self._next_commit: Sent | None = None
        stored = lease.checkpoint
        self.position: Mapping[str, Any] | None = stored.position if stored is not None else None
        """The position that is stored, which the next session starts behind."""
        self.stored_records = 0
        """Records of the session before `position`."""
        self.dead_letters = 0
        """Dead letters that the session has added."""

    def attach(self, to_input: int) -> None:
        """Write `committed` lines to the descriptor `to_input` from now on."""
        os.set_blocking(to_input, False)
        self._to_input = to_input

    def notify(self) -> None:
        """Report that a checkpoint was acknowledged."""
        with self._wake:
            self._notified = True
            self._wake.notify()

    def close(self) -> None:
        """Let `run` return once it has stored everything acknowledged so far."""
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

    def keep_letters(self, more: Sequence[tuple[bytes, str]] = ()) -> None:
        """Make the pending dead letters durable, and `more`; raise SessionOver if there are too many by now."""
        with self._lock:
            letters, self._letters = [*self._letters, *more], []
            self._letters_size = 0
            if letters:
                self._lease.dead_letters.append(letters)
                self.dead_letters += len(letters)
        if letters and self._max_dead_letters is not None and self.dead_letters > self._max_dead_letters:
            found = error("Too many dead letters", _TOO_MANY)
            raise SessionOver(Failure((found,), final=True, too_many_dead_letters=True))

    def run(self) -> None:
        """Store and commit until closed. Raises what the state raises, ProtocolBroken and SessionOver."""
        next_at = 0.0
        while True:
            with self._wake:
                closing = self._closing
                if not closing:
                    self._pause(next_at - time.monotonic())
                    closing = self._closing
            if not closing and time.monotonic() < next_at:
                continue
            self._flush_committed()
            self._notified = False  # before the look: what is acknowledged after it notifies again
            sent = self._tracker.take()
            if sent is not None:
                self.take(sent)
                next_at = time.monotonic() + self._interval
            elif closing:
                return

    def _pause(self, interval: float) -> None:
        """Wait until there may be something to store, and for `interval`; holding `_wake`."""
        if interval > 0:
            self._wake.wait(max(interval, 0.01))
        elif not self._notified:
            self._wake.wait(_RETRY if self._unwritten or self._next_commit is not None else None)

    def take(self, sent: Sent) -> None:
        """Take one acknowledged checkpoint through all steps."""
        fault("after_ack_before_store")
        self.keep_letters()
        self.store(sent)
        fault("after_store_before_commit")
        self.commit(sent)

    def store(self, sent: Sent) -> None:
        """Store the position under the lease."""
        self._lease.store(replace(self._template, position=sent.position))
        self.position, self.stored_records = sent.position, sent.records
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
    """Return envelope (its original bytes, if the line has the usual form) and reason of a reject line."""
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
