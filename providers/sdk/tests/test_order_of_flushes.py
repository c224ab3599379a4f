"""An output's data and checkpoints, however the bytes arrive: what a flush covers is exactly what came before."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dstream_sdk import Output
from dstream_sdk.channel import LineReader, Writer
from dstream_sdk.output import OutputSession, run_output


class Recorder(Output[dict[str, Any]]):
    stores_checkpoint = True

    def __init__(self) -> None:
        self.waiting: list[int] = []
        self.durable: list[int] = []
        self.flushes: list[int | None] = []
        self.ended: bool | None = None

    def open(self, config: dict[str, Any], session: OutputSession) -> None:
        session.stored_checkpoint = None

    def write(self, lines: list[bytes]) -> None:
        self.waiting += [json.loads(line)["data"]["n"] for line in lines]

    def flush(self, checkpoint: dict[str, Any] | None) -> None:
        self.durable += self.waiting
        self.waiting = []
        if checkpoint is not None:
            # What a crash right here would leave behind: data and checkpoint must belong together.
            assert self.durable == list(range(checkpoint["upto"]))
        self.flushes.append(checkpoint and checkpoint["upto"])

    def close(self, ended: bool) -> None:
        self.ended = ended


@settings(deadline=None, max_examples=60)
@given(
    commits=st.lists(st.integers(0, 5), max_size=30),
    cuts=st.lists(st.integers(1, 400), max_size=40),
    ended=st.booleans(),
    rest=st.integers(0, 3),
)
def test_data_and_checkpoint_belong_together(commits: list[int], cuts: list[int], ended: bool, rest: int) -> None:
    lines, sent, total = [], [], 0
    for number, records in enumerate(commits, 1):
        lines += [json.dumps({"data": {"n": n}, "metadata": {}}) for n in range(total, total + records)]
        total += records
        sent.append(json.dumps({"checkpoint": {"upto": total}, "n": number}, separators=(",", ":")))
        lines.append(sent[-1])
    lines += [json.dumps({"data": {"n": n}}) for n in range(total, total + rest)]
    text = "".join(line + "\n" for line in lines).encode() + (b'{"end":true}\n' if ended else b'{"data":{"n"')
    source, feed = os.pipe()
    answers, sink = os.pipe()

    def write() -> None:
        at = 0
        for size in cuts:
            os.write(feed, text[at : at + size])
            at += size
        os.write(feed, text[at:])
        os.close(feed)

    writer = threading.Thread(target=write)
    writer.start()
    recorder = Recorder()
    run_output(recorder, {}, {}, LineReader(source), Writer(sink), 2)
    writer.join()
    os.close(sink)
    with os.fdopen(answers, "rb") as file:
        ready, *acknowledged = file.read().decode().splitlines()
    os.close(source)
    assert json.loads(ready)["checkpoint"] is None
    numbers = [json.loads(line)["n"] for line in acknowledged]
    assert numbers == sorted(set(numbers))
    assert set(acknowledged) <= set(sent)
    assert recorder.ended is ended
    if ended:
        assert acknowledged[-1:] == sent[-1:]
        assert recorder.durable == list(range(total + rest))
    else:
        assert None not in recorder.flushes
