"""Run loops, in processes of their own: stopping, dying, stray output, slow hosts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dstream_sdk.testing import ProviderProcess

HEAD = """
import os, sys, threading, time
from dataclasses import dataclass
from dstream_sdk import *
from dstream_sdk.aio import AsyncInput, AsyncOutput
"""
INPUT = {"command": "run", "protocol": 2, "role": "input", "task": "t", "config": {}, "checkpoint": None, "acks": True}
OUTPUT = {"command": "run", "protocol": 2, "role": "output", "task": "t", "config": {}, "acks": True}


class Script:
    """Writes a provider and starts it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "provider.py"

    def __call__(self, body: str, **env: str) -> ProviderProcess:
        self._path.write_text(HEAD + body)
        return ProviderProcess([sys.executable, str(self._path)], env=env)


@pytest.fixture
def provider(tmp_path: Path) -> Script:
    return Script(tmp_path)


COUNTER = """
class Counter(Input[dict]):
    def run(self, config, session):
        n = 0
        while not session.stopping:
            n += 1
            session.emit({"n": n}, {"pad": "x" * 100})
            if n % 10 == 0:
                session.checkpoint({"n": n})
        session.checkpoint({"n": n})
main(Provider("counter", "1", input=Counter()))
"""


def test_an_input_at_full_speed_stops_at_sigterm_with_a_last_checkpoint(provider: Script) -> None:
    with provider(COUNTER) as process:
        process.send(INPUT)
        for _ in range(1000):
            process.line()
        process.signal("SIGTERM")
        *_, before, last = [json.loads(line) for line in process.rest()]
        assert last == {"end": True}
        assert "checkpoint" in before
        assert process.wait() == 0


def test_an_input_ends_when_the_host_closes_the_pipe(provider: Script) -> None:
    with provider(COUNTER) as process:
        process.send(INPUT)
        process.read()
        process.close()
        assert json.loads(process.rest()[-1]) == {"end": True}


