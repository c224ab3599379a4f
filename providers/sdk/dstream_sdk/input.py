"""Input: reads a source and emits envelopes; `InputSession` is what it holds while it runs."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from dstream_sdk.channel import LineReader, Writer, encode, log, widen
from dstream_sdk.checkpoint_pacer import CheckpointPacer, Position
from dstream_sdk.consequence import Consequence, Finding
from dstream_sdk.errors import ProviderError, Stopped
from dstream_sdk.handshake import refuse
from dstream_sdk.model import Notice, PlanContext, Released, Resource, Stream

C = TypeVar("C")

CHECKPOINT_LIMIT = 64 * 1024
"""The maximum size of a position, in bytes of JSON."""

_GRACE = 30.0


class Input(Generic[C]):
    """A source of data. Only `run` must be implemented."""

    discovers = False
    """Set if `plan` uses the network, for instance to list tables."""

    preloads: Sequence[str] = ()
    """Modules that a run imports when it needs them. They are imported once, before the processes of many sessions are
    forked; a module that starts a thread or opens something when it is imported does not belong here."""

    def plan(self, config: C, context: PlanContext) -> Iterable[Resource | Stream | Released | Notice]:
        """Return the required objects, the delivered streams, released objects, and warnings.

        One process calls it for many tasks: if it `discovers`, from several threads at the same time. Pure unless
        `discovers`; reading an unknown setting ends the call with the answer "deferred".
        """
        return ()

    def consequences(self, config: C, context: PlanContext) -> Iterable[Consequence | Finding]:
        """Return what happens to the data, and what apply and run would fail on, as the server is now.

        Called after `plan`, unless the user asked for a plan that reads nothing. It may use the network, from several
        threads at the same time, has 25 seconds, and changes nothing. `context.prior` is what was
        recorded of the task. An exception is a warning that this could not be checked. A part that overrides this
        announces the capability `consequences`.
        """
        return ()

    def open(self, config: C, session: InputSession) -> None:
        """Connect and check, before the answer `ready`.

        A ProviderError raised here reaches the user with all its parts. Emits nothing.
        """

    def run(self, config: C, session: InputSession) -> None:
        """Emit data until `session.stopping`, or until there is no more.

        Returning is a normal end: the SDK then writes what is buffered and `end`. When stopping, write a last
        checkpoint and return. An exception ends the session as a failure. The host restarts from the last checkpoint
        it has stored, unless it is a ProviderError that says by its class that this would not help.
        """
        raise TypeError(f"{type(self).__name__} has no run method")


class InputSession:
    """One run of an input. `emit`, `emit_bytes` and `checkpoint` belong to the thread that calls `run`."""

    def __init__(self, opening: Mapping[str, Any], reader: LineReader, writer: Writer, protocol: int) -> None:
        """Take the opening line and the two ends of the wire."""
        self._reader, self._writer = reader, writer
        self._sent = 0
        self._pacer = CheckpointPacer(self._write_checkpoint)
        self._committed: Mapping[str, Any] | None = None
        self._callbacks: list[Callable[[dict[str, Any]], None]] = []
        self._stop_read, self._stop_write = os.pipe()
        self._commit_pipe: tuple[int, int] | None = None
        self._stopped = False
        self.protocol = protocol
        """The version of the protocol that this session speaks, 1 or 2."""
        self.task: str = str(opening.get("task") or "")
        """The task's name; empty under version 1."""
        self.acks: bool = protocol >= 2 and opening.get("acks") is True
        """Whether checkpoints are confirmed. Otherwise a checkpoint counts as committed when it is written."""
        start = opening.get("checkpoint")
        self.checkpoint_position: dict[str, Any] | None = start if isinstance(start, dict) else None
        """The position to start from: the last one that was stored; None at the first start."""
        self.until_current: bool = opening.get("until") == "current"
        """Whether to record the end of the source at the start, and to return when it is reached."""
        limit = opening.get("max_records")
        self.max_records: int | None = limit if isinstance(limit, int) else None
        """The number of records after which to stop at the next consistent point; `stopping` is true then."""
        self.schemas: bool = self.acks and opening.get("schemas") is True
        """Whether the host accepts new columns of a stream during a run (`schema`)."""
        self.records = 0
        """Records emitted so far."""

    @property
    def stopping(self) -> bool:
        """Whether to write a last checkpoint and return."""
        return self._stopped or (self.max_records is not None and self.records >= self.max_records)

    @property
    def buffered(self) -> int:
        """Bytes that were emitted and not yet written."""
        return self._writer.size

    @property
    def stop_fd(self) -> int:
        """A descriptor for `select` that becomes readable when the host or a signal requests a stop."""
        return self._stop_read

    @property
    def committed(self) -> Mapping[str, Any] | None:
        """The newest stored position, up to which the source may be released. None before the first."""
        return self._committed

    def on_committed(self, callback: Callable[[dict[str, Any]], None]) -> None:
        """Call `callback(position)` whenever a newer position is stored.

        The call comes from another thread (from `checkpoint` itself when `acks` is false): keep it short, as in noting
        the position for the thread that owns the connection.
        """
        self._callbacks.append(callback)

    def emit(self, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
        """Emit one envelope. Raises TypeError or ValueError for values that JSON does not have."""
        line = encode({"data": dict(data), "metadata": dict(metadata or ())}) + b"\n"
        self._pacer.before_data()
        self._writer.put(line)
        self.records += 1

    def emit_bytes(self, lines: bytes, count: int = 1) -> None:
        """Emit `count` encoded envelopes: complete lines; the last newline may be missing."""
        self._pacer.before_data()
        self._writer.put(lines if lines.endswith(b"\n") else lines + b"\n")
        self.records += count

    def pace(self, interval: float, heartbeat: float) -> None:
        """Set the seconds between two checkpoints of `advance`: after data (0.2 by default), without data (10)."""
        self._pacer.interval, self._pacer.heartbeat = interval, heartbeat

    def advance(self, position: Position) -> None:
        """Declare that all data up to `position` has been emitted; the checkpoint is written when it is due.

        Call it at every consistent point: after a batch or a transaction, and when the position moves without data.
        After data, the checkpoint follows within the interval of `pace`, even while the input waits for its source:
        an output may hold data back until its checkpoint arrives. `position` is as for `checkpoint`, or a function
        that returns it, called from any thread only when the checkpoint is written.
        """
        self._pacer.advance(position)

    def checkpoint(self, position: Mapping[str, Any]) -> None:
        """Declare that all data up to `position` has been emitted, and write the checkpoint now.

        `position` is complete (not a delta), names its source, and is at most 64 KiB as JSON.
        """
        self._pacer.write(position)

    def store(self, position: Mapping[str, Any]) -> None:
        """Write a checkpoint and wait until it is stored. Raises Stopped if the session stops before."""
        if self._commit_pipe is None:
            self._commit_pipe = os.pipe()
            for end in self._commit_pipe:
                os.set_blocking(end, False)
        expected = dict(position)
        self.checkpoint(expected)
        while self._committed != expected:
            if self.stopping:
                raise Stopped
            select.select([self._stop_read, self._commit_pipe[0]], [], [])
            with contextlib.suppress(BlockingIOError):
                os.read(self._commit_pipe[0], 4096)

    def _write_checkpoint(self, position: Mapping[str, Any]) -> None:
        if not self.acks:
            self._writer.flush()
            self._commit(dict(position))
            return
        text = encode(position)
        if len(text) > CHECKPOINT_LIMIT:
            raise ProviderError("Checkpoint too large", f"{len(text)} bytes; the limit is {CHECKPOINT_LIMIT}")
        self._sent += 1
        self._writer.send(b'{"checkpoint":' + text + b',"n":' + str(self._sent).encode() + b"}")

    def schema(self, stream: Stream) -> None:
        """Announce the columns that the data of `stream` has from here on. Writes nothing unless `schemas`."""
        if self.schemas:
            form = stream.to_json()
            entry = {"stream": form["name"], "key": form["key"], "version": form.get("version", "")}
            self._writer.put(b'{"schema":' + encode({**entry, "columns": form.get("columns", [])}) + b"}\n")

    def flush(self) -> None:
        """Write the buffer now, instead of within about 50 ms."""
        self._writer.flush()

    def wait(self, seconds: float) -> bool:
        """Write the buffer, sleep, and return whether the input is stopping; returns early if so."""
        self._writer.flush()
        if not self.stopping:
            select.select([self._stop_read], [], [], seconds)
        return self.stopping

    def stop(self) -> None:
        """Make `stopping` true. Safe in a signal handler and from any thread."""
        self._stopped = True
        os.write(self._stop_write, b"x")

    def finish(self) -> None:
        """Write the checkpoint of the last `advance`; the SDK calls it after `run`."""
        self._pacer.finish()

    def _commit(self, position: dict[str, Any]) -> None:
        self._committed = position
        if self._commit_pipe is not None:
            with contextlib.suppress(BlockingIOError):
                os.write(self._commit_pipe[1], b"x")
        for callback in self._callbacks:
            callback(position)

    def _listen(self) -> None:
        """Read control lines until the host closes the pipe, which requests a stop."""
        while (line := self._reader.readline()) is not None:
            if line.startswith(b'{"committed":'):
                committed = json.loads(line)["committed"]
                if isinstance(committed.get("checkpoint"), dict):
                    self._commit(committed["checkpoint"])
        self.stop()
        threading.Event().wait(_GRACE)
        log(f"still running {_GRACE:.0f} s after the host closed the pipe: giving up")
        os._exit(1)


def run_input(
    source: Input[Any],
    config: Any,
    opening: Mapping[str, Any],
    reader: LineReader,
    writer: Writer,
    protocol: int,
) -> int:
    """Run one session of an input until it ends; return the exit code.

    A ProviderError is written to the host, with its class, if the host accepts control lines; otherwise it is raised.
    """
    widen(writer.fd)
    session = InputSession(opening, reader, writer, protocol)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: session.stop())
    try:
        source.open(config, session)
    except Exception as problem:
        if protocol < 2:
            raise
        return refuse(writer, problem)
    if protocol >= 2:
        writer.send(b'{"status":"ready","protocol":2}')
        threading.Thread(target=session._listen, name="host", daemon=True).start()
    try:
        with contextlib.suppress(Stopped):
            source.run(config, session)
        session.finish()
    except ProviderError as problem:
        if not session.acks:
            raise
        return refuse(writer, problem)
    if session.acks:
        writer.send(b'{"end":true}')
    else:
        writer.flush()
    return 0
