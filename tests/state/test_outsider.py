"""A backend of somebody else's: written against the documentation, it passes the kit, and a configuration names it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dstream_state import SettingsError, open_backend
from dstream_state.testing import BackendConformance, StorageConformance, StoragePlace

OUTSIDER = Path(__file__).parent / "outsider"
CONFIG = """
dstream {
  backend "sqlite" {
    file = "state.db"
  }
}

output "x" {
  value = "y"
}
"""


class Sqlite:
    @pytest.fixture
    def place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoragePlace:
        monkeypatch.syspath_prepend(str(OUTSIDER))
        from dstream_sqlite_state import SqliteStorage

        file = tmp_path / "state.db"
        return StoragePlace(lambda: SqliteStorage(file), leased=True, pass_time=SqliteStorage(file).pass_time)


class TestSqliteStorage(Sqlite, StorageConformance):
    pass


class TestSqliteBackend(Sqlite, BackendConformance):
    pass


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder of site-packages into which somebody installed the package."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "dstream_sqlite_state").symlink_to(OUTSIDER / "dstream_sqlite_state")
    info = site / "dstream_sqlite_state-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dstream-sqlite-state\nVersion: 1.0\n")
    entries = "sqlite = dstream_sqlite_state:open_storage\nbroken = dstream_sqlite_state:missing\n"
    (info / "entry_points.txt").write_text(f"[dstream.backends]\n{entries}")
    return site


def test_a_configuration_names_an_installed_backend(tmp_path: Path, installed: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "dstream.hcl").write_text(CONFIG)

    def run(*arguments: str) -> str:
        command = [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(installed)!r}); import dstream.cli as c; ",
        ]
        command[2] += "c.main(sys.argv[1:])"
        done = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("init")
    run("apply", "-auto-approve")
    assert run("output", "-raw", "x").strip() == "y"
    assert (folder / "state.db").exists()
    assert not (folder / ".dstream" / "state").exists()


def test_one_that_is_not_there_or_cannot_be_loaded_is_named(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    with pytest.raises(SettingsError, match=r"Unknown backend 's3'\. The backends are: local, azurerm, broken, sqlite"):
        open_backend("s3", {}, root=tmp_path)
    with pytest.raises(SettingsError, match=r"'broken' \(dstream_sqlite_state:missing\) cannot be loaded"):
        open_backend("broken", {}, root=tmp_path)
    with pytest.raises(SettingsError, match="one argument: file"):
        open_backend("sqlite", {}, root=tmp_path)
