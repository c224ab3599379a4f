"""What Blob Storage and the network can do to one request of a lock, a journal, a finish or a release: one by one.

Every request of a whole operation meets every fault, once each. Whatever it is, the operation ends as if nothing had
happened. (What differs from another fault by its status alone is for the soak.) And requests that come late, when
another process has taken over, change nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from azure.core.credentials import AzureNamedKeyCredential

from dstream_state import Checkpoint, LeaseLost, ObjectState, Put, SettingsError, StateConflict, StateError, lease
from dstream_state.azure.blob import AzureStorage
from dstream_state.azure.service import BlobService
from dstream_state.backend_impl import StoredBackend
from dstream_state.lock_metadata import Meta
from tests.services.azurite import ACCOUNT, KEY, Azurite
from tests.services.faulty_proxy import LOST, NEVER_ARRIVED, PASSED, Fate, faulty_proxy

NEVER = threading.Event()
FAULTS = {
    "the answer is lost": LOST,
    "it never arrives": NEVER_ARRIVED,
    "429 before": Fate(carried_out=False, answer=429, code="TooManyRequests", headers={"Retry-After": "0"}),
    "500 after": Fate(answer=500, code="OperationTimedOut"),
    "503 before": Fate(carried_out=False, answer=503),
    "503 after": Fate(answer=503),
    "408 after": Fate(answer=408, code="RequestTimeout"),
}
MORE = {"503 before", "503 after", "408 after"}
"""Those that differ from another one by their status alone, which the client of Azure tries again as well."""


@dataclass
class Nth:
    """Gives the n-th request a fate, and lets all others pass."""

    fate: Fate
    at: int
    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, method: str, path: str) -> Fate:
        with self.lock:
            self.count += 1
            return self.fate if self.count == self.at else PASSED


def backend(endpoint: str, settings: dict[str, str], key: str, read_seconds: float = 30.0) -> StoredBackend:
    service = BlobService(
        endpoint,
        settings["container_name"],
        lambda: AzureNamedKeyCredential(ACCOUNT, KEY),
        first_pause=0.001,
        read_seconds=read_seconds,
    )
    return StoredBackend(AzureStorage(service, key))


def thing(number: int) -> Put:
    return Put(f"thing.{number}", ObjectState("p", "thing", f"k{number}", {"id": number}))


def apply(opened: StoredBackend) -> None:
    """Take the lock, append, finish, release."""
    with opened.lock("apply") as held:
        held.append([thing(1)])
        held.append([thing(2)])
        held.finish()


def has_applied(opened: StoredBackend) -> None:
    view = opened.read()
    assert view.snapshot is not None
    assert (view.snapshot.serial, sorted(view.snapshot.resources), view.pending) == (1, ["thing.1", "thing.2"], ())
    assert view.holder is not None and view.holder.released
    assert opened._storage.logs() == []
    assert Meta.load(opened._storage.read_meta("state").meta).journals == ()
    opened.lock("another").release()


def run(opened: StoredBackend) -> None:
    """Take the lease of a task, store a checkpoint and a dead letter, release."""
    with opened.task("copy").acquire("run") as task:
        task.store(Checkpoint({"n": 1}))
        task.dead_letters.append([(b"{}", "bad")])


def has_run(opened: StoredBackend) -> None:
    assert opened.task("copy").dead_letters.list() != []
    stored = opened.task("copy").read().checkpoint
    assert stored is not None and stored.position == {"n": 1}
    opened.task("copy").acquire("run").release()


OPERATIONS = {"apply": (apply, has_applied, 16), "run": (run, has_run, 9)}
"""An operation, what must be true afterwards, and how many requests it takes at least."""


@pytest.fixture(autouse=True)
def _nobody_renews(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are counted here: none comes by the clock."""
    monkeypatch.setattr(lease, "RENEW_EVERY", 10_000.0)
    monkeypatch.setattr(lease.Lease, "_watch", lambda self: None)


def every_request(
    azure: Azurite, settings: dict[str, str], operation: str, fate: Fate, read_seconds: float = 30.0
) -> None:
    """Give each request of an operation a fate, one after the other."""
    operate, check, least = OPERATIONS[operation]
    nth = Nth(fate, 0)
    with faulty_proxy(azure.endpoint, nth) as endpoint:
        for at in range(1, 200):
            nth.at, nth.count = at, 0
            opened = backend(endpoint, settings, f"s{at}", read_seconds)
            operate(opened)
            opened.close()
            check(backend(azure.endpoint, settings, f"s{at}"))
            if nth.count < at:
                assert at > least
                return
    raise AssertionError("it never ends")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=pytest.mark.soak) if name in MORE else name for name in FAULTS]
)
def test_whatever_happens_to_any_one_request_the_operation_ends_as_if_nothing_had(
    azure: Azurite, azure_settings: dict[str, str], fault: str, operation: str
) -> None:
    every_request(azure, azure_settings, operation, FAULTS[fault])


@pytest.mark.soak
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_answer_that_does_not_come_is_waited_for_and_looked_up(
    azure: Azurite, azure_settings: dict[str, str], operation: str
) -> None:
    every_request(azure, azure_settings, operation, Fate(until=NEVER, answer="reset"), read_seconds=0.5)


