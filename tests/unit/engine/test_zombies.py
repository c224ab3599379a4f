"""Engines that are stopped for longer than their lease, or cut off from the state, and then go on."""

import contextlib
import os
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dstream.diagnostics import DiagnosticsError
from dstream.engine.commands.state_edit import push_file
from dstream_state import StateConflict, StateError, StateUnavailable, lease, local, open_backend, processes
from dstream_state.local import LocalStorage
from dstream_state.state_files import ERRORED, ORPHANS
from tests.events import until
from tests.services import command_server
from tests.services.azurite import Azurite
from tests.services.forked import Forked
from tests.services.recorder.world import Told, World, said

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[3]
AZURE = """dstream {{
  backend "azurerm" {{
    container_name = "{container}"
    key            = "zombie"
  }}
}}
"""


def blocks(kind: str, *names: str) -> str:
    return "".join(f'resource "{kind}" "{name}" {{\n  name = "{name}"\n}}\n' for name in names)


@pytest.fixture
def remote(world: World, azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose state is in Blob Storage."""
    container = f"z{uuid.uuid4().hex[:20]}"
    settings = {"connection_string": azurite.connection_string, "container_name": container, "key": "zombie"}
    open_backend("azurerm", settings, root=world.folder).prepare()
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
    world.backend = AZURE.format(container=container)
    return world


@pytest.fixture
def engine(remote: World, tmp_path: Path) -> Iterator[Forked]:
    """An apply that waits for the creation of two objects."""
    remote.write(blocks("rec_marked", "a", "b", "c", "d") + blocks("rec_planned", "e"))
    remote.recorder.on("create", "b", gate="go")
    remote.recorder.on("create", "c", gate="go")
    (tmp_path / "clock").write_text("0")
    command = [sys.executable, "-m", "tests.services.recorder.applying", str(remote.folder), "apply", "never", "1"]
    env = os.environ | {"CLOCK_FILE": str(tmp_path / "clock")}
    process = command_server.start_program(command, cwd=ROOT, env=env, text=True)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("notices", [True, False], ids=["its clock tells it", "its clock tells it nothing"])
@pytest.mark.parametrize("stopped", ["engine", "engine and provider"])
def test_a_stopped_engine_that_goes_on_can_write_neither_state_nor_journal_nor_to_its_providers(
    remote: World,
    engine: Forked,
    azurite: Azurite,
    tmp_path: Path,
    notices: bool,
    stopped: str,
) -> None:
    recorder = remote.recorder
    until(lambda: {call.name for call in recorder.calls("create")} >= {"b", "c"}, "the changes to begin")
    until(lambda: {call.name for call in recorder.calls("created")} >= {"a", "d", "e"}, "other changes to end")
    engine.send_signal(signal.SIGSTOP)
    if stopped == "engine and provider":
        os.kill(recorder.calls("create")[0].more["pid"], signal.SIGSTOP)
    azurite.travel(61)
    if notices:
        (tmp_path / "clock").write_text("61")
    recorder.behave()
    remote.apply(lock_timeout=30)
    assert recorder.names() == ["a", "b", "c", "d", "e"]
    assert remote.in_step()
    before, calls = remote.snapshot, len(recorder.calls("create", "update", "delete"))
    engine.send_signal(signal.SIGCONT)
    out = "".join(engine.communicate(timeout=120))
    assert engine.returncode == 1, out
    assert "LeaseLost" in out or "StateConflict" in out, out
    assert len(recorder.calls("create", "update", "delete")) == calls
    view = remote.operation().backend.read()
    assert (view.snapshot, view.pending) == (before, ())
    assert remote.in_step()
    assert not remote.plan().has_changes


def test_what_a_lost_holder_made_and_could_not_record_is_saved_and_taken_up(
    remote: World, azurite: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_EVERY", 10_000.0)
    remote.write(blocks("rec_blind", "a", "b"))
    remote.recorder.on("create", "a", gate="go")
    ended: list[BaseException] = []

    def lose() -> None:
        try:
            World.attempt(remote)
        except StateError as problem:
            ended.append(problem)

    thread = threading.Thread(target=lose)
    thread.start()
    until(lambda: "b" in remote.recorder.names() and remote.recorder.calls("create"), "the first changes")
    azurite.travel(61)
    # Another machine takes over: it ends no process of this one, and cannot ask for what a blind type made.
    monkeypatch.setattr(processes, "end", lambda *_, **__: True)
    with pytest.raises(DiagnosticsError) as refused:
        remote.attempt(lock_timeout=30)
    assert "Unresolved object" in said(refused.value.diagnostics)
    remote.recorder.open_gate("go")
    thread.join(60)
    assert ORPHANS in str(ended[0]) and "state push" in str(ended[0])
    assert (remote.folder / ORPHANS).stat().st_mode & 0o777 == 0o600
    assert not remote.in_step()
    push_file(remote.operation(), remote.folder / ORPHANS, 30, Told(), force=False)
    remote.apply(lock_timeout=30)
    assert remote.recorder.names() == ["a", "b"]
    assert remote.in_step()
    push_file(remote.operation(), remote.folder / ORPHANS, 30, Told(), force=False)  # once more does no harm
    assert not remote.plan().has_changes


class TestWhereTheStateCannotBeWritten:
    """The disk is full, or the service away, from some moment on."""

    @pytest.fixture
    def full(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bool]]:
        """Say what cannot be written: `journal`, `state`."""
        wrong = {"journal": False, "state": False}
        append, write = LocalStorage.append, LocalStorage.write

        def failing_append(self: LocalStorage, *given: object) -> None:
            if wrong["journal"]:
                raise StateUnavailable("no space left on device")
            append(self, *given)  # type: ignore[arg-type]  # as they came

        def failing_write(self: LocalStorage, *given: object) -> str:
            if wrong["state"]:
                raise StateUnavailable("no space left on device")
            return write(self, *given)  # type: ignore[arg-type]  # as they came

        monkeypatch.setattr(local.LocalStorage, "append", failing_append)
        monkeypatch.setattr(local.LocalStorage, "write", failing_write)
        return wrong

    @contextlib.contextmanager
    def two_made(self, world: World, then: Callable[[], None]) -> Iterator[None]:
        """Let something happen when the provider works on `a` and `b`, and is about to answer."""
        for name in "ab":
            world.recorder.on("create", name, gate="go")

        def go_on() -> None:
            until(lambda: len(world.recorder.calls("create")) == 2, "two changes to begin")
            then()
            world.recorder.open_gate("go")

        thread = threading.Thread(target=go_on)
        thread.start()
        yield
        thread.join(60)

    @pytest.mark.parametrize("kind", ["rec_marked", "rec_blind"])
    def test_a_journal_that_cannot_be_written_stops_the_apply_and_loses_nothing(
        self, world: World, full: dict[str, bool], kind: str
    ) -> None:
        world.write(blocks(kind, *"abcdef"))
        with self.two_made(world, lambda: full.update(journal=True)):
            outcome = world.attempt(parallelism=2)
        assert "no space left" in said(outcome.diagnostics)
        assert world.recorder.names() == ["a", "b"]
        assert world.in_step()
        full["journal"] = False
        world.apply()
        assert world.recorder.names() == list("abcdef")
        assert world.in_step()

    @pytest.mark.parametrize("kind", ["rec_marked", "rec_blind"])
    def test_what_can_be_written_nowhere_is_saved_and_pushed(
        self, world: World, full: dict[str, bool], kind: str
    ) -> None:
        world.write(blocks(kind, *"abcdef"))
        with (
            self.two_made(world, lambda: full.update(journal=True, state=True)),
            pytest.raises(StateUnavailable, match=r"errored\.dsstate.*before the next apply"),
        ):
            world.attempt(parallelism=2)
        assert world.recorder.names() == ["a", "b"]
        full.update(journal=False, state=False)
        push_file(world.operation(), world.folder / ERRORED, 20, Told(), force=False)
        assert world.in_step()
        world.apply()
        assert world.recorder.names() == list("abcdef")
        assert world.in_step()

    def test_a_state_that_cannot_be_written_at_the_end_is_in_journal_and_file(
        self, world: World, full: dict[str, bool]
    ) -> None:
        world.write(blocks("rec_marked", "a", "b"))
        full["state"] = True
        with pytest.raises(StateUnavailable, match=r"in the journal, and is saved in .*errored\.dsstate"):
            world.attempt()
        full["state"] = False
        assert world.in_step()
        world.apply()
        world.apply(blocks("rec_marked", "a", "b", "c"))
        with pytest.raises(StateConflict, match="the state is newer"):
            push_file(world.operation(), world.folder / ERRORED, 20, Told(), force=False)
        assert world.recorder.names() == ["a", "b", "c"]
        assert world.in_step()
