"""Checkpoints of `advance`: soon after data, also while the input waits for its source, and never past other data."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dstream_sdk import Input, InputSession, Stopped
from dstream_sdk.channel import LineReader, Writer
from dstream_sdk.checkpoint_pacer import CheckpointPacer
from dstream_sdk.input import run_input
from tests.events import until

Run = Callable[[InputSession], None]


class Host:
    """The host's side of an input that runs in a thread of this process."""

    def __init__(self, run: Run) -> None:
        to_input, self._to_input = os.pipe()
        from_input, to_host = os.pipe()
        self._lines = os.fdopen(from_input, "rb")

        class Source(Input[dict[str, Any]]):
            def run(self, config: dict[str, Any], session: InputSession) -> None:
                run(session)

        opening = {"command": "run", "protocol": 2, "role": "input", "acks": True}

        def work() -> None:
            self.code = run_input(Source(), {}, opening, LineReader(to_input), Writer(to_host), 2)
            os.close(to_host)

        self.code: int | None = None
        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()
        assert self.read() == {"status": "ready", "protocol": 2}

    def read(self) -> Any:
        return json.loads(self._lines.readline() or "null")

    def commit(self, checkpoint: dict[str, Any]) -> None:
        os.write(
            self._to_input,
            json.dumps({"committed": {"checkpoint": checkpoint}}, separators=(",", ":")).encode() + b"\n",
        )

    def rest(self) -> list[Any]:
        lines = [json.loads(line) for line in self._lines]
        self._thread.join(30)
        return lines


@pytest.fixture(autouse=True)
def no_signal_handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("signal.signal", lambda *_: None)  # only the main thread may set them
    yield


def test_a_checkpoint_follows_data_while_the_input_waits_for_its_source() -> None:
    released = threading.Event()

    def run(session: InputSession) -> None:
        session.pace(0.05, 3600)
        session.checkpoint({"at": 0})
        session.emit({"n": 1})
        session.advance({"at": 1})
        released.wait(30)  # a source that has nothing more to say

    host = Host(run)
    assert [host.read() for _ in range(3)][1:] == [
        {"data": {"n": 1}, "metadata": {}},
        {"checkpoint": {"at": 1}, "n": 2},
    ]
    released.set()
    assert host.rest() == [{"end": True}]


def test_data_is_covered_soon_although_a_position_without_data_waited_for_the_heartbeat() -> None:
    released, asked = threading.Event(), []

    def run(session: InputSession) -> None:
        session.pace(1.0, 3600)
        session.checkpoint({"at": 0})
        session.advance({"at": 1})
        far = time.monotonic() + 1800
        until(lambda: session._pacer._asleep_until > far, "the thread to sleep until the heartbeat")
        session.checkpoint({"at": 2})
        session.emit({"n": 1})
        session.advance({"at": 3})
        asked.append(released.wait(100))

    host = Host(run)
    assert [host.read() for _ in range(4)][2:] == [
        {"data": {"n": 1}, "metadata": {}},
        {"checkpoint": {"at": 3}, "n": 3},
    ]
    released.set()
    assert host.rest() == [{"end": True}]
    assert asked == [True], "the checkpoint came with the end of the session"


def test_the_last_position_is_written_at_the_end() -> None:
    def run(session: InputSession) -> None:
        session.pace(3600, 3600)
        session.emit({"n": 1})
        session.advance({"at": 1})

    assert Host(run).rest()[1:] == [{"checkpoint": {"at": 1}, "n": 1}, {"end": True}]


def test_a_position_is_not_written_behind_data_that_it_does_not_cover() -> None:
    def run(session: InputSession) -> None:
        session.pace(3600, 3600)
        session.emit({"n": 1})
        session.advance({"at": 1})
        session.emit({"n": 2})

    assert [next(iter(line)) for line in Host(run).rest()] == ["data", "data", "end"]


def test_a_position_without_data_waits_for_the_heartbeat_and_is_written_once() -> None:
    def run(session: InputSession) -> None:
        session.pace(3600, 0.0)
        for _ in range(3):
            session.advance({"at": 1})

    assert Host(run).rest() == [{"checkpoint": {"at": 1}, "n": 1}, {"end": True}]


def test_a_function_makes_the_position_only_when_it_is_written() -> None:
    calls = []

    def position() -> dict[str, Any]:
        calls.append(1)
        return {"at": len(calls)}

    def run(session: InputSession) -> None:
        session.pace(3600, 3600)
        session.emit({"n": 1})
        for _ in range(5):
            session.advance(position)

    assert Host(run).rest()[1] == {"checkpoint": {"at": 1}, "n": 1}
    assert calls == [1]


def test_a_failure_in_the_background_reaches_the_input() -> None:
    written = threading.Event()

    def write(_: object) -> None:
        written.set()
        raise ValueError("no position")

    pacer = CheckpointPacer(write)
    pacer.interval = 0.01
    pacer.before_data()
    pacer.advance(lambda: {"at": 1})
    assert written.wait(30)
    with pytest.raises(ValueError, match="no position"):
        while True:
            pacer.before_data()


def test_store_returns_when_the_host_has_stored_the_checkpoint() -> None:
    def run(session: InputSession) -> None:
        session.store({"at": 1})
        session.emit({"n": 1})

    host = Host(run)
    assert host.read() == {"checkpoint": {"at": 1}, "n": 1}
    host.commit({"at": 0})
    host.commit({"at": 1})
    assert host.rest() == [{"data": {"n": 1}, "metadata": {}}, {"end": True}]


def test_a_session_that_stops_while_it_stores_ends_well() -> None:
    sessions: list[InputSession] = []

    def run(session: InputSession) -> None:
        sessions.append(session)
        with pytest.raises(Stopped):
            session.store({"at": 1})
        raise Stopped

    host = Host(run)
    assert host.read() == {"checkpoint": {"at": 1}, "n": 1}
    sessions[0].stop()
    assert host.rest() == [{"end": True}]
    assert host.code == 0
