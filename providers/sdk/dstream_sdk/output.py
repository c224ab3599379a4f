"""Output: writes envelopes to a sink; `OutputSession` is what it holds while it runs.

Lines pass unparsed: a block of whole lines is cut out between two control lines by searching for their prefixes, so the
work per record is up to the provider (`write_block`, `write` or `write_envelopes`).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, NoReturn, TypeVar

from dstream_sdk import failpoints
from dstream_sdk.channel import CONTROL_LIMIT, LineReader, Writer, encode, log, widen, write_all
from dstream_sdk.consequence import Consequence, Finding
from dstream_sdk.errors import ProviderError, SaidAll
from dstream_sdk.handshake import refuse
from dstream_sdk.json_numbers import loads
from dstream_sdk.model import Envelope, Notice, PlanContext, Released, Resource, Stream

C = TypeVar("C")

_CHECKPOINT = b'{"checkpoint":'
_END = b'{"end":'
_SCHEMA = b'{"schema":'
_USUAL = b'{"data":{'
_UNUSUAL = re.compile(rb'\n(?:(?<!\}\}\n)|(?!\{"data":\{|\Z))')
_FLUSH_BYTES = 8 * 1024 * 1024
_FLUSH_SECONDS = 0.25
_TAIL_LIMIT = 4 * 1024 * 1024


class Output(Generic[C]):
    """A sink of data. One of `write_block`, `write` and `write_envelopes` must be implemented."""

    discovers = False
    """Set if `plan` uses the network."""

    preloads: Sequence[str] = ()
    """Modules that a run imports when it needs them. They are imported once, before the processes of many sessions are
    forked; a module that starts a thread or opens something when it is imported does not belong here."""

    exact_numbers = False
    """Set to get fractions in parsed envelopes as Decimal, with all digits, instead of float."""

    session: OutputSession
    """The current session; set before `open` is called."""

    stores_checkpoint = False
    """Set if `flush` stores the checkpoint in the transaction of the data, and `open` reads it."""

    def plan(self, config: C, context: PlanContext) -> Iterable[Resource | Released | Notice]:
        """Return the objects that `context.streams` require, released objects, and warnings.

        One process calls it for many tasks: if it `discovers`, from several threads at the same time. Pure unless
        `discovers`.
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

    def open(self, config: C, session: OutputSession) -> None:
        """Connect and check, before the answer `ready`.

        With `stores_checkpoint`, set `session.stored_checkpoint` to the checkpoint in the sink.
        """

    def describe(self, stream: Stream) -> None:
        """Receive the new columns of a stream, in order with the data.

        An output that overrides this announces the capability `schemas`.
        """

    def write_block(self, block: bytes) -> None:
        """Receive complete lines as one block, each with its newline, in order."""
        self.write([line for line in block.split(b"\n") if line])

    def write(self, lines: list[bytes]) -> None:
        """Take whole lines, without their newlines, in order; a line that is not an envelope is rejected."""
        envelopes = []
        for line in lines:
            try:
                envelopes.append(parse(line, self.exact_numbers))
            except ProviderError as problem:
                self.session.reject(line, f"not an envelope: {problem.detail}")
        self.write_envelopes(envelopes)

    def write_envelopes(self, envelopes: list[Envelope]) -> None:
        """Receive parsed envelopes, in order."""
        raise TypeError(f"{type(self).__name__} has none of write_block, write, write_envelopes")

    def flush(self, checkpoint: dict[str, Any] | None) -> None:
        """Make all data written so far durable; after it returns, the SDK acknowledges `checkpoint`.

        None when there is no checkpoint to store: at the end, and under version 1 also when no data waits.
        """

    def close(self, ended: bool) -> None:
        """End the session. Not `ended` means: discard what has not been flushed."""


