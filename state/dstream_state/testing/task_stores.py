# ruff: noqa: S101 - a test kit asserts
"""What every backend has to do for tasks: checkpoints under a lease, dead letters, archives, moves."""

from __future__ import annotations

import threading

import pytest

from dstream_state.backend import Checkpoint
from dstream_state.errors import LeaseLost, StateConflict, StateLocked
from dstream_state.records import ProcessStarted
from dstream_state.testing.places import LONGER_THAN_A_LEASE, Place


class TaskStoreConformance:
    """The tasks' share of `BackendConformance`, which inherits it."""

    def test_a_checkpoint_is_read_back_by_the_next_runner(self, place: Place) -> None:
        task = place.open().task('copy["eu/1"]')
        with task.acquire("run") as lease:
            assert lease.checkpoint is None
            lease.store(Checkpoint({"lsn": "0/1"}, "task.copy", {"slot": {"identity": 1}}))
            lease.store(Checkpoint({"lsn": "0/2"}, "task.copy", {"slot": {"identity": 1}}))
        other = place.open()
        assert other.tasks() == ['copy["eu/1"]']
        with other.task('copy["eu/1"]').acquire("run") as lease:
            assert lease.checkpoint is not None
            assert (lease.checkpoint.position, lease.checkpoint.objects) == ({"lsn": "0/2"}, {"slot": {"identity": 1}})
            assert other.task('copy["eu/1"]').read().checkpoint == lease.checkpoint
            lease.reset()
        assert other.task('copy["eu/1"]').read().checkpoint is None

    def test_a_task_has_one_runner_and_a_standby_waits(self, place: Place) -> None:
        first = place.open().task("copy").acquire("run")
        with pytest.raises(StateLocked) as caught:
            place.open().task("copy").acquire("run")
        assert caught.value.holder == first.holder
        place.open().task("other").acquire("run").release()
        place.open().lock("apply").release()
        timer = threading.Timer(0.3, first.release)
        timer.start()
        with place.open().task("copy").acquire("run", timeout=30) as second:
            second.store(Checkpoint({"n": 1}))
        timer.join()

    def test_a_zombie_runner_stores_no_checkpoint(self, place: Place) -> None:
        self.needs_leases(place)
        zombie = place.open(frozen=True).task("copy").acquire("run")
        lost = threading.Event()
        zombie.on_lost(lost.set)
        zombie.store(Checkpoint({"n": 1}))
        place.kill(zombie)
        place.pass_time(LONGER_THAN_A_LEASE)
        with place.open().task("copy").acquire("run", timeout=5) as after:
            assert after.checkpoint is not None
            assert after.checkpoint.position == {"n": 1}
            with pytest.raises(LeaseLost):
                zombie.store(Checkpoint({"n": 2}))
            assert lost.is_set()
            after.store(Checkpoint({"n": 3}))
        checkpoint = place.open().task("copy").read().checkpoint
        assert checkpoint is not None
        assert checkpoint.position == {"n": 3}

    def test_the_processes_of_a_runner_are_known_to_readers(self, place: Place) -> None:
        started = ProcessStarted(1, None, "another host", "box")
        with place.open().task("copy").acquire("run") as lease:
            lease.record_processes([started])
            lease.store(Checkpoint({"n": 1}))
            assert place.open().task("copy").read().processes == (started,)

    def test_dead_letters_are_kept_once_and_removed_by_key(self, place: Place) -> None:
        letters = place.open().task("copy").dead_letters
        letters.append([(b'{"a":1}', "too long"), (b"\xff\n\x00", "odd")])
        letters.append([(b'{"a":1}', "too long")])
        other = place.open().task("copy").dead_letters
        keys = other.list()
        assert len(keys) == 2
        assert {(other.read(key).envelope, other.read(key).reason) for key in keys} == {
            (b'{"a":1}', "too long"),
            (b"\xff\n\x00", "odd"),
        }
        other.remove([keys[0], "unknown"])
        assert letters.list() == [keys[1]]
        with pytest.raises(KeyError):
            letters.read(keys[0])

    def test_archive_leaves_a_task_without_a_past(self, place: Place) -> None:
        with place.open().task("copy").acquire("destroy") as lease:
            lease.store(Checkpoint({"n": 1}))
            lease.dead_letters.append([(b"{}", "bad")])
            lease.archive()
        with place.open().task("copy").acquire("run") as lease:
            assert (lease.checkpoint, lease.dead_letters.list()) == (None, [])

    def test_moving_a_task_carries_checkpoint_and_dead_letters(self, place: Place) -> None:
        with place.open().task("old").acquire("state mv") as lease:
            lease.store(Checkpoint({"n": 1}))
            lease.dead_letters.append([(b"{}", "bad")])
            lease.move("new")
        with place.open().task("new").acquire("run") as moved, place.open().task("old").acquire("run") as left:
            assert moved.checkpoint is not None
            assert (moved.checkpoint.position, len(moved.dead_letters.list())) == ({"n": 1}, 1)
            assert (left.checkpoint, left.dead_letters.list()) == (None, [])
        with pytest.raises(StateConflict), place.open().task("third").acquire("state mv") as third:
            third.store(Checkpoint({"n": 2}))
            third.move("new")

    @pytest.mark.parametrize("carried", ["letters", "checkpoint", "all but one letter"])
    def test_a_move_of_a_task_that_was_cut_off_may_be_done_again(self, place: Place, carried: str) -> None:
        point, letters = Checkpoint({"n": 1}, at="2026-01-01T00:00:00Z"), [(b"{}", "bad"), (b"[]", "worse")]
        with place.open().task("old").acquire("run") as lease:
            lease.store(point)
            lease.dead_letters.append(letters if carried != "all but one letter" else letters[:1])
        with place.open().task("new").acquire("run") as lease:
            lease.dead_letters.append(letters)
            if carried != "letters":
                lease.store(point)
        for _ in range(2):
            with place.open().task("old").acquire("state mv") as lease:
                lease.move("new")
        with place.open().task("new").acquire("run") as moved, place.open().task("old").acquire("run") as left:
            assert (moved.checkpoint, len(moved.dead_letters.list())) == (point, 2)
            assert (left.checkpoint, left.dead_letters.list()) == (None, [])

    def needs_leases(self, place: Place) -> None:
        """Skip a test about locks that end by time."""
        if not place.leased:
            pytest.skip("locks of this backend end with their process, not by time")
