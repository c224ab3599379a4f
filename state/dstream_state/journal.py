"""Journal: a log of blocks; its writer, with group commit, and its reader.

A block is one line of JSON: `{"seq":N,"base":SERIAL,"records":[...],"checksum":HASH}`, or with `"encrypted"` instead of
the records. `seq` rises by one; `base` is the serial of the snapshot that the records are on top of. Block 0 is
the header and names journal, lineage and format. A log has room for a limited number of appends: its last
block is then `{"seq":N,"continues":NAME}`, written after NAME was made and before it is used.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence

from msgspec import Struct

from dstream_state.checksum import checked_line, read_line
from dstream_state.codec import Json
from dstream_state.errors import FormatTooNew, JournalMismatch, StateConflict, StateDamaged, StateError
from dstream_state.lock_metadata import journal_name
from dstream_state.records import Record
from dstream_state.sealing import Sealer, read_records, records_form
from dstream_state.storage import Missing, Refused, Storage

FORMAT_VERSION = 1
MAX_BLOCKS = 40_000
MAX_BLOCK_BYTES = 3 * 1024 * 1024
"""Blob Storage takes 50,000 appends per blob, of at most 4 MiB each in the oldest service versions."""


def log_name(journal: str) -> str:
    """Return the name of the log that holds `journal`."""
    return f"journal/{journal}"


def new_name() -> str:
    """Return a unique name."""
    return uuid.uuid4().hex[:16]


class Block(Struct, frozen=True):
    """Some records that became durable together."""

    seq: int
    base: int
    records: tuple[Record, ...]


class Journal(Struct, frozen=True):
    """A journal as read: `logs` are the names of its logs with the tag each had."""

    name: str
    lineage: str
    blocks: tuple[Block, ...]
    last: int
    logs: tuple[tuple[str, str], ...]


class JournalWriter:
    """Appends to one journal. Thread-safe.

    A caller that finds no write in progress writes for all waiting callers (no timer).
    """

    def __init__(
        self,
        storage: Storage,
        name: str,
        lineage: str,
        base: int,
        sealer: Sealer | None,
        ensure: Callable[[], None],
        max_blocks: int = MAX_BLOCKS,
    ) -> None:
        """Make the log. `ensure` is called before each write and raises if the lock is not surely held."""
        self.name = name
        self.base = base
        self.last = 0
        self.logs = [name]
        self._storage, self._lineage, self._sealer, self._ensure = storage, lineage, sealer, ensure
        self._max_blocks = max_blocks
        self._turn = threading.Condition()
        self._waiting: list[_Ticket] = []
        self._first: list[Record] = []
        self._writing = False
        self._broken: StateError | None = None
        self._create(name)

    def begin_with(self, record: Record) -> None:
        """Put `record` in front of whatever is appended first."""
        self._first.append(record)

    def append(self, records: Sequence[Record]) -> None:
        """Return when `records` are durable; raise what the write raised, then and ever after."""
        if not records:
            return
        ticket = _Ticket(records)
        with self._turn:
            self._waiting.append(ticket)
            while self._writing and not ticket.done:
                self._turn.wait()
            if ticket.done:
                if ticket.error is not None:
                    raise ticket.error
                return
            self._writing = True
            batch, self._waiting = self._waiting, []
        error: StateError | None = None
        try:
            error = self._write([record for item in batch for record in item.records])
        finally:
            with self._turn:
                self._writing = False
                for item in batch:
                    item.done, item.error = True, error or self._broken
                self._turn.notify_all()
        if ticket.error is not None:
            raise ticket.error

    def close(self, reason: StateError) -> None:
        """Refuse what comes now with `reason`."""
        with self._turn:
            self._broken = self._broken or reason

    def _write(self, records: Sequence[Record]) -> StateError | None:
        if self._broken is not None:
            return self._broken
        try:
            parts = [[*self._first, *records]]
            self._first = []
            while parts:
                part = parts.pop(0)
                if self._in_log >= self._max_blocks:
                    self._ensure()
                    self._continue()
                line = self._line(part)
                if len(line) > MAX_BLOCK_BYTES and len(part) > 1:
                    half = len(part) // 2
                    parts[:0] = [part[:half], part[half:]]
                    continue
                self._ensure()
                self._put(line)
        except Refused:
            self._broken = StateConflict(
                "The journal of this operation was sealed: another process took over the lock. What was done so far is "
                "recorded. Review `dstream plan` before you continue."
            )
        except StateError as error:
            self._broken = error
        except BaseException:
            self._broken = StateConflict(
                "An earlier write to the journal did not finish; the operation cannot continue."
            )
            raise
        return self._broken

    def _line(self, records: Sequence[Record]) -> bytes:
        seq = self.last + 1
        bound = context(self._lineage, self.name, seq, self.base)
        return checked_line({"seq": seq, "base": self.base} | records_form(records, self._sealer, bound))

    def _put(self, line: bytes) -> None:
        self._storage.append(log_name(self.logs[-1]), self._position, line)
        self._position += len(line)
        self._in_log += 1
        self.last += 1

    def _continue(self) -> None:
        name, old, position = new_name(), self.logs[-1], self._position
        self._create(name, self.last + 2)
        line = checked_line({"seq": self.last + 1, "continues": name})
        self._storage.append(log_name(old), position, line)
        self.logs.append(name)
        self.last += 2

    def _create(self, name: str, seq: int = 0) -> None:
        header = {"journal": self.name, "lineage": self._lineage, "format_version": FORMAT_VERSION}
        line = checked_line({"seq": seq, "base": self.base, "header": header})
        self._storage.create_log(log_name(name), line)
        self._position, self._in_log = len(line), 1


class _Ticket:
    """One caller's records in the queue."""

    __slots__ = ("done", "error", "records")

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        self.done = False
        self.error: StateError | None = None


