"""The deadline: a lease is believed in until it may have ended, and not a moment longer."""

from __future__ import annotations

import threading

import pytest

from dstream_state import LeaseLost, StateUnavailable
from dstream_state.lease import Lease
from dstream_state.memory import MemoryPlace, MemoryStorage


class Moment:
    """A clock that the test moves, for the process and the service."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def taken(moment: Moment, storage: MemoryStorage | None = None) -> Lease:
    lease = Lease(storage or MemoryPlace(clock=moment).storage(), "state", moment)
    lease.acquire(0, lambda: None)
    return lease


def test_it_is_held_until_the_margin_before_its_end() -> None:
    moment = Moment()
    lease = taken(moment)
    moment.now += 44.9
    lease.ensure()
    moment.now += 0.2
    with pytest.raises(LeaseLost):
        lease.ensure()


def test_the_time_that_the_request_took_counts() -> None:
    moment = Moment()

    class Slow(MemoryStorage):
        def acquire(self, name: str, lease: str) -> None:
            moment.now += 40
            super().acquire(name, lease)

    lease = taken(moment, Slow(MemoryPlace(clock=moment), "default"))
    moment.now += 6
    with pytest.raises(LeaseLost):
        lease.ensure()


def test_renewing_moves_the_deadline() -> None:
    moment = Moment()
    lease = taken(moment)
    for _ in range(5):
        moment.now += 40
        lease.renew()
        lease.ensure()


def test_losing_it_calls_back_once_before_anybody_is_told() -> None:
    moment = Moment()
    lease = taken(moment)
    calls: list[str] = []
    lease.on_lost(lambda: calls.append("killed"))
    moment.now += 100
    for _ in range(2):
        with pytest.raises(LeaseLost):
            lease.ensure()
        assert calls == ["killed"]
    lease.on_lost(lambda: calls.append("late"))
    assert calls == ["killed", "late"]


def test_the_thread_notices_without_being_asked() -> None:
    moment = Moment()
    lease = taken(moment)
    lost = threading.Event()
    lease.on_lost(lost.set)
    moment.now += 100
    assert lost.wait(20)


def test_the_thread_renews_and_bears_with_a_service_that_is_away_for_a_while() -> None:
    moment = Moment()
    renewed = threading.Event()
    answers = [StateUnavailable("away"), StateUnavailable("away"), None]

    class Flaky(MemoryStorage):
        def renew(self, name: str, lease: str) -> None:
            if answers and (trouble := answers.pop(0)) is not None:
                raise trouble
            super().renew(name, lease)
            renewed.set()

    lease = taken(moment, Flaky(MemoryPlace(clock=moment), "default"))
    moment.now += 16
    assert renewed.wait(20)
    lease.ensure()
    lease.release()


def test_a_lease_that_was_taken_over_is_lost_at_the_next_renewal() -> None:
    moment = Moment()
    storage = MemoryPlace(clock=moment).storage()
    lease = taken(moment, storage)
    storage.break_lease("state")
    taken(moment, storage)
    lease.renew()
    with pytest.raises(LeaseLost, match="took it over"):
        lease.ensure()


def test_a_lock_that_ends_with_its_process_has_no_deadline() -> None:
    moment = Moment()
    lease = taken(moment, MemoryPlace(lease_seconds=None, clock=moment).storage())
    moment.now += 10**6
    lease.ensure()
    lease.release()
    with pytest.raises(LeaseLost, match="already released"):
        lease.ensure()