class OutputSession:
    """One run of an output."""

    def __init__(self, opening: Mapping[str, Any], writer: Writer, protocol: int) -> None:
        """Take the opening line and the way to the host."""
        self._writer = writer
        self.protocol = protocol
        """The version of the protocol that this session speaks, 1 or 2."""
        self.task: str = str(opening.get("task") or "")
        """The task's name; empty under version 1."""
        self.replay: bool = opening.get("replay") is True
        """Whether dead letters of the task are delivered again, perhaps beside a session of the task itself."""
        self.acks: bool = protocol >= 2 and opening.get("acks") is not False
        """Whether the host sends checkpoints. Otherwise `flush(None)` is called whenever no data waits."""
        limit = opening.get("record_limit")
        self.record_limit: int = limit if isinstance(limit, int) else CONTROL_LIMIT
        """The maximum size of an envelope in bytes."""
        self.refused = 0
        """Envelopes that were rejected."""
        self.streams: tuple[Stream, ...] = streams_of(opening)
        """The streams of the input, if it declares them."""
        self.stored_checkpoint: dict[str, Any] | None = None
        """Set by `open` of an output that stores checkpoints."""

    def reject(self, line: bytes, reason: str) -> None:
        """Return an envelope that the sink rejects to the host, which stores it as a dead letter.

        It must be called before the `flush` that covers the line returns. A version 1 host has no dead letters: the
        line is logged with the reason, and counted at the end.
        """
        self.refused += 1
        if self.protocol < 2:
            log(f"rejected, not delivered: {reason}: {line.decode('utf-8', 'replace')}")
            return
        try:
            json.loads(line)
            envelope = line
        except (ValueError, RecursionError):  # what is nested too deeply for us may be so for the host
            envelope = encode(line.decode("utf-8", "replace"))
        self._writer.send(b'{"reject":{"envelope":' + envelope + b',"reason":' + encode(reason) + b"}}")

    def envelopes(self, block: bytes) -> bytes:
        """Return whole lines without those that are not envelopes, which are rejected.

        For outputs that pass lines on unmodified: a line that begins and ends as an envelope does is not parsed.
        """
        if block.startswith(_USUAL) and _UNUSUAL.search(block) is None:
            return block
        found = []
        for line in block.split(b"\n"):
            if not (line.startswith(_USUAL) and line.endswith(b"}}")) and line:
                try:
                    parse(line)
                except ProviderError as problem:
                    self.reject(line, f"not an envelope: {problem.detail}")
                    continue
            if line:
                found.append(line + b"\n")
        return b"".join(found)

    def discover(self, stream: Stream) -> NoReturn:
        """Report data of an undeclared stream that needs objects, and end the session.

        The host has `plan` asked with the stream among the others, marked as discovered, applies what that wants, and
        starts the task again from its checkpoint. Call it from the thread that is given the data.
        """
        if self.protocol < 2:
            raise ProviderError("Unknown stream", f"{stream.name}: a version 1 host cannot create its objects")
        self._writer.send(b'{"stream":' + encode({"name": stream.name, "key": list(stream.key)}) + b"}")
        raise SaidAll

    def display(self, text: bytes) -> None:
        """Show text to the user: on standard output under version 1, on standard error under version 2."""
        if self.protocol < 2:
            self._writer.put(text)
            return
        try:
            write_all(2, text)
        except OSError as problem:
            raise ProviderError("Cannot write to standard error", str(problem.strerror)) from None


def describes(sink: Output[Any]) -> bool:
    """Return whether an output takes the columns of streams."""
    return type(sink).describe is not Output.describe


def parse(line: bytes, exact_numbers: bool = False) -> Envelope:
    """Return the envelope of a line, its fractions as float or as Decimal.

    ProviderError when it is not a JSON object with an object `data`.
    """
    try:
        value = loads(line, constants=True) if exact_numbers else json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise ProviderError("Not an envelope", f"{problem}; the line begins with {line[:40]!r}") from None
    if not isinstance(value, dict) or not isinstance(value.get("data"), dict):
        raise ProviderError(
            "Not an envelope", f"expected an object with an object `data`; the line begins with {line[:40]!r}"
        )
    metadata = value.get("metadata")
    return Envelope(value["data"], metadata if isinstance(metadata, dict) else {}, line)


def streams_of(opening: Mapping[str, Any]) -> tuple[Stream, ...]:
    """Return the streams of an opening line."""
    found = opening.get("streams")
    return tuple(Stream.from_json(each) for each in (found if isinstance(found, list) else ()))


def run_output(
    sink: Output[Any],
    config: Any,
    opening: Mapping[str, Any],
    reader: LineReader,
    writer: Writer,
    protocol: int,
) -> int:
    """Run one session of an output until its input ends; return the exit code.

    A ProviderError is written to the host, with its class; other exceptions are raised.
    """
    widen(reader.fd)
    session = sink.session = OutputSession(opening, writer, protocol)
    try:
        sink.open(config, session)
    except Exception as problem:
        if protocol < 2:
            raise
        return refuse(writer, problem)
    if protocol >= 2:
        ready: dict[str, Any] = {"status": "ready", "protocol": 2}
        if sink.stores_checkpoint:
            ready["checkpoint"] = session.stored_checkpoint
        writer.send(encode(ready))
    try:
        _Feed(sink, session, reader, writer).run()
    except ProviderError as problem:
        if protocol < 2:
            raise
        return refuse(writer, problem)
    return 0


