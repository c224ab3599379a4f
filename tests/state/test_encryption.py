"""Encryption: nothing readable is stored, a wrong key changes nothing, keys can be changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dstream_state import (
    Encryption,
    EncryptionRequired,
    ObjectState,
    Put,
    SettingsError,
    Snapshot,
    StateError,
    WrongKey,
    open_backend,
    open_encryption,
)
from dstream_state import passphrase as passphrases
from dstream_state.backend import Backend
from dstream_state.passphrase import Passphrase

SECRET = "hunter2-planted-secret"
FIRST, SECOND = "a passphrase that is long", "another one, as long as that"


@pytest.fixture(autouse=True)
def _cheap_keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make keys in milliseconds; one test below uses the real cost."""
    monkeypatch.setattr(passphrases, "SCRYPT_N", 2**14)
    yield


def sealed(*phrases: str, reads_unencrypted: bool = False) -> Encryption:
    return Encryption([Passphrase(phrase) for phrase in phrases], reads_unencrypted=reads_unencrypted)


def opened(root: Path, sealer: Encryption | None) -> Backend:
    return open_backend("local", {}, root=root, encryption=sealer)


def write(backend: Backend, address: str = "a") -> Snapshot:
    with backend.lock("apply") as held:
        held.append([Put(address, ObjectState("p", "t", "k", None, {"password": SECRET}))])
        return held.finish()


def stored(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_no_byte_of_a_value_is_stored_anywhere(tmp_path: Path) -> None:
    backend = opened(tmp_path, sealed(FIRST))
    write(backend)
    with backend.lock("apply") as held, backend.task("copy").acquire("run") as task:
        held.append([Put("b", ObjectState("p", "t", "k", None, {"password": SECRET}))])
        task.dead_letters.append([(SECRET.encode(), "bad")])
        files = stored(tmp_path)
        assert any("journal" in name for name in files)
        assert not [name for name, content in files.items() if SECRET.encode() in content]
        assert [task.dead_letters.read(key).envelope for key in task.dead_letters.list()] == [SECRET.encode()]
    view = opened(tmp_path, sealed(FIRST)).read()
    assert view.snapshot is not None
    assert view.snapshot.resources["a"].attributes == {"password": SECRET}
    assert len(view.pending) == 1
    assert backend.past(1).resources["a"].attributes == {"password": SECRET}


@pytest.mark.parametrize("wrong", [SECOND, None])
def test_a_wrong_key_or_none_reads_nothing_and_overwrites_nothing(tmp_path: Path, wrong: str | None) -> None:
    write(opened(tmp_path, sealed(FIRST)))
    before = stored(tmp_path)
    other = opened(tmp_path, sealed(wrong) if wrong else None)
    with pytest.raises(WrongKey):
        other.read()
    with pytest.raises(WrongKey):
        other.lock("apply")
    assert stored(tmp_path) == before
    assert opened(tmp_path, sealed(FIRST)).read().snapshot is not None


def test_a_key_is_changed_with_the_earlier_one_as_fallback(tmp_path: Path) -> None:
    write(opened(tmp_path, sealed(FIRST)))
    write(opened(tmp_path, sealed(SECOND, FIRST)), "b")
    snapshot = opened(tmp_path, sealed(SECOND)).read().snapshot
    assert snapshot is not None
    assert sorted(snapshot.resources) == ["a", "b"]
    with pytest.raises(WrongKey):
        opened(tmp_path, sealed(FIRST)).read()


def test_a_journal_that_was_written_under_the_earlier_key_is_recovered(tmp_path: Path) -> None:
    write(opened(tmp_path, sealed(FIRST)))
    with opened(tmp_path, sealed(FIRST)).lock("apply") as held:
        held.append([Put("b", ObjectState("p", "t", "k"))])
    with opened(tmp_path, sealed(SECOND, FIRST)).lock("apply") as held:
        assert sorted(held.snapshot.resources) == ["a", "b"]


def test_a_state_in_clear_is_taken_over_with_the_explicit_fallback_only(tmp_path: Path) -> None:
    write(opened(tmp_path, None))
    encrypted = opened(tmp_path, sealed(FIRST))
    with pytest.raises(EncryptionRequired, match="fallback_unencrypted"):
        encrypted.read()
    with pytest.raises(EncryptionRequired):
        encrypted.lock("apply")
    write(opened(tmp_path, sealed(FIRST, reads_unencrypted=True)), "b")
    assert encrypted.read().snapshot is not None


def test_an_encrypted_state_that_was_replaced_by_one_in_clear_is_refused(tmp_path: Path) -> None:
    backend = opened(tmp_path, sealed(FIRST))
    write(backend)
    write(opened(tmp_path / "forged", None), "forged")
    (forged,) = [path for path in (tmp_path / "forged").rglob("*.json") if b"forged" in path.read_bytes()]
    for path in tmp_path.rglob(forged.name):
        if "forged" not in path.parts:
            path.write_bytes(forged.read_bytes())
    before = stored(tmp_path)
    with pytest.raises(EncryptionRequired, match="replaced"):
        opened(tmp_path, sealed(FIRST)).read()
    with pytest.raises(EncryptionRequired):
        opened(tmp_path, sealed(FIRST)).lock("apply")
    assert stored(tmp_path) == before


def test_a_dead_letter_that_was_replaced_by_one_in_clear_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path, None).task("copy").acquire("run") as task:
        task.dead_letters.append([(b"forged", "bad")])
        (key,) = task.dead_letters.list()
    with pytest.raises(EncryptionRequired):
        opened(tmp_path, sealed(FIRST)).task("copy").dead_letters.read(key)
    letters = opened(tmp_path, sealed(FIRST, reads_unencrypted=True)).task("copy").dead_letters
    assert letters.read(key).envelope == b"forged"


