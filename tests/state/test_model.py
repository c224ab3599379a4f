"""Every point at which an apply can die or be stopped, tried one by one; and proof that the trial finds real bugs.

The real algorithm runs over storage in memory. At its n-th request, for every n, one of four things happens:
the process dies before or after the request took effect, or it is stopped there until its lease has ended and
another apply has run from beginning to end, and then goes on, a zombie. In the end one more apply runs in
peace. Then:

    the objects that exist are those in the state, nothing was created twice, no journal is left.

With two applies in a row that die (or are stopped) all pairs of points are tried. Taking out a step of the
algorithm (the change of ownership, the seal, the intent, the list of absorbed journals) must make this fail.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from typing import Any, Literal

import pytest

from dstream_state import Intent, Snapshot, StateError, StateLocked, journal, processes
from dstream_state.backend_impl import StoredBackend
from dstream_state.lease import Lease
from dstream_state.lock_metadata import Meta
from dstream_state.memory import MemoryPlace, MemoryStorage
from dstream_state.state_lock import StoredHeld

from .world import Actor, World

Mode = Literal["dies before", "dies after", "is delayed", "is stopped"]
MODES: tuple[Mode, ...] = ("dies before", "dies after", "is delayed", "is stopped")
FIRST, SECOND = ("a", "b"), ("a", "b", "c")
FEWER = ("a",)
REQUESTS = frozenset(
    {
        "read",
        "read_meta",
        "acquire",
        "release",
        "write",
        "write_meta",
        "create_log",
        "append",
        "seal",
        "read_log",
        "delete_log",
        "put",
        "files",
        "break_lease",
    }
)


@pytest.fixture(autouse=True)
def _nobody_renews(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time moves by hand here: a thread that renews would have nothing to do."""
    monkeypatch.setattr(Lease, "_watch", lambda self: None)


class Died(BaseException):
    """The process is gone; nothing of it runs any more."""


class Interrupted:
    """A client of the storage, to which something happens at its n-th request."""

    def __init__(self, storage: MemoryStorage, at: int, mode: Mode, meanwhile: Callable[[], None]) -> None:
        self.storage, self.at, self.mode, self.meanwhile = storage, at, mode, meanwhile
        self.count = 0
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.storage, name)
        if name not in REQUESTS:
            return found

        def request(*args: Any) -> Any:
            if self.dead:
                raise Died
            self.count += 1
            if self.count != self.at:
                return found(*args)
            if self.mode == "dies before":
                self.die()
            if self.mode == "is delayed":
                self.meanwhile()
            result = found(*args)
            if self.mode == "dies after":
                self.die()
            if self.mode == "is stopped":
                self.meanwhile()
            return result

        return request

    def die(self) -> None:
        self.dead = True
        raise Died


class Trial:
    """One place, one world, and applies that are interrupted."""

    def __init__(self, *, can_seal: bool = True) -> None:
        self.moment = 0.0
        self.place = MemoryPlace(can_seal=can_seal, clock=lambda: self.moment)
        self.world = World()

    def lease_ends(self) -> None:
        self.moment += 100

    def interrupted(
        self,
        at: int,
        mode: Mode,
        wanted: tuple[str, ...],
        meanwhile: Callable[[], None],
        *,
        lease_ends: bool = True,
    ) -> bool:
        """Run an apply, interrupted at its n-th request; return whether it got that far."""

        def stopped() -> None:
            self.lease_ends()
            meanwhile()

        client = Interrupted(self.place.storage(), at, mode, stopped)
        # Who was stopped finds out by the clock. A late request has to be refused even if the clock says
        # nothing.
        clock = (lambda: 0.0) if mode == "is delayed" else (lambda: self.moment)
        backend = StoredBackend(client, clock=clock)  # type: ignore[arg-type]  # a proxy of a Storage
        try:
            held = backend.lock("apply")
            with_death = Actor(self.world, held, wanted)
            try:
                with_death.run()
            finally:
                held.release()
        except (StateError, Died):
            pass
        if lease_ends:
            self.lease_ends()
        return client.count >= at

    def in_peace(self) -> None:
        """Run an apply that nothing happens to."""
        with StoredBackend(self.place.storage(), clock=lambda: self.moment).lock("apply") as held:
            Actor(self.world, held, SECOND).run()
        self.lease_ends()

    def check(self) -> None:
        snapshot = StoredBackend(self.place.storage()).read().snapshot
        assert snapshot is not None
        known = {item.identity["id"]: address for address, item in snapshot.resources.items()}
        assert sorted(known) == sorted(self.world.objects), "what exists is not what the state knows"
        assert sorted(known.values()) == sorted(SECOND)
        assert not [address for address, times in self.world.created.items() if times > 1], "created twice"
        assert not snapshot.intents
        assert Meta.load(self.place.storage().read_meta("state").meta).journals == ()