def context(lineage: str, journal: str, seq: int, base: int) -> str:
    """Return what an encrypted block is bound to."""
    return f"journal {lineage} {journal} {seq} {base}"


def read_journal(storage: Storage, name: str, sealer: Sealer | None, *, seal: bool = False) -> Journal:
    """Return the journal `name`; with `seal`, each of its logs is sealed before it is read.

    Raises Missing, CannotSeal, StateDamaged, FormatTooNew, JournalMismatch.
    """
    reader = _Reader(name, sealer)
    _read_logs(storage, reader, name, seal=seal)
    return reader.journal()


def salvage_journal(storage: Storage, name: str, sealer: Sealer | None) -> tuple[Journal, str]:
    """Return the records of a journal before the first damage, and a description of the damage ("" if there is none).

    Raises Missing, FormatTooNew, JournalMismatch.
    """
    reader = _Reader(name, sealer)
    try:
        _read_logs(storage, reader, name, seal=False)
    except StateDamaged as problem:
        return reader.journal(), problem.reason
    return reader.journal(), ""


def _read_logs(storage: Storage, reader: _Reader, name: str, *, seal: bool) -> None:
    next_log: str | None = name
    while next_log is not None:
        if seal:  # Sealing may cut off what follows the last line break, so that is looked at first.
            reader.check_end(storage.read_log(log_name(next_log)).content)
            storage.seal(log_name(next_log))
        stored = storage.read_log(log_name(next_log))
        reader.logs.append((next_log, stored.tag))
        next_log = reader.take(stored.content)
    reader.check_begun()


def delete_journal(storage: Storage, name: str) -> None:
    """Delete the journal and its continuations, the last one first, so that none is left unreachable."""
    names: list[str] = []
    next_log: str | None = name
    reader = _Reader(name, None, records=False)
    while next_log is not None:
        try:
            content = storage.read_log(log_name(next_log)).content
        except Missing:
            break
        names.append(next_log)
        next_log = reader.take(content)
    for item in reversed(names):
        storage.delete_log(log_name(item))


class _Reader:
    """Takes the logs of one journal, in order."""

    def __init__(self, name: str, sealer: Sealer | None, *, records: bool = True) -> None:
        self._name, self._sealer, self._records = name, sealer, records
        self.lineage = ""
        self.blocks: list[Block] = []
        self.last = -1
        self.logs: list[tuple[str, str]] = []

    def journal(self) -> Journal:
        """Return what was taken so far."""
        return Journal(self._name, self.lineage, tuple(self.blocks), self.last, tuple(self.logs))

    def take(self, content: bytes) -> str | None:
        """Read one log; return the name of the log that continues it."""
        self.check_end(content)
        lines = content.split(b"\n")
        lines.pop()  # After the last newline: nothing, or a block whose write did not end and was never relied upon.
        next_log = None
        for line in lines:
            next_log = self._line(read_line(line, self._what)) or next_log
        return next_log

    def check_begun(self) -> None:
        """Raise StateDamaged where there is not even a header: it is written before the journal is listed."""
        if self.last < 0:
            raise StateDamaged(self._what, "it is empty")

    def check_end(self, content: bytes) -> None:
        """Raise StateDamaged if a whole block is followed by another byte than its line break.

        A write that did not end leaves the beginning of a block, never more than one.
        """
        tail = content.rpartition(b"\n")[2]
        if tail[:-1].endswith(b'"}') and _is_json(tail[:-1]):
            raise StateDamaged(self._what, "the line break after its last block is damaged")

    def _line(self, form: Json) -> str | None:
        seq = self._number(form, "seq")
        if seq <= self.last:
            return None  # The same block again: its write was repeated after a lost answer.
        if seq != self.last + 1:
            raise StateDamaged(self._what, f"block {self.last + 1} is missing")
        if "header" in form:
            self._header(form["header"])
        elif "continues" in form:
            self.last = seq
            try:
                return journal_name(str(form["continues"]))
            except ValueError as problem:
                raise StateDamaged(self._what, str(problem)) from problem
        elif self._records:
            base = self._number(form, "base")
            bound = context(self.lineage, self._name, seq, base)
            self.blocks.append(Block(seq, base, read_records(form, self._sealer, bound, self._what)))
        self.last = seq
        return None

    def _number(self, form: Json, name: str) -> int:
        number = form.get(name) if isinstance(form, dict) else None
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise StateDamaged(self._what, f"the line after block {self.last} has no valid {name!r}")
        return number

    def _header(self, header: Json) -> None:
        names = ("journal", "lineage", "format_version")
        if not isinstance(header, dict) or any(name not in header for name in names):
            raise StateDamaged(self._what, "its header is not complete")
        version = header["format_version"]
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise FormatTooNew(self._what, version, FORMAT_VERSION)
        if header["journal"] != self._name:
            raise JournalMismatch(self._name, f"its header says {header['journal']}")
        self.lineage = str(header["lineage"])

    @property
    def _what(self) -> str:
        return f"Journal {self._name}"


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(read_line(line, "a block"), dict)
    except StateDamaged:
        return False