def test_an_input_ends_when_nobody_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "provider.py"
    path.write_text(HEAD + COUNTER)
    argv = [sys.executable, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(json.dumps(INPUT).encode() + b"\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == b""


def test_stray_output_of_imports_threads_and_children_goes_to_stderr(provider: Script, tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(
        "import os, subprocess, sys\n"
        "print('at import'); os.write(1, b'raw\\n'); subprocess.run(['echo', 'child'], check=True)\n"
        "from dstream_sdk import Input, Provider\n"
        "class Quiet(Input[dict]):\n"
        "    def run(self, config, session):\n"
        "        print('at run'); assert sys.stdin.read() == ''; session.emit({'n': 1})\n"
        "PROVIDER = Provider('noisy', '1', input=Quiet())\n"
    )
    with provider("main('noisy:PROVIDER')", PYTHONPATH=str(tmp_path), PYTHONUNBUFFERED="") as process:
        process.send(INPUT)
        assert process.read()["status"] == "ready"
        assert process.read()["data"] == {"n": 1}
        assert process.read() == {"end": True}
        assert process.rest() == []
        process.wait()
        assert {"at import", "raw", "child", "at run"} <= set(process.stderr().split("\n"))


def test_a_record_does_not_wait_for_the_buffer_to_fill(provider: Script) -> None:
    body = """
class Slow(Input[dict]):
    def run(self, config, session):
        session.emit({"n": 1})
        time.sleep(3600)
main(Provider("slow", "1", input=Slow()))
"""
    with provider(body) as process:
        process.send(INPUT)
        process.read()
        assert process.read()["data"] == {"n": 1}


def test_a_side_that_cannot_go_on_says_why_in_its_last_line(provider: Script) -> None:
    body = """
class Bad(Input[dict]):
    def run(self, config, session):
        session.emit({"n": 1})
        raise DeniedError("Access denied", "the login may not read", retry_after=3)
class Worse(Output[dict]):
    def write(self, lines): pass
    def flush(self, checkpoint): raise ConflictError("No such queue", "it was deleted")
main(Provider("bad", "1", input=Bad()) if %s else Provider("worse", "1", output=Worse()))
"""
    with provider(body % True) as process:
        process.send(INPUT)
        *_, data, last = map(json.loads, process.rest())
        assert data["data"] == {"n": 1}
        (told,) = last["diagnostics"]
        assert (last["status"], told["class"], told["detail"]) == ("error", "denied", "the login may not read")
        assert (process.wait(), process.stderr()) == (1, "")
    with provider(body % False) as process:
        process.send(OUTPUT, {"data": {}}, {"checkpoint": {}, "n": 1}, {"data": {}}, {"end": True})
        _, last = map(json.loads, process.rest())
        assert (last["status"], last["diagnostics"][0]["class"]) == ("error", "conflict")
        assert (process.wait(), process.stderr()) == (1, "")


def test_an_input_that_fails_says_so_on_stderr_in_a_sentence(provider: Script) -> None:
    body = """
class Bad(Input[dict]):
    def run(self, config, session):
        session.emit({"n": 1})
        session.checkpoint({"n": 1})
        raise %s
main(Provider("bad", "1", input=Bad()))
"""
    for raised, said, expected in (
        (
            'RetriableError("Connection lost", "the server went away")',
            "error: Connection lost\n  the server went",
            ["status", "data"],
        ),
        ('KeyError("x")', "error: the provider failed: KeyError: 'x'", ["status", "data", "checkpoint"]),
    ):
        with provider(body % raised) as process:
            process.send({**INPUT, "acks": False} if "Retriable" in raised else INPUT)
            assert [next(iter(json.loads(line))) for line in process.rest()] == expected
            assert process.wait() == 1
            assert said in process.stderr()
            assert "Traceback" not in process.stderr()


def test_a_position_that_is_too_large_ends_the_session(provider: Script) -> None:
    body = """
class Large(Input[dict]):
    def run(self, config, session):
        session.checkpoint({"n": "x" * 65536})
main(Provider("large", "1", input=Large()))
"""
    with provider(body) as process:
        process.send(INPUT)
        process.read()
        assert [json.loads(line)["diagnostics"][0]["summary"] for line in process.rest()] == ["Checkpoint too large"]
        assert process.wait() == 1


def test_without_acks_a_position_counts_as_committed_when_it_is_written(provider: Script) -> None:
    body = """
class Once(Input[dict]):
    def run(self, config, session):
        session.on_committed(lambda position: session.emit({"committed": position}))
        session.checkpoint({"n": 1})
main(Provider("once", "1", input=Once()))
"""
    with provider(body) as process:
        process.send({**INPUT, "acks": False})
        process.read()
        assert process.read()["data"] == {"committed": {"n": 1}}
        assert process.rest() == []


def test_half_a_line_is_the_last_thing_that_a_broken_input_writes(provider: Script) -> None:
    with provider(COUNTER, DSTREAM_FAULT="mid_line:3") as process:
        process.send(INPUT)
        *lines, last = process.rest()
        assert process.wait() == -9
        assert len([line for line in lines if line.startswith(b'{"checkpoint":')]) == 2
        assert not last.endswith(b"\n")


ROWS = """
class Rows(Output[dict]):
    def write(self, lines):
        os.write(2, b"".join(b"row %s\\n" % line for line in lines))
    def flush(self, checkpoint):
        os.write(2, b"flush %r\\n" % checkpoint)
main(Provider("rows", "1", output=Rows()))
"""


def test_an_output_can_die_between_durable_and_acknowledged(provider: Script) -> None:
    with provider(ROWS, DSTREAM_FAULT="after_sink_before_ack:2") as process:
        process.send(OUTPUT, {"data": {"n": 1}}, {"checkpoint": {"n": 1}, "n": 1})
        assert [process.read(), process.read()][1]["n"] == 1
        process.send({"data": {"n": 2}}, {"checkpoint": {"n": 2}, "n": 2})
        assert process.rest() == []
        assert process.wait() == -9
        assert process.stderr().count("flush") == 2


def test_an_output_takes_records_larger_than_a_pipe(provider: Script) -> None:
    body = """
class Sizes(Output[dict]):
    def write(self, lines):
        os.write(2, b"".join(b"%d\\n" % len(line) for line in lines))
    def flush(self, checkpoint):
        pass
main(Provider("sizes", "1", output=Sizes()))
"""
    with provider(body) as process:
        process.send(OUTPUT)
        process.read()
        process.send({"data": {"n": "x" * 5_000_000}}, {"checkpoint": {}, "n": 1}, {"end": True})
        assert process.read() == {"checkpoint": {}, "n": 1}
        assert process.wait() == 0
        assert process.stderr().split() == ["5000017"]


DEEP = b'{"data":{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}}"


@pytest.mark.parametrize("parsed", [False, True])
def test_a_line_that_is_nested_too_deeply_is_rejected(provider: Script, parsed: bool) -> None:
    body = """
class Picky(Output[dict]):
    def open(self, config, session):
        self.session = session
    def METHOD(self, lines):
        for line in lines:
            self.session.reject(line, "too deep")
    def flush(self, checkpoint):
        pass
main(Provider("picky", "1", output=Picky()))
"""
    with provider(body.replace("METHOD", "write_envelopes" if parsed else "write")) as process:
        process.send(OUTPUT)
        process.read()
        process.send_text(DEEP + b"\n")
        process.send({"checkpoint": {}, "n": 1}, {"end": True})
        first = process.read()
        assert first["reject"]["envelope"] == DEEP.decode()
        assert first["reject"]["reason"].startswith("not an envelope: " if parsed else "too deep")
        assert process.read() == {"checkpoint": {}, "n": 1}


def test_a_full_answer_pipe_does_not_stop_requests_from_being_read(provider: Script) -> None:
    body = """
class Big(ResourceType[dict]):
    type = "big"
    attributes = dict
    def read(self, ctx, identity, prior):
        return Object(identity, {"text": "x" * 1_000_000})
main(Provider("big", "1", resources=[Big()]))
"""
    with provider(body) as process:
        process.send({"command": "serve", "protocol": 2, "role": "resource", "config": {}})
        process.read()
        requests = [
            {"id": n, "command": "status", "type": "big", "identity": {"pad": "y" * 100_000}} for n in range(16)
        ]
        process.send(*requests)
        process.close()
        assert sorted(process.read()["id"] for _ in requests) == list(range(16))
        assert process.wait() == 0


def test_asyncio_inputs_and_outputs_play_their_roles(provider: Script) -> None:
    body = """
class Ticks(AsyncInput[dict]):
    async def run_async(self, config, session):
        n = 0
        while not await session.wait(0.01):
            n += 1
            await session.emit({"n": n})
            await session.checkpoint({"n": n})
class Rows(AsyncOutput[dict]):
    async def write_async(self, envelopes):
        self.seen = [each.data for each in envelopes]
    async def flush_async(self, checkpoint):
        log(f"flushed {self.seen}")
main(Provider("ticks", "1", input=Ticks(), output=Rows()))
"""
    with provider(body) as process:
        process.send(INPUT)
        assert [next(iter(process.read())) for _ in range(5)] == ["status", "data", "checkpoint", "data", "checkpoint"]
        process.signal("SIGTERM")
        assert json.loads(process.rest()[-1]) == {"end": True}
        assert process.wait() == 0
    with provider(body) as process:
        process.send(OUTPUT, {"data": {"n": 7}}, {"checkpoint": {}, "n": 1}, {"end": True})
        assert [process.read(), process.read()][1] == {"checkpoint": {}, "n": 1}
        assert process.wait() == 0
        assert "flushed [{'n': 7}]" in process.stderr()


def test_starting_a_provider_imports_nothing_that_is_slow() -> None:
    heavy = {"asyncio", "argparse", "logging", "concurrent", "subprocess", "importlib.metadata", "difflib", "decimal"}
    code = "import dstream_sdk, sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert heavy.isdisjoint(found)


def test_a_person_who_starts_a_provider_without_input_is_told_what_to_do(provider: Script) -> None:
    with provider(COUNTER) as process:
        process.close()
        assert process.rest() == []
        assert process.wait() == 2
        assert 'such as {"command":"run","config":{}}' in process.stderr()


PLANS = """
class Out(Output[dict]):
    def plan(self, config, context):
        yield Resource("t", "k", {}, timeouts=TIMEOUTS)
main(Provider("out", "1", output=Out()))
"""


def test_timeouts_of_planned_objects_are_on_the_wire_and_wrong_ones_the_authors_error(provider: Script) -> None:
    opening = {"command": "plan", "protocol": 2, "role": "output", "task": "t", "config": {}, "streams": []}
    with provider(PLANS.replace("TIMEOUTS", '{"create": 7200, "read": 0.5}')) as process:
        process.send(opening)
        assert process.read()["resource"]["timeouts"] == {"create": 7200, "read": 0.5}
    for wrong in ('{"create": "2h"}', '{"destroy": 5}', '{"delete": 0}', '{"update": float("nan")}', '{"read": True}'):
        with provider(PLANS.replace("TIMEOUTS", wrong)) as process:
            process.send(opening)
            [found] = process.read()["diagnostics"]
            assert (found["summary"], found["class"]) == ("Invalid timeout", "invalid")
            assert found["detail"].startswith("t k has the timeout ")