def test_a_journal_in_clear_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path, None).lock("apply") as held:
        held.append([Put("a", ObjectState("p", "t", "k"))])
    with pytest.raises(EncryptionRequired):
        opened(tmp_path, sealed(FIRST)).lock("apply")
    with opened(tmp_path, None).lock("apply") as held:
        assert list(held.snapshot.resources) == ["a"]


def test_what_was_changed_or_moved_is_noticed() -> None:
    sealer = sealed(FIRST)
    form = sealer.seal(b"data", b"here")
    assert sealer.open(form, b"here") == b"data"
    flipped = form | {"data": ("A" if form["data"][0] != "A" else "B") + form["data"][1:]}
    for odd, place in ((form, b"there"), (flipped, b"here"), ({"key": {}}, b"here"), ({}, b"here"), (7, b"here")):
        with pytest.raises(WrongKey):
            sealer.open(odd, place)


def test_a_form_that_asks_for_absurd_costs_is_refused() -> None:
    sealer = sealed(FIRST)
    form = sealer.seal(b"data", b"")
    for odd in ({"n": 2**40}, {"n": 2**14 + 1}, {"n": 2}, {"p": 1000}, {"r": 0}):
        with pytest.raises(WrongKey):
            sealer.open(form | {"key": form["key"] | odd}, b"")


def test_no_nonce_is_used_twice() -> None:
    sealer = sealed(FIRST)
    assert len({sealer.seal(b"data", b"")["nonce"] for _ in range(100)}) == 100


def test_the_real_cost_of_a_key_is_memory_hard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    form = sealed(FIRST).seal(b"", b"")["key"]
    assert (form["kind"], form["n"] * form["r"] * 128 >= 100 * 2**20) == ("scrypt", True)


def test_settings_are_read_and_mistakes_named() -> None:
    settings = {"passphrase": FIRST, "fallback_passphrases": [SECOND], "enforced": True}
    sealer = open_encryption(settings)
    assert not sealer.reads_unencrypted
    assert open_encryption({"passphrase": FIRST, "fallback_unencrypted": [{}]}).reads_unencrypted
    assert sealer.open(sealed(SECOND).seal(b"x", b""), b"") == b"x"
    for odd, says in (
        ({"passphrase": "short"}, "at least 16"),
        ({}, "requires a passphrase"),
        ({"x": 1}, "no argument 'x'"),
        ({"passphrase": FIRST, "fallback_unencrypted": [{}], "enforced": True}, "forbids it"),
        ({"passphrase": FIRST, "fallback_unencrypted": [{"x": 1}]}, "no arguments"),
        ({"passphrase": FIRST, "fallback_unencrypted": True}, "fallback_unencrypted {}"),
    ):
        with pytest.raises(SettingsError, match=says):
            open_encryption(odd)


def test_no_message_has_the_passphrase_in_it(tmp_path: Path) -> None:
    write(opened(tmp_path, sealed(FIRST)))
    with pytest.raises(StateError) as caught:
        opened(tmp_path, sealed(SECOND)).read()
    assert SECOND not in str(caught.value)