class Gate:
    """Holds back the next request of one kind, once it is armed, until it is opened."""

    def __init__(self, kind: str, *, answered: bool) -> None:
        self.kind, self.answered = kind, answered
        self.armed = False
        self.waiting, self.open = threading.Event(), threading.Event()

    def __call__(self, method: str, path: str) -> Fate:
        kinds = {"comp=appendblock": "append", "comp=metadata": "own", "comp=seal": "seal"}
        name, _, query = path.partition("?")
        found = next((kind for part, kind in kinds.items() if part in query), "")
        if not found and method == "PUT" and name.endswith("/state"):
            found = "finish" if "comp=" not in query else ""
        if not self.armed or found != self.kind:
            return PASSED
        self.armed = False
        self.waiting.set()
        return Fate(after=self.open, answer=None if self.answered else "reset")


@pytest.fixture(params=[True, False], ids=["late", "late, and the answer is lost"])
def answered(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@contextlib.contextmanager
def delayed(
    azure: Azurite, settings: dict[str, str], kind: str, answered: bool
) -> Iterator[tuple[StoredBackend, Gate]]:
    gate = Gate(kind, answered=answered)
    with faulty_proxy(azure.endpoint, gate) as endpoint:
        yield backend(endpoint, settings, "state"), gate
        gate.open.set()


def in_background(work: Callable[[], object]) -> tuple[threading.Thread, list[BaseException | None]]:
    ended: list[BaseException | None] = []

    def run() -> None:
        try:
            work()
            ended.append(None)
        except BaseException as problem:  # noqa: BLE001 - it is looked at by the test
            ended.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, ended


@pytest.mark.parametrize("kind", ["append", "finish"])
def test_a_write_that_arrives_when_another_has_taken_over_changes_nothing(
    azure: Azurite, azure_settings: dict[str, str], kind: str, answered: bool
) -> None:
    direct = backend(azure.endpoint, azure_settings, "state")
    with delayed(azure, azure_settings, kind, answered) as (slow, gate):
        held = slow.lock("slow")
        held.append([thing(1)])
        gate.armed = True
        thread, ended = in_background(lambda: held.append([thing(9)]) if kind == "append" else held.finish())
        assert gate.waiting.wait(30)
        azure.travel(61)
        with direct.lock("next", timeout=30) as after:
            assert list(after.snapshot.resources) == ["thing.1"]
            after.append([thing(2)])
            gate.open.set()
            thread.join(60)
            assert isinstance(ended[0], StateConflict | LeaseLost), ended
            with pytest.raises(StateError):
                held.append([thing(8)])
            after.append([thing(3)])
            assert after.finish().serial == 2
        held.release()
    snapshot = direct.read().snapshot
    assert snapshot is not None
    assert sorted(snapshot.resources) == ["thing.1", "thing.2", "thing.3"]


def test_who_is_late_in_taking_the_lock_does_not_have_it(
    azure: Azurite, azure_settings: dict[str, str], answered: bool
) -> None:
    direct = backend(azure.endpoint, azure_settings, "state")
    with delayed(azure, azure_settings, "own", answered) as (slow, gate):
        gate.armed = True
        thread, ended = in_background(lambda: slow.lock("slow"))
        assert gate.waiting.wait(30)
        azure.travel(61)
        with direct.lock("next", timeout=30) as after:
            gate.open.set()
            thread.join(60)
            assert isinstance(ended[0], StateConflict | LeaseLost), ended
            after.append([thing(1)])
            after.finish()
        view = direct.read()
        assert view.holder is not None and view.holder.operation == "next"


def test_a_seal_that_is_late_does_no_harm(azure: Azurite, azure_settings: dict[str, str], answered: bool) -> None:
    direct = backend(azure.endpoint, azure_settings, "state")
    first = direct.lock("killed")
    first.append([thing(1)])
    azure.travel(61)
    with delayed(azure, azure_settings, "seal", answered) as (slow, gate):
        gate.armed = True
        thread, ended = in_background(lambda: slow.lock("slow", timeout=30).release())
        assert gate.waiting.wait(30)
        azure.travel(61)
        with direct.lock("next", timeout=30) as after:
            gate.open.set()
            thread.join(60)
            assert ended[0] is None or isinstance(ended[0], StateError), ended
            after.append([thing(2)])
            after.finish()
    snapshot = direct.read().snapshot
    assert snapshot is not None
    assert sorted(snapshot.resources) == ["thing.1", "thing.2"]
    direct.lock("last", timeout=30).release()


def reporting(hierarchy: str, status: int = 200) -> Callable[[str, str], Fate]:
    """An account with or without a hierarchical namespace, or that does not report it."""
    answer = Fate(answer=status, code="AuthorizationFailure", headers={"x-ms-is-hns-enabled": hierarchy})
    return lambda _, path: answer if "restype=account" in path else PASSED


def test_an_account_with_a_hierarchical_namespace_is_refused_before_anything_is_stored(
    azure: Azurite, azure_settings: dict[str, str]
) -> None:
    with faulty_proxy(azure.endpoint, reporting("true")) as endpoint:
        opened = backend(endpoint, azure_settings, "state")
        with pytest.raises(SettingsError, match="hierarchical namespace"):
            opened.prepare()
    for fate in (reporting("false"), reporting("", 403)):
        with faulty_proxy(azure.endpoint, fate) as endpoint:
            opened = backend(endpoint, azure_settings, "state")
            opened.prepare()
            apply(opened)
            run(opened)
    backend(azure.endpoint, azure_settings, "state").prepare()
