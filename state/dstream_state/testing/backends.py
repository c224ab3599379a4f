# ruff: noqa: S101 - a test kit asserts
"""What every `Backend` has to do.

Locking, journal, recovery, fencing, readers, history, workspaces; `TaskStoreConformance` adds tasks.
"""

from __future__ import annotations

import threading
import time
import uuid
from decimal import Decimal

import pytest

from dstream_state.apply_records import overlay
from dstream_state.backend import Backend, Held, View
from dstream_state.errors import LeaseLost, StateConflict, StateError, StateLocked
from dstream_state.holder import Holder
from dstream_state.objects import ObjectState, OutputState, ProviderState, TaskState
from dstream_state.records import (
    Drop,
    Intent,
    Put,
    PutOutput,
    PutProvider,
    PutTask,
    Record,
    Result,
    SetKey,
)
from dstream_state.snapshot import Snapshot
from dstream_state.testing.places import LONGER_THAN_A_LEASE, Place
from dstream_state.testing.task_stores import TaskStoreConformance


def thing(number: int, **attributes: object) -> ObjectState:
    """Return an object to store."""
    return ObjectState("mine", "thing", f"k{number}", {"id": number}, {"n": number, **attributes})


def news(view: View) -> list[Record]:
    """Return the pending records that say something about objects."""
    return [record for record in view.pending if not isinstance(record, SetKey)]


def intent(address: str, action: str = "create") -> Intent:
    """Return an intent for `address`."""
    return Intent(str(uuid.uuid4()), action, address, "mine", "thing", address, timeout=30, at=time.time())


