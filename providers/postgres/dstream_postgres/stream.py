"""Stream: reads pgoutput from the slot, encodes changes, and writes checkpoints between transactions.

The loop is the provider's hot path: one read and one call of a compiled encoder per change, everything else
happens per transaction or per block of lines.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any

import orjson

from dstream_postgres import messages
from dstream_postgres.copyboth import CopyBoth, Replication
from dstream_postgres.database import rows
from dstream_postgres.encoder import Encoder, Values
from dstream_postgres.frames import Frames
from dstream_postgres.lsn import format_lsn, parse_lsn, position_prefix
from dstream_postgres.messages import (
    BEGIN,
    COMMIT,
    DELETE,
    INSERT,
    OLD_KEY,
    OLD_ROW,
    ORIGIN,
    RELATION,
    TRUNCATE,
    UPDATE,
)
from dstream_postgres.names import quote
from dstream_postgres.origins import OriginFilter
from dstream_postgres.position import Position
from dstream_postgres.relations import Relations
from dstream_postgres.wire import readable
from dstream_sdk import InputSession, ProviderError
from dstream_sdk.failpoints import armed, fault

_BLOCK = 256
_POLL = 0.05
_RECORDS_BETWEEN_CHECKPOINTS = 100_000
_BETWEEN_CHECKS = 5.0


class Stream:
    """One session of reading a slot, from `position` on.

    Changes of `relations` are delivered, others are ignored; transactions that `origins` drops are left out. `check` is
    called periodically: it makes sure that the source is still the same, and returns the position with a newer mark of
    the log. `interval` and `heartbeat` are the seconds between two checkpoints, under load and while idle.
    """

    def __init__(
        self,
        connection: Any,
        session: InputSession,
        position: Position,
        *,
        relations: Relations,
        origins: OriginFilter,
        check: Callable[[Position], Position],
        interval: float,
        heartbeat: float,
    ) -> None:
        self._connection = connection
        self._session = session
        self._position = position  # but for its LSN, which is in _lsn and moves with every transaction
        self._lsn = position.lsn
        self._relations = relations
        self._origins = origins
        self._check = check
        self._checked_at = time.monotonic()
        self._interval = interval
        self._heartbeat = heartbeat
        self._checkpointed_at = time.monotonic()
        self._checkpointed_lsn = position.lsn
        self._records_at_checkpoint = 0
        # The checkpoint that we were started from is stored.
        self._released = position.lsn if session.checkpoint_position is not None else 0
        self._polled_at = 0.0
        self._dying = armed("mid_transaction")

    def start(self) -> None:
        """Begin to read. psycopg2.errors.ObjectInUse: another process reads the slot."""
        publication = quote(self._position.publication).replace("'", "''")
        command = (
            f"START_REPLICATION SLOT {quote(self._position.slot)} LOGICAL {format_lsn(self._position.lsn)}"
            f" (proto_version '1', publication_names '{publication}')"
        )
        self._stream: Replication
        if readable(self._connection):
            self._stream = frames = Frames(self._connection)
            frames.start(command)
        else:
            self._connection.cursor().start_replication_expert(command, decode=False)
            self._stream = CopyBoth(self._connection)
        self._stream.confirm(self._released, self._lsn)

    def run(self, end: int | None) -> None:
        """Read until the session is to stop, or everything up to the LSN `end` has been emitted."""
        read = self._stream.read
        session = self._session
        relations = self._relations
        inserts, updates, encoders = relations.inserts, relations.updates, relations.encoders
        lines: list[bytes] = []
        append = lines.append
        at, tail = b"", b""
        number = xid = 0
        skip: frozenset[bytes] = frozenset()
        between = True
        while True:
            payloads = read()
            if not payloads:
                if lines:
                    session.emit_bytes(b"".join(lines), len(lines))
                    lines.clear()
                if between and self._pause(end):
                    return
                if not between:
                    select.select([self._connection], [], [], _POLL)
                continue
            for payload in payloads:
                kind = payload[0]
                if kind == INSERT:
                    fast = inserts.get(payload[1:5])
                    if fast is not None:
                        number += 1
                        if not skip or payload[1:5] not in skip:
                            append(
                                fast(payload, 8, at, number, tail)
                                or self._insert(payload, at + b"%08d" % number + tail)
                            )
                elif kind == UPDATE:
                    relation = payload[1:5]
                    fast = updates.get(relation)
                    if fast is not None:
                        number += 1
                        if not skip or relation not in skip:
                            line = fast(payload, 8, at, number, tail) if payload[5] == 78 else None
                            append(line or self._update(encoders[relation], payload, at + b"%08d" % number + tail))
                elif kind == DELETE:
                    relation = payload[1:5]
                    encoder = encoders.get(relation)
                    if encoder is not None:
                        number += 1
                        if not skip or relation not in skip:
                            append(self._delete(encoder, payload, at + b"%08d" % number + tail))
                elif kind == BEGIN:
                    lsn, xid = messages.parse_begin(payload)
                    at, tail = position_prefix(lsn), b'","TransactionID":%d}}\n' % xid
                    number, between = 0, False
                    if relations.seen:
                        skip = relations.skipped(xid)
                    elif skip:
                        skip = frozenset()
                elif kind == ORIGIN:
                    origin = messages.parse_origin(payload)
                    if self._origins.drops(origin):
                        inserts, updates, encoders = {}, {}, {}
                    else:
                        tail = b'","TransactionID":%d,"Origin":%b}}\n' % (xid, orjson.dumps(origin))
                elif kind == COMMIT:
                    between = True
                    inserts, updates, encoders = relations.inserts, relations.updates, relations.encoders
                    if self._dying and number:
                        self._die_within(lines)
                    if lines and session.max_records is not None:
                        session.emit_bytes(b"".join(lines), len(lines))
                        lines.clear()
                    self._advance(messages.parse_commit_end(payload))
                    done = session.stopping or (end is not None and self._lsn >= end)
                    if done or self._due(len(lines)):
                        if lines:
                            session.emit_bytes(b"".join(lines), len(lines))
                            lines.clear()
                        self._checkpoint(last=done)
                        if done:
                            return
                elif kind == RELATION:
                    if lines:
                        session.emit_bytes(b"".join(lines), len(lines))
                        lines.clear()
                    relation = relations.learn(payload, self._position.tables, xid)
                    if relation in relations.seen and relations.seen[relation].sees(xid):
                        skip |= {relation}
                elif kind == TRUNCATE:
                    for relation in messages.parse_truncate(payload):
                        encoder = encoders.get(relation)
                        if encoder is not None:
                            number += 1
                            if relation not in skip:
                                append(encoder.truncate(at + b"%08d" % number + tail))
                if len(lines) >= _BLOCK:
                    session.emit_bytes(b"".join(lines), len(lines))
                    lines.clear()

    def release(self) -> None:
        """Tell the server how far changes are stored behind us; it may forget what is before."""
        committed = self._session.committed
        lsn = parse_lsn(committed["lsn"]) if committed is not None else 0
        if lsn > self._released:
            self._released = lsn
            self._stream.confirm(lsn, self._lsn)

    def _pause(self, end: int | None) -> bool:
        """Nothing is there to read, between two transactions: checkpoint, release, wait. True: it is the end."""
        session = self._session
        now = time.monotonic()
        # Between transactions the server has sent all that committed before the place a keepalive names.
        here = self._stream.wal_end
        changed = session.records > self._records_at_checkpoint
        if here > self._lsn:
            self._advance(here)
        done = session.stopping or (end is not None and self._lsn >= end)
        since = now - self._checkpointed_at
        moved = self._lsn > self._checkpointed_lsn
        if done or (changed and since >= self._interval) or (moved and since >= self._heartbeat):
            self._checkpoint(last=done)
        if done:
            return True
        self.release()
        if end is not None and now - self._polled_at >= _POLL:
            self._polled_at = now
            self._stream.confirm(self._released, self._lsn, reply=True)
        session.flush()
        select.select([self._connection, session.stop_fd], [], [], _POLL)
        return False

    def _advance(self, lsn: int) -> None:
        """Everything before `lsn` has been read; snapshots that are behind it have served."""
        self._lsn = lsn
        if self._position.tables:
            self._position = self._position.at(lsn)
            if not self._position.tables:
                self._relations.seen.clear()

    def _due(self, waiting: int) -> bool:
        records = self._session.records + waiting - self._records_at_checkpoint
        if records >= _RECORDS_BETWEEN_CHECKPOINTS:
            return True
        return records > 0 and time.monotonic() - self._checkpointed_at >= self._interval

    def _checkpoint(self, *, last: bool = False) -> None:
        if last or time.monotonic() - self._checked_at >= min(_BETWEEN_CHECKS, self._heartbeat):
            self._position = self._check(self._position.at(self._lsn))
            self._checked_at = time.monotonic()
        self._session.checkpoint(self._position.at(self._lsn).to_json())
        self._checkpointed_at = time.monotonic()
        self._checkpointed_lsn = self._lsn
        self._records_at_checkpoint = self._session.records
        self.release()

    def _insert(self, payload: bytes, position: bytes) -> bytes:
        """An insert with JSON's null among its values."""
        encoder = self._relations.encoders[payload[1:5]]
        values, _ = encoder.values(payload, 8)
        return encoder.line("Insert", values, position)

    def _update(self, encoder: Encoder, payload: bytes, position: bytes) -> bytes:
        """An update with an old key or row, or with values that were not sent."""
        at = 5
        old: Values | None = None
        old_kind = payload[at]
        if old_kind in (OLD_KEY, OLD_ROW):
            old, at = encoder.values(payload, at + 3)
        new, _ = encoder.values(payload, at + 3)
        if old is not None:
            for index, value in enumerate(new):
                if value is None and (old_kind == OLD_ROW or index in encoder.key_at):
                    new[index] = old[index]
            before = encoder.key_of(old)
            if before != encoder.key_of(new):
                return encoder.line("Update", new, position, old_key=before)
        return encoder.line("Update", new, position)

    def _delete(self, encoder: Encoder, payload: bytes, position: bytes) -> bytes:
        values, _ = encoder.values(payload, 8)
        return encoder.line("Delete", values, position, only_key=payload[5] == OLD_KEY)

    def _die_within(self, lines: list[bytes]) -> None:
        """The fault point in the middle of a transaction: all but its last line are written, its commit is not."""
        if len(lines) > 1:
            self._session.emit_bytes(b"".join(lines[:-1]), len(lines) - 1)
            del lines[:-1]
        self._session.flush()
        fault("mid_transaction")


def identify(connection: Any) -> tuple[str, int]:
    """System identifier and timeline of the server behind a replication connection."""
    found = rows(connection, "IDENTIFY_SYSTEM")
    if not found:
        raise ProviderError("Could not identify the server", "IDENTIFY_SYSTEM returned nothing")
    return str(found[0][0]), int(found[0][1])
