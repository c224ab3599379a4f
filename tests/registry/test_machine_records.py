"""What this machine has found out itself: no file that a checkout, an archive or another user supplies is believed."""

import os

import pytest

from dstream.registry.machine_records import MachineRecords, default_records


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


def only(folder):
    (found,) = folder.glob("records/*/*")
    return found


def test_a_record_is_read_back_under_its_kind_and_name_alone(folder):
    assert MachineRecords(folder).write("probe", "a", b"answer")
    again = MachineRecords(folder)
    assert again.read("probe", "a") == b"answer"
    assert again.read("probe", "b") is None
    assert again.read("signature", "a") is None
    assert {path.stat().st_mode & 0o077 for path in (folder, folder / "key", only(folder), only(folder).parent)} == {0}


def test_the_umask_opens_nothing_to_others(folder):
    before = os.umask(0)
    try:
        MachineRecords(folder).write("probe", "a", b"answer")
    finally:
        os.umask(before)
    assert [path for path in folder.rglob("*") if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize("change", ["content", "truncated", "empty", "other name", "other machine"])
def test_a_record_that_was_not_written_here_does_not_exist(folder, tmp_path, change):
    MachineRecords(folder).write("probe", "a", b"answer")
    path = only(folder)
    if change == "content":
        path.write_bytes(path.read_bytes().replace(b"answer", b"attack"))
    elif change == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    elif change == "empty":
        path.write_bytes(b"")
    elif change == "other name":
        MachineRecords(folder).write("probe", "b", b"attack")
        other = next(each for each in path.parent.iterdir() if each != path)
        path.write_bytes(other.read_bytes())
    else:
        elsewhere = tmp_path / "elsewhere"
        MachineRecords(elsewhere).write("probe", "a", b"attack")
        path.write_bytes(only(elsewhere).read_bytes())
    assert MachineRecords(folder).read("probe", "a") is None


@pytest.mark.parametrize("kind", ["readable", "link", "short"])
def test_a_key_that_others_know_authenticates_nothing_and_is_replaced(folder, tmp_path, kind):
    """A checkout or an archive may bring a folder with a key and records: git keeps no file private."""
    MachineRecords(folder).write("probe", "a", b"attack")
    key = folder / "key"
    if kind == "readable":
        key.chmod(0o644)
    elif kind == "link":
        (tmp_path / "known").write_bytes(key.read_bytes())
        (tmp_path / "known").chmod(0o600)
        key.unlink()
        key.symlink_to(tmp_path / "known")
    else:
        key.write_bytes(b"")
    records = MachineRecords(folder)
    assert records.read("probe", "a") is None
    assert records.write("probe", "b", b"own")
    assert records.read("probe", "b") == b"own"
    assert records.read("probe", "a") is None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path):
    (tmp_path / "file").write_text("")
    records = MachineRecords(tmp_path / "file" / "state")
    assert not records.write("probe", "a", b"answer")
    assert records.read("probe", "a") is None


def test_a_relative_folder_in_the_environment_is_not_used(tmp_path, monkeypatch):
    """It would lie in the checkout."""
    monkeypatch.chdir(tmp_path)
    default_records({"XDG_STATE_HOME": "state", "HOME": str(tmp_path / "home")}).write("probe", "a", b"answer")
    assert not (tmp_path / "state").exists()
    assert list((tmp_path / "home" / ".local" / "state" / "dstream").glob("records/probe/*"))


def test_records_that_are_not_used_are_dropped(folder):
    records = MachineRecords(folder)
    records.write("probe", "a", b"answer")
    written = only(folder).stat().st_mtime
    os.utime(only(folder), (written - 900, written - 900))
    assert records.read("probe", "a") == b"answer"
    records.drop_unused(written - 1)
    assert records.read("probe", "a") == b"answer", "reading is using"
    os.utime(only(folder), (written - 900, written - 900))
    records.drop_unused(written - 1)
    assert records.read("probe", "a") is None