class _Feed:
    """Splits the input into data and control lines, and decides when to flush.

    A flush waits for more input to arrive, so that many small transactions cost one: until nothing more is there, or 8
    MiB or 0.25 s have passed. Data behind a checkpoint is never written before that checkpoint is flushed, unless a
    later one takes its place: an output that stores checkpoints keeps exactly the data before it.
    """

    def __init__(self, sink: Output[Any], session: OutputSession, reader: LineReader, writer: Writer) -> None:
        self._sink, self._session, self._reader, self._writer = sink, session, reader, writer
        self._describes = describes(sink)
        self._limit = max(session.record_limit, CONTROL_LIMIT)
        self._checkpoint: bytes | None = None
        self._tail: list[bytes] = []  # whole lines behind the checkpoint that is to be flushed
        self._tail_size = 0
        self._unflushed = 0
        self._since = time.monotonic()
        self._ended = False

    def run(self) -> None:
        partial: list[bytes] = []
        size = 0
        while not self._ended and (chunk := self._reader.read()):
            cut = chunk.rfind(b"\n") + 1
            if not cut:
                partial.append(chunk)
                size += len(chunk)
                if size > self._limit + 1:
                    raise ProviderError("Line too long", f"a line of the data exceeds {self._limit} bytes")
                continue
            partial.append(chunk[:cut])
            block = b"".join(partial)
            partial = [chunk[cut:]] if cut < len(chunk) else []
            size = len(chunk) - cut
            self._take(block)
            if self._checkpoint is not None:
                if self._flush_is_due():
                    self._flush()
            elif not self._session.acks and self._unflushed and not self._reader.pending():
                self._sink.flush(None)
                self._unflushed = 0
        self._finish(b"".join(partial))

    def _finish(self, partial: bytes) -> None:
        ended = self._ended
        if self._session.protocol < 2:
            ended = True
            if partial.strip():
                self._write(partial + b"\n")
        if ended:
            self._flush()
            if self._unflushed:
                self._sink.flush(None)
        else:
            log("the data ended without an end line: discarding what was not flushed")
        self._sink.close(ended)
        self._writer.flush()
        if self._session.protocol < 2 and self._session.refused:
            log(f"{self._session.refused} lines were rejected and not delivered")

    def _take(self, block: bytes) -> None:
        """Sort the whole lines of `block` into data and control lines; write what the last checkpoint
        covers."""
        end = _find(block, _END, 0)
        stop = len(block) if end < 0 else end
        start, last = 0, None
        while 0 <= (at := _find(block, _CHECKPOINT, start)) < stop:
            if at > start:
                self._tail.append(block[start:at])
            newline = block.index(b"\n", at)
            last, covered = block[at:newline], len(self._tail)
            start = newline + 1
        if last is not None:
            self._write_tail(covered)
            self._checkpoint = last
        if start < stop:
            self._tail.append(block[start:stop])
        if self._checkpoint is None:
            self._write_tail(len(self._tail))
        self._tail_size = sum(map(len, self._tail))
        self._ended = end >= 0

    def _write(self, block: bytes) -> None:
        if self._session.protocol < 2 and b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        self._unflushed += len(block)
        start = 0
        while self._describes and (at := _find(block, _SCHEMA, start)) >= 0:
            if at > start:
                self._sink.write_block(block[start:at])
            start = block.index(b"\n", at) + 1
            form = json.loads(block[at:start])["schema"]
            self._sink.describe(Stream.from_json({**form, "name": form["stream"]}))
        if start < len(block):
            self._sink.write_block(block[start:] if start else block)

    def _write_tail(self, count: int) -> None:
        """Pass the first `count` waiting blocks to the sink as one."""
        if count:
            self._write(self._tail[0] if count == 1 else b"".join(self._tail[:count]))
            del self._tail[:count]

    def _flush_is_due(self) -> bool:
        return (
            self._unflushed >= _FLUSH_BYTES
            or self._tail_size >= _TAIL_LIMIT
            or time.monotonic() - self._since >= _FLUSH_SECONDS
            or not self._reader.pending()
        )

    def _flush(self) -> None:
        if self._checkpoint is not None:
            line, self._checkpoint = self._checkpoint, None
            self._sink.flush(json.loads(line)["checkpoint"])
            self._unflushed = 0
            failpoints.fault("after_sink_before_ack")
            self._writer.send(line)
        self._write_tail(len(self._tail))
        self._tail_size = 0
        self._since = time.monotonic()


def _find(block: bytes, prefix: bytes, start: int) -> int:
    """Return where the first line that begins with `prefix` starts, at or after the line start `start`, or
    -1."""
    if block.startswith(prefix, start):
        return start
    at = block.find(b"\n" + prefix, start)
    return at + 1 if at >= 0 else -1