def one_interruption(*, can_seal: bool = True) -> int:
    """Try every single point; return how many there were."""
    count = 0
    for mode, later in itertools.product(MODES, (False, True)):
        for at in itertools.count(1):
            trial = Trial(can_seal=can_seal)
            if later:  # With a state and objects that are there already.
                trial.interrupted(10**9, mode, ("c",), lambda: None)
            if not trial.interrupted(at, mode, FIRST, trial.in_peace):
                break
            trial.in_peace()
            trial.check()
            count += 1
    return count


def two_interruptions() -> int:
    """Try every pair: the second apply, which recovers from the first, is interrupted too."""
    count = 0
    for first, second in itertools.product(MODES, MODES):
        for at in itertools.count(1):
            if not Trial().interrupted(at, first, FEWER, lambda: None):
                break
            for then in itertools.count(1):
                trial = Trial()
                if not both(trial, at, first, then, second):
                    break
                trial.in_peace()
                trial.check()
                count += 1
    return count


def both(trial: Trial, at: int, first: Mode, then: int, second: Mode) -> bool:
    """Interrupt the first apply, and the one that comes meanwhile or after it.

    Return whether that got so far.
    """
    reached: list[bool] = []

    def next_one() -> None:
        reached.append(trial.interrupted(then, second, FIRST, trial.in_peace))

    if first.startswith("dies"):
        trial.interrupted(at, first, FEWER, lambda: None)
        next_one()
    else:
        trial.interrupted(at, first, FEWER, next_one)
    return bool(reached) and reached[0]


def test_whenever_an_apply_dies_or_is_stopped_nothing_is_forgotten() -> None:
    assert one_interruption() > 100


def test_nothing_is_forgotten_where_journals_cannot_be_sealed() -> None:
    assert one_interruption(can_seal=False) > 100


def test_whenever_two_applies_in_a_row_die_or_are_stopped_nothing_is_forgotten() -> None:
    assert two_interruptions() > 2000


def unlocked_by_force(trial: Trial, client: Any = None) -> None:
    """Do what a user does who is told that the state is locked, right after the holder was killed."""
    backend = StoredBackend(client or trial.place.storage(), clock=lambda: trial.moment)
    try:
        backend.lock("look").release()
    except StateLocked as problem:
        backend.force_unlock(None if problem.holder is None else problem.holder.id)


@pytest.mark.parametrize("mode", ["dies before", "dies after"])
def test_force_unlock_works_in_every_state_that_a_crash_can_leave_and_may_be_killed_itself(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "alive", lambda pid, started: False)
    locked = 0
    for at in itertools.count(1):
        for then in itertools.count(1):
            trial = Trial()
            if not trial.interrupted(at, mode, FIRST, lambda: None, lease_ends=False):
                assert locked > 50
                return
            client = Interrupted(trial.place.storage(), then, mode, lambda: None)
            with contextlib.suppress(Died):
                unlocked_by_force(trial, client)
            if client.count < then:
                break
            locked += 1
            unlocked_by_force(trial)
            trial.in_peace()
            trial.check()


def without_ownership(monkeypatch: pytest.MonkeyPatch) -> None:
    """The new holder does not write itself and its journal into the metadata."""
    real = MemoryStorage.write_meta

    def write_meta(self: MemoryStorage, name: str, meta: dict[str, str], lease: str, tag: str) -> str:
        if "released" in meta.get("holder", ""):
            return real(self, name, meta, lease, tag)
        return tag

    monkeypatch.setattr(MemoryStorage, "write_meta", write_meta)


def without_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recovery reads the journal and lets its writer go on."""
    monkeypatch.setattr(MemoryStorage, "seal", lambda self, name: self.read_log(name))
    # Appends of a zombie whose journal is gone would be noticed; they are let through as well.
    monkeypatch.setattr(StoredHeld, "_remove", lambda self, name: None)


def without_intents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Providers are called before it is written down."""
    real = journal.JournalWriter.append

    def append(self: journal.JournalWriter, records: list[Any]) -> None:
        real(self, [record for record in records if not isinstance(record, Intent)])

    monkeypatch.setattr(journal.JournalWriter, "append", append)


def without_absorbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot does not say which journals are part of it."""
    real = Snapshot.from_json.__func__  # type: ignore[attr-defined]  # a classmethod's function

    def from_json(cls: type[Snapshot], form: Any) -> Snapshot:
        return real(cls, form | {"absorbed": {}})

    monkeypatch.setattr(Snapshot, "from_json", classmethod(from_json))


@pytest.mark.parametrize("take_out", [without_ownership, without_seal, without_intents, without_absorbed])
def test_the_trial_finds_the_bug_when_a_step_is_taken_out(
    take_out: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    take_out(monkeypatch)
    with pytest.raises((AssertionError, StateError)):
        one_interruption()