class BackendConformance(TaskStoreConformance):
    """Inherit it in a class whose name begins with Test, with a fixture `place` that returns a `Place`."""

    def test_nothing_is_there_before_the_first_apply(self, place: Place) -> None:
        backend = place.open()
        view = backend.read()
        assert (view.snapshot, view.pending, view.holder) == (None, (), None)
        assert (backend.history(), backend.tasks(), backend.workspaces()) == ([], [], ["default"])

    def test_what_was_finished_is_read_back_by_another_process(self, place: Place) -> None:
        odd = {
            "text": 'é"\\\n\u2028',
            "big": 2**70,
            "exact": Decimal("0.10000000000000000001"),
            "none": None,
            "l": [1, {}],
        }
        with place.open().lock("apply") as held:
            held.append(
                [
                    PutProvider("mine", ProviderState({"kind": "name", "value": "mine"}, "1.0", {"a": 1}, "resource")),
                    PutOutput("url", OutputState("x")),
                    PutTask("task.a", TaskState("f", "2026-01-01T00:00:00Z")),
                ]
            )
            pending = intent("thing.a")
            held.append([pending])
            held.append([Result(pending.id, "ok", thing(1, **odd))])
            written = held.finish()
        read = place.open().read().snapshot
        assert read == written
        assert read is not None
        assert read.resources["thing.a"].attributes == {"n": 1, **odd}
        assert (read.serial, list(read.providers), list(read.outputs), list(read.tasks)) == (
            1,
            ["mine"],
            ["url"],
            ["task.a"],
        )

    def test_serials_are_consecutive_and_the_lineage_stays(self, place: Place) -> None:
        seen = []
        for number in range(4):
            with place.open().lock("apply") as held:
                held.append([Put("thing.a", thing(number))])
                seen.append(held.finish())
        assert [snapshot.serial for snapshot in seen] == [1, 2, 3, 4]
        assert len({snapshot.lineage for snapshot in seen}) == 1
        assert len({snapshot.hmac_key for snapshot in seen}) == 1
        assert [snapshot.epoch for snapshot in seen] == sorted({snapshot.epoch for snapshot in seen})

    def test_finishing_without_a_change_writes_nothing(self, place: Place) -> None:
        with place.open().lock("apply") as held:
            first = held.finish()
        with place.open().lock("apply") as held:
            assert held.finish() == first
        assert place.open().read().snapshot == first

    def test_a_result_removes_what_was_destroyed_or_is_gone(self, place: Place) -> None:
        with place.open().lock("apply") as held:
            held.append([Put(f"thing.{n}", thing(n)) for n in range(4)])
            held.finish()
        with place.open().lock("destroy") as held:
            gone, destroyed, failed = (
                intent("thing.0", "update"),
                intent("thing.1", "destroy"),
                intent("thing.2", "destroy"),
            )
            held.append([gone, destroyed, failed, Drop("thing.3")])
            held.append([Result(gone.id, "gone"), Result(destroyed.id, "ok"), Result(failed.id, "error", message="no")])
            held.finish()
        snapshot = place.open().read().snapshot
        assert snapshot is not None
        assert (list(snapshot.resources), dict(snapshot.intents)) == (["thing.2"], {})

    def test_one_holder_at_a_time_and_the_other_is_told_who(self, place: Place) -> None:
        with place.open().lock("apply") as held:
            holders: list[Holder | None] = []
            with pytest.raises(StateLocked) as caught:
                place.open().lock("plan", timeout=0.2, on_wait=holders.append)
            assert caught.value.holder is not None
            assert (caught.value.holder.id, caught.value.holder.operation) == (held.holder.id, "apply")
            assert held.holder.id in str(caught.value)
            assert holders == [caught.value.holder]
        place.open().lock("apply").release()

    def test_who_waits_long_enough_gets_the_lock(self, place: Place) -> None:
        held = place.open().lock("apply")
        timer = threading.Timer(0.3, held.release)
        timer.start()
        with place.open().lock("apply", timeout=30) as second:
            assert second.holder.id != held.holder.id
        timer.join()

    def test_many_at_once_lose_nothing(self, place: Place) -> None:
        failures: list[StateError] = []

        def work(number: int) -> None:
            try:
                with place.open().lock("apply", timeout=60) as held:
                    held.append([Put(f"thing.{number}", thing(number))])
                    held.finish()
            except StateError as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        snapshot = place.open().read().snapshot
        assert not failures
        assert snapshot is not None
        assert (snapshot.serial, sorted(snapshot.resources)) == (5, [f"thing.{n}" for n in range(5)])

    def test_readers_see_pending_records_without_the_lock(self, place: Place) -> None:
        with place.open().lock("apply") as held:
            held.append([Put("thing.a", thing(1))])
            held.finish()
        with place.open().lock("apply") as held:
            pending = intent("thing.b")
            held.append([pending, Put("thing.a", thing(2))])
            view = place.open().read()
            assert view.snapshot is not None
            assert view.snapshot.resources["thing.a"] == thing(1)
            assert view.pending == (pending, Put("thing.a", thing(2)))
            assert overlay(view.snapshot, view.pending) == held.current()
            assert view.holder == held.holder
            held.finish()
        view = place.open().read()
        assert (view.pending, view.holder and view.holder.released) == ((), True)

    def test_a_killed_holder_forgets_nothing(self, place: Place) -> None:
        done, open_ = intent("thing.a"), intent("thing.b")
        held = place.open().lock("apply")
        held.append([done, open_])
        held.append([Result(done.id, "ok", thing(1))])
        place.kill(held)
        with self.take_over(place) as after:
            assert after.snapshot.resources == {"thing.a": thing(1)}
            assert after.unresolved == (open_,)
            assert after.snapshot.serial == 1
            assert place.open().read().snapshot == after.snapshot
            after.append([Result(open_.id, "gone")])
            after.finish()
        with place.open().lock("apply") as last:
            assert (last.unresolved, list(last.snapshot.resources)) == ((), ["thing.a"])

    def test_unresolved_intents_stay_until_they_are_resolved(self, place: Place) -> None:
        open_ = intent("thing.b")
        held = place.open().lock("apply")
        held.append([open_])
        place.kill(held)
        for _ in range(2):
            with self.take_over(place) as after:
                assert after.unresolved == (open_,)
        with place.open().lock("apply") as after:
            after.append([Result(open_.id, "ok", thing(2))])
        with place.open().lock("apply") as last:
            assert (last.unresolved, last.snapshot.resources) == ((), {"thing.b": thing(2)})

    def test_several_kills_in_a_row_forget_nothing(self, place: Place) -> None:
        for number in range(3):
            held = self.take_over(place) if number else place.open().lock("apply")
            held.append([Put(f"thing.{number}", thing(number))])
            place.kill(held)
        with self.take_over(place) as after:
            assert sorted(after.snapshot.resources) == ["thing.0", "thing.1", "thing.2"]

    def test_releasing_without_finish_forgets_nothing(self, place: Place) -> None:
        with pytest.raises(ZeroDivisionError), place.open().lock("apply") as held:
            held.append([Put("thing.a", thing(1))])
            raise ZeroDivisionError
        assert len(news(place.open().read())) == 1
        with place.open().lock("apply") as after:
            assert list(after.snapshot.resources) == ["thing.a"]

    def test_nothing_can_be_appended_after_finish_or_release(self, place: Place) -> None:
        held = place.open().lock("apply")
        held.finish()
        with pytest.raises(StateError):
            held.append([Put("thing.a", thing(1))])
        held.release()
        with pytest.raises(LeaseLost):
            held.append([Put("thing.a", thing(1))])
        with pytest.raises(LeaseLost):
            held.ensure()
        held.release()

    def test_records_of_many_threads_are_all_kept_in_the_order_of_each(self, place: Place) -> None:
        with place.open().lock("apply") as held:

            def work(number: int) -> None:
                for step in range(10):
                    held.append([Put(f"thing.{number}", thing(step))])

            threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            pending = news(place.open().read())
            assert len(pending) == 60
            for number in range(6):
                own = [r.object for r in pending if isinstance(r, Put) and r.address == f"thing.{number}"]
                assert own == [thing(step) for step in range(10)]
            held.finish()

    def test_a_journal_goes_on_in_another_log_when_one_is_full(self, place: Place) -> None:
        held = place.open(max_blocks=3).lock("apply")
        for number in range(11):
            held.append([Put(f"thing.{number}", thing(number))])
        assert len(news(place.open().read())) == 11
        place.kill(held)
        with self.take_over(place) as after:
            assert len(after.snapshot.resources) == 11

    def test_a_zombie_can_write_nothing(self, place: Place) -> None:
        self.needs_leases(place)
        zombie = place.open(frozen=True).lock("apply")
        lost = threading.Event()
        zombie.on_lost(lost.set)
        zombie.append([Put("thing.z", thing(1))])
        with self.take_over(place) as after:
            zombie.ensure()
            with pytest.raises(StateError) as caught:
                zombie.append([Put("thing.y", thing(2))])
            assert isinstance(caught.value, StateConflict | LeaseLost)
            assert lost.is_set()
            with pytest.raises(LeaseLost):
                zombie.finish()
            with pytest.raises(LeaseLost):
                zombie.ensure()
            zombie.release()
            with pytest.raises(StateLocked):
                place.open().lock("apply")
            after.append([Put("thing.a", thing(3))])
            after.finish()
        snapshot = place.open().read().snapshot
        assert snapshot is not None
        assert sorted(snapshot.resources) == ["thing.a", "thing.z"]

    def test_a_zombie_cannot_finish_over_a_newer_state(self, place: Place) -> None:
        self.needs_leases(place)
        zombie = place.open(frozen=True).lock("apply")
        with self.take_over(place) as after:
            after.append([Put("thing.a", thing(1))])
            after.finish()
        with pytest.raises(LeaseLost):
            zombie.finish(Snapshot.new(zombie.snapshot.lineage))
        snapshot = place.open().read().snapshot
        assert snapshot is not None
        assert list(snapshot.resources) == ["thing.a"]

    def test_force_unlock_takes_the_lock_from_a_killed_holder(self, place: Place) -> None:
        held = place.open(frozen=True).lock("apply")
        held.append([Put("thing.a", thing(1))])
        place.kill(held)
        with pytest.raises(StateError, match="Nothing was changed"):
            place.open().force_unlock("another id")
        with pytest.raises(StateLocked, match="still running"):
            place.open().force_unlock(held.holder.id)  # This very process.
        self.forget_process(place)
        unlocked = place.open().force_unlock(held.holder.id)
        assert unlocked is not None
        assert unlocked.id == held.holder.id
        with place.open().lock("apply") as after:
            assert list(after.snapshot.resources) == ["thing.a"]
            if place.leased:
                with pytest.raises(StateError):
                    held.append([Put("thing.b", thing(2))])
        place.open().force_unlock(after.holder.id)

    def test_earlier_snapshots_are_kept(self, place: Place) -> None:
        for number in range(3):
            with place.open().lock("apply") as held:
                held.append([Put("thing.a", thing(number))])
                held.finish()
        backend = place.open()
        assert [entry.serial for entry in backend.history()] == [3, 2, 1]
        assert all(entry.size > 0 and entry.at.endswith("Z") for entry in backend.history())
        assert backend.past(2).resources["thing.a"] == thing(1)
        with pytest.raises(StateError):
            backend.past(7)

    def test_workspaces_know_nothing_of_each_other(self, place: Place) -> None:
        with place.open("blue").lock("apply") as held, place.open().lock("apply") as other:
            held.append([Put("thing.a", thing(1))])
            held.finish()
            other.finish()
        assert place.open().workspaces() == ["blue", "default"]
        assert place.open().at("blue").read() == place.open("blue").read()
        snapshot = place.open().read().snapshot
        assert snapshot is not None
        assert not snapshot.resources
        place.open("blue").delete()
        assert place.open().workspaces() == ["default"]
        assert place.open("blue").read().snapshot is None

    def test_a_state_that_somebody_holds_is_not_deleted(self, place: Place) -> None:
        with place.open().lock("apply") as held:
            held.finish()
            with pytest.raises(StateLocked):
                place.open().delete()
        assert place.open().read().snapshot is not None

    def take_over(self, place: Place) -> Held:
        """Take the lock after its holder was killed."""
        if place.leased:
            place.pass_time(LONGER_THAN_A_LEASE)
        return place.open().lock("apply", timeout=5)

    def forget_process(self, place: Place) -> None:
        """Make the recorded holder a process that is gone (the kit itself runs in one that is not)."""
        from dstream_state import processes

        backend: Backend = place.open()
        holder = backend.read().holder
        assert holder is not None
        self._monkeypatch.setattr(processes, "alive", lambda _pid, _started: False)

    @pytest.fixture(autouse=True)
    def _keep_monkeypatch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
