# ruff: noqa: S101 - a test kit asserts
"""What every `Storage` has to answer, primitive by primitive."""

from __future__ import annotations

import threading
import uuid

import pytest

from dstream_state.storage import Busy, CannotSeal, Changed, Exists, Missing, NotOwner, Refused, Storage
from dstream_state.testing.places import LONGER_THAN_A_LEASE, StoragePlace


class StorageConformance:
    """Inherit it in a class whose name begins with Test, with a fixture `place` that returns a `StoragePlace`."""

    def test_a_lease_makes_the_cell_and_keeps_others_out(self, place: StoragePlace) -> None:
        one, other = place.storage(), place.storage()
        with pytest.raises(Missing):
            one.read("state")
        owner = self.take(one)
        with pytest.raises(Busy):
            self.take(other)
        assert (one.read("state").content, dict(one.read("state").meta)) == (b"", {})
        one.release("state", owner)
        self.take(other)

    def test_a_write_replaces_content_and_metadata_and_moves_the_tag(self, place: StoragePlace) -> None:
        storage = place.storage()
        lease = self.take(storage)
        first = storage.read("state").tag
        second = storage.write("state", b"one", {"a": '{"x":"\\u00e9"}', "b": "2"}, lease, first)
        stored = place.storage().read("state")
        assert (stored.content, self.plain(stored.meta), stored.tag) == (
            b"one",
            {"a": '{"x":"\\u00e9"}', "b": "2"},
            second,
        )
        third = storage.write_meta("state", {"a": "3"}, lease, second)
        stored = place.storage().read("state")
        assert (stored.content, self.plain(stored.meta), stored.tag) == (b"one", {"a": "3"}, third)
        assert place.storage().read_meta("state").tag == third
        assert len({first, second, third}) == 3

    def test_a_write_needs_the_current_tag(self, place: StoragePlace) -> None:
        storage = place.storage()
        lease = self.take(storage)
        tag = storage.read("state").tag
        storage.write("state", b"one", {}, lease, tag)
        with pytest.raises(Changed):
            storage.write("state", b"two", {}, lease, tag)
        with pytest.raises(Changed):
            storage.write_meta("state", {"a": "b"}, lease, tag)
        assert storage.read("state").content == b"one"

    def test_a_write_needs_the_lease(self, place: StoragePlace) -> None:
        storage, other = place.storage(), place.storage()
        old = self.take(storage)
        storage.release("state", old)
        lease = self.take(other)
        tag = other.read("state").tag
        for wrong in (old, str(uuid.uuid4())):
            with pytest.raises(NotOwner):
                storage.write("state", b"zombie", {}, wrong, tag)
            with pytest.raises(NotOwner):
                storage.write_meta("state", {"z": "1"}, wrong, tag)
            with pytest.raises(NotOwner):
                storage.renew("state", wrong)
            with pytest.raises(NotOwner):
                storage.delete_cell("state", wrong)
            storage.release("state", wrong)
        other.write("state", b"mine", {}, lease, tag)

    def test_a_lease_ends_by_time_unless_renewed(self, place: StoragePlace) -> None:
        if not place.leased:
            pytest.skip("locks of this storage end with their process, not by time")
        storage, other = place.storage(), place.storage()
        lease = self.take(storage)
        for _ in range(2):
            place.pass_time(LONGER_THAN_A_LEASE * 0.7)
            storage.renew("state", lease)
        with pytest.raises(Busy):
            self.take(other)
        tag = storage.read("state").tag
        place.pass_time(LONGER_THAN_A_LEASE)
        with pytest.raises(NotOwner):
            storage.write("state", b"zombie", {}, lease, tag)
        self.take(other)
        with pytest.raises(NotOwner):
            storage.renew("state", lease)
        with pytest.raises(NotOwner):
            storage.write("state", b"zombie", {}, lease, tag)

    def test_a_broken_lease_is_free_at_once(self, place: StoragePlace) -> None:
        if not place.leased:
            pytest.skip("locks of this storage end with their process, not by force")
        storage, other = place.storage(), place.storage()
        lease = self.take(storage)
        other.break_lease("state")
        with pytest.raises(NotOwner):
            storage.write("state", b"zombie", {}, lease, storage.read("state").tag)
        self.take(other)

    def test_cells_do_not_share_leases_and_are_listed_and_deleted(self, place: StoragePlace) -> None:
        storage = place.storage()
        leases = {name: self.take(storage, name) for name in ("task/a", "task/b~2E", "state")}
        for name, lease in leases.items():
            storage.write(name, name.encode(), {"n": "1"}, lease, storage.read(name).tag)
        assert storage.cells("task/") == ["task/a", "task/b~2E"]
        storage.delete_cell("task/a", leases["task/a"])
        storage.release("task/a", leases["task/a"])
        assert storage.cells("task/") == ["task/b~2E"]
        assert storage.files("") == []

    def test_a_log_grows_at_the_expected_position_only(self, place: StoragePlace) -> None:
        storage = place.storage()
        with pytest.raises(Missing):
            storage.read_log("journal/a")
        with pytest.raises(Refused):
            storage.append("journal/a", 0, b"x\n")
        storage.create_log("journal/a", b"head\n")
        with pytest.raises(Exists):
            place.storage().create_log("journal/a", b"other\n")
        storage.append("journal/a", 5, b"one\n")
        for position in (0, 5, 8, 100):
            with pytest.raises(Refused):
                storage.append("journal/a", position, b"odd\n")
        place.storage().append("journal/a", 9, b"two\n")
        assert place.storage().read_log("journal/a").content == b"head\none\ntwo\n"
        assert storage.logs() == ["journal/a"]

    def test_of_appends_at_the_same_position_one_wins(self, place: StoragePlace) -> None:
        place.storage().create_log("journal/a", b"head\n")
        won: list[int] = []

        def work(number: int) -> None:
            try:
                place.storage().append("journal/a", 5, f"line {number}\n".encode())
            except Refused:
                return
            won.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert place.storage().read_log("journal/a").content == f"head\nline {won[0]}\n".encode()

    def test_a_sealed_log_is_complete(self, place: StoragePlace) -> None:
        storage = place.storage()
        with pytest.raises(Missing):
            self.seal(storage, "journal/a")
        storage.create_log("journal/a", b"head\n")
        self.seal(place.storage(), "journal/a")
        self.seal(place.storage(), "journal/a")
        with pytest.raises(Refused):
            storage.append("journal/a", 5, b"zombie\n")
        assert storage.read_log("journal/a").content == b"head\n"

    def test_a_log_is_deleted_only_as_it_was_read(self, place: StoragePlace) -> None:
        storage = place.storage()
        storage.create_log("journal/a", b"head\n")
        tag = storage.read_log("journal/a").tag
        storage.append("journal/a", 5, b"one\n")
        with pytest.raises(Changed):
            storage.delete_log("journal/a", tag)
        storage.delete_log("journal/a", storage.read_log("journal/a").tag)
        with pytest.raises(Refused):
            storage.append("journal/a", 9, b"zombie\n")
        storage.delete_log("journal/a")
        assert storage.logs() == []

    def test_files_are_written_whole_listed_and_deleted(self, place: StoragePlace) -> None:
        storage = place.storage()
        with pytest.raises(Missing):
            storage.get("history/1")
        storage.put("history/1", b"one")
        storage.put("history/1", b"once more")
        storage.put("history/2", b"\x00\xff" * 100_000)
        storage.put("dead/a/1", b"")
        assert place.storage().get("history/1") == b"once more"
        assert place.storage().get("history/2") == b"\x00\xff" * 100_000
        assert [(item.name, item.size) for item in storage.files("history/")] == [
            ("history/1", 9),
            ("history/2", 200_000),
        ]
        storage.delete("history/1")
        storage.delete("history/1")
        assert [item.name for item in storage.files("")] == ["dead/a/1", "history/2"]

    def test_workspaces_are_apart(self, place: StoragePlace) -> None:
        storage = place.storage()
        blue = storage.at("blue")
        lease = self.take(blue)
        blue.write("state", b"blue", {"a": "1"}, lease, blue.read("state").tag)
        blue.put("history/1", b"blue")
        self.take(storage)
        assert storage.workspaces() == ["blue"]
        assert storage.files("") == []

    def take(self, storage: Storage, name: str = "state") -> str:
        """Take the lease on a cell; return its id."""
        lease = str(uuid.uuid4())
        storage.acquire(name, lease)
        return lease

    def seal(self, storage: Storage, name: str) -> None:
        """Seal a log, or skip the test where there is no seal."""
        try:
            storage.seal(name)
        except CannotSeal:
            pytest.skip("this storage has no seal")

    def plain(self, meta: object) -> dict[str, str]:
        """Return metadata without what the storage added for itself (`write`)."""
        assert isinstance(meta, dict)
        return {name: text for name, text in meta.items() if name != "write"}
