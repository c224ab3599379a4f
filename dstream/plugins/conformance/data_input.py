"""Rules about an input that runs: R2, R20 to R29, R50. They need a source that delivers something within seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from dstream.plugins.binary import Binary
from dstream.plugins.conformance.opening import first_object, opening_line
from dstream.plugins.conformance.result import Departed, Result, Skipped, check, require
from dstream.plugins.conformance.resuming import CHECKPOINT, END, Reading, check_resumed, check_uncommitted, read
from dstream.plugins.conformance.talk import Talk
from dstream.plugins.probe import ProviderInfo
from dstream.plugins.wire import decode_object

_SECONDS = 20.0
_POSITION_LIMIT = 64 * 1024
_UNCOVERED, _QUIET, _WATCHED = 5.0, 0.5, 3.0
"""Seconds: data may lie without a checkpoint, make a source one that rests, and to watch one that does not rest."""


class Session(Struct, frozen=True):
    """One run of the input, to its end."""

    lines: tuple[bytes, ...]
    code: int | None

    @property
    def checkpoints(self) -> list[dict[str, Any]]:
        """The checkpoint lines."""
        return [first_object(line) for line in self.lines if line.startswith(CHECKPOINT)]

    @property
    def data(self) -> list[bytes]:
        """The lines that are no control lines."""
        return [line for line in self.lines if not line.startswith((CHECKPOINT, END))]


def check_input(binary: Binary, info: ProviderInfo, config: Mapping[str, Any]) -> Iterator[Result]:
    """Check the rules of inputs."""
    kept: list[Session] = []

    read_before: list[Reading] = []

    def opened(**members: Any) -> Talk:
        talk = uncommitted(**members)
        talk.commits = True
        return talk

    def uncommitted(**members: Any) -> Talk:
        talk = Talk(binary, opening_line(info, "input", config, **{"checkpoint": None, **members}))
        form = talk.object("answer to its opening line", 30.0)
        if form.get("status") == "error":
            if members.get("checkpoint") is not None:
                raise Departed(f"it refuses the checkpoint that it wrote: {form.get('diagnostics')}")
            raise Skipped(f"it refuses this configuration: {form.get('diagnostics')}")
        require(form.get("status") == "ready", f"it wrote {form} before it was ready")
        return talk

    def ended_by(stop: Callable[[Talk], None], **members: Any) -> Session:
        with opened(**members) as talk:
            stop(talk)
            lines = tuple(talk.received[1:]) + tuple(talk.rest(_SECONDS))
            return Session(lines, talk.code)

    def stop_by_signal(talk: Talk) -> None:
        _checkpoint_after_data(talk, 5.0)
        talk.terminate()

    def main_session() -> Session:
        if not kept:
            kept.append(ended_by(stop_by_signal))
        return kept[0]

    def limited() -> None:
        session = ended_by(lambda _talk: None, max_records=1)
        if not session.data:
            raise Skipped("its source delivers nothing")
        if "checkpoint" in info.capabilities:
            require(session.lines[-1].startswith(END), "it did not end with an end line")

    def reading() -> Reading:
        """What the source holds, read without committing anything."""
        if not read_before:
            with uncommitted(until="current") as talk:
                found = read(talk)
            if not found.records:  # a source that makes its data has none at the start
                with uncommitted() as talk:
                    found = read(talk)
            read_before.append(found)
        return read_before[0]

    acks = "checkpoint" in info.capabilities
    if acks:
        yield check("R27", lambda: check_uncommitted(uncommitted, reading()))
    yield check("R23", lambda: check_resumed(uncommitted, reading()))
    yield check("R20", lambda: opened().__exit__(None, None, None))
    yield check("R2", lambda: _envelopes(main_session().data), "input")
    yield check("R21", lambda: _numbers(main_session()))
    yield check("R22", lambda: _positions(main_session()))
    yield check("R24", lambda: _ended(main_session(), acks))
    yield check("R25", lambda: _last_checkpoint(main_session(), acks))
    yield check("R26", lambda: _plain(ended_by(stop_by_signal, acks=False)))
    yield check("R28", lambda: _ended(ended_by(lambda _talk: None, until="current"), acks))
    yield check("R29", limited)

    def covered() -> None:
        if not acks:
            raise Skipped("it writes no checkpoints")
        with opened() as talk:
            _covered(talk)

    yield check("R50", covered)


def _checkpoint_after_data(talk: Talk, seconds: float) -> bool:
    """Take lines up to the first checkpoint that follows data; return whether there was one in time."""
    data = False

    def found(line: bytes) -> bool:
        nonlocal data
        data = data or not line.startswith((CHECKPOINT, END))
        return data and line.startswith(CHECKPOINT)

    return talk.until(found, seconds)


def _covered(talk: Talk) -> None:
    """Read lines until a checkpoint covers all delivered records and no more arrive; Departed if it stays uncovered for
    too long."""
    start, uncovered_since, data = time.monotonic(), None, False
    while True:
        line = talk.line(_QUIET)
        now = time.monotonic()
        if talk.ended or (line is not None and line.startswith(END)):
            return
        if line is not None and line.startswith(CHECKPOINT):
            uncovered_since = None
        elif line is not None:
            data = True
            uncovered_since = uncovered_since or now
        if uncovered_since is not None and now - uncovered_since > _UNCOVERED:
            raise Departed(f"it delivered data and wrote no checkpoint for {now - uncovered_since:.0f} s")
        if uncovered_since is None and data and (line is None or now - start > _WATCHED):
            return
        if not data and now - start > _UNCOVERED:
            raise Skipped("its source delivers nothing")


def _envelopes(lines: list[bytes]) -> None:
    if not lines:
        raise Skipped("its source delivers nothing")
    for line in lines:
        form = decode_object(line)
        if form is None or not isinstance(form.get("data"), dict):
            raise Departed(f"this line is not an envelope: {line[:200]!r}")


def _numbers(session: Session) -> None:
    numbers = [each.get("n") for each in session.checkpoints]
    if not numbers:
        raise Skipped("it wrote no checkpoint")
    require(numbers == list(range(1, len(numbers) + 1)), f"it numbered them {numbers[:10]}")


def _positions(session: Session) -> None:
    if not session.checkpoints:
        raise Skipped("it wrote no checkpoint")
    for line in session.lines:
        if line.startswith(CHECKPOINT):
            require(isinstance(first_object(line).get("checkpoint"), dict), f"no position in {line[:200]!r}")
            require(len(line) <= _POSITION_LIMIT + 64, f"a position of {len(line)} bytes")


def _ended(session: Session, acks: bool) -> None:
    require(session.code == 0, f"it exited with {session.code}")
    if acks:
        require(bool(session.lines) and session.lines[-1].startswith(END), "its last line is not an end line")


def _last_checkpoint(session: Session, acks: bool) -> None:
    if not acks:
        raise Skipped("it writes no checkpoints")
    if not session.data:
        raise Skipped("its source delivers nothing")
    _ended(session, acks)
    require(len(session.lines) > 1 and session.lines[-2].startswith(CHECKPOINT), "no checkpoint stands before the end")


def _plain(session: Session) -> None:
    for line in session.lines:
        require(not line.startswith((CHECKPOINT, END)), f"it wrote {line[:200]!r}")
