"""Real processes on one state: killed at random moments, stopped and continued, many at once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dstream_state import StateLocked, open_backend, overlay, processes
from dstream_state.backend import Backend
from tests.services.azurite import Azurite

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(params=["local", "azurerm"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(kind: str, request: pytest.FixtureRequest) -> dict[str, str]:
    return {} if kind == "local" else request.getfixturevalue("azure_settings")


@pytest.fixture
def backend(kind: str, settings: dict[str, str], tmp_path: Path) -> Backend:
    return open_backend(kind, settings, root=tmp_path)


@pytest.fixture
def start(kind: str, settings: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def begin(what: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(Path(__file__).with_name("worker.py")), what, kind, json.dumps(settings)]
        process = subprocess.Popen(
            [*command, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def lease_ends(kind: str, request: pytest.FixtureRequest) -> None:
    if kind == "azurerm":
        azure: Azurite = request.getfixturevalue("azure")
        azure.travel(61)


def everything(backend: Backend) -> set[str]:
    view = backend.read()
    return set() if view.snapshot is None else set(overlay(view.snapshot, view.pending).resources)


@pytest.mark.parametrize("what", ["append", "apply"])
def test_what_a_killed_process_was_told_is_durable_is_there(
    what: str, kind: str, backend: Backend, start: Start, request: pytest.FixtureRequest
) -> None:
    chance = random.Random(f"{what} {kind}")
    told: set[str] = set()
    for _ in range(5):
        process = start(what)
        told.update(line(process) for _ in range(chance.randint(1, 4)))
        time.sleep(chance.uniform(0, 0.15))
        process.kill()
        assert process.stdout is not None
        told |= {text.strip() for text in process.stdout if text.endswith("\n")}
        process.wait()
        lease_ends(kind, request)
        with backend.lock("recover", timeout=60) as held:
            assert told <= set(held.snapshot.resources)
            assert not backend.read().pending
        assert told <= everything(backend)
    assert len(told) > 5


def test_a_stopped_process_that_goes_on_can_write_nothing(
    kind: str, backend: Backend, start: Start, request: pytest.FixtureRequest
) -> None:
    if kind == "local":
        pytest.skip("a local lock does not end while its process lives")
    process = start("hold")
    line(process)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert [line(process), line(process)] == ["append ok", "store ok"]
    process.send_signal(signal.SIGSTOP)
    lease_ends(kind, request)
    with backend.lock("apply", timeout=60) as held, backend.task("copy").acquire("run", timeout=60) as task:
        assert len(held.snapshot.resources) == 1
        process.send_signal(signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        said = [line(process) for _ in range(3)]
        assert "lost" in said
        said.remove("lost")
        assert said[0] in ("append StateConflict", "append LeaseLost")
        assert said[1] == "store LeaseLost"
        assert task.checkpoint is not None
        assert task.checkpoint.position == {"n": 0}
        held.finish()
    assert len(everything(backend)) == 1


def test_processes_at_once_have_consecutive_serials_and_lose_nothing(backend: Backend, start: Start) -> None:
    running = [start("contend") for _ in range(4)]
    said = [text for process in running for text in process.communicate(timeout=100)[0].splitlines()]
    assert [process.returncode for process in running] == [0] * 4
    assert sorted(int(text.split()[0]) for text in said) == list(range(1, 21))
    assert {text.split()[1] for text in said} == everything(backend)


class TestLocalLock:
    """The lock of the local backend belongs to processes."""

    @pytest.fixture
    def kind(self) -> str:
        return "local"

    def test_it_outlives_a_killed_engine_until_its_last_provider_is_gone(self, backend: Backend, start: Start) -> None:
        engine = start("engine", RECORD="0")
        provider = int(line(engine).split()[0])
        engine.kill()
        engine.wait()
        try:
            with pytest.raises(StateLocked):
                backend.lock("apply", timeout=0.2)
        finally:
            os.kill(provider, signal.SIGKILL)
        backend.lock("apply", timeout=60).release()

    def test_force_unlock_refuses_while_the_engine_lives_unless_told_to_kill(
        self, backend: Backend, start: Start
    ) -> None:
        engine = start("engine")
        provider, lock_id = line(engine).split()
        with pytest.raises(StateLocked, match=f"Process {engine.pid} .start time"):
            backend.force_unlock(lock_id)
        assert engine.poll() is None
        backend.force_unlock(lock_id, kill=True)
        assert engine.wait(10) == -signal.SIGKILL
        assert not processes.alive(int(provider), None)
        with backend.lock("apply") as held:
            held.finish()

    def test_force_unlock_ends_the_providers_that_a_killed_engine_left(self, backend: Backend, start: Start) -> None:
        engine = start("engine")
        provider, lock_id = line(engine).split()
        engine.kill()
        engine.wait()
        with pytest.raises(StateLocked, match=f"Process {provider}"):
            backend.force_unlock(lock_id)
        backend.force_unlock(lock_id, kill=True)
        assert not processes.alive(int(provider), None)
        backend.lock("apply").release()


def test_recovery_ends_the_recorded_processes_of_this_host_first(
    kind: str, backend: Backend, start: Start, request: pytest.FixtureRequest
) -> None:
    if kind == "local":
        pytest.skip("there, the lock is held until they are gone")
    engine = start("engine")
    provider = int(line(engine).split()[0])
    engine.kill()
    engine.wait()
    assert processes.alive(provider, None)
    lease_ends(kind, request)
    with backend.lock("apply", timeout=60) as held:
        assert [process.pid for process in held.leftovers] == [provider]
        assert not processes.alive(provider, None)


def test_a_process_with_the_same_pid_and_another_start_time_is_left_alone() -> None:
    other = subprocess.Popen(["sleep", "1000"])
    try:
        started = processes.start_time(other.pid)
        assert started is not None
        assert processes.end(other.pid, started - 1)
        assert other.poll() is None
        assert processes.end(other.pid, started)
    finally:
        other.kill()
        other.wait()


def test_a_start_time_is_known_with_and_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    other = subprocess.Popen(["sleep", "1000"])
    try:
        for proc in (True, False):
            monkeypatch.setattr(processes, "_PROC", proc)
            started = processes.start_time(other.pid)
            assert started is not None
            assert started == processes.start_time(other.pid)
            assert processes.alive(other.pid, started)
            assert not processes.alive(other.pid, started + 1)
            assert processes.start_time(2**22 + 1) is None
    finally:
        other.kill()
        other.wait()
