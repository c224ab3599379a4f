"""The embedded PostgreSQL: it works, it leaves nothing behind, and it changes nothing outside its folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg2
import pytest

from tests.events import until
from tests.services.postgres import EmbeddedPostgres
from tests.services.postgres_programs import installations, open_to_all

ROOT = Path(__file__).resolve().parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to start the server as another user")


def gone(pid: int) -> bool:
    """Wait until a process is gone, or only its parent has not asked for its end."""
    return until(lambda: not running(pid), f"process {pid} to be gone")


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_logical_decoding_works_over_the_socket_and_over_tcp_and_data_outlives_a_restart_and_a_crash():
    with EmbeddedPostgres(tcp=True) as server:
        server.execute("CREATE TABLE t (a int)")
        server.execute("INSERT INTO t VALUES (1)")
        server.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        server.restart()
        server.execute("INSERT INTO t VALUES (2)")
        server.crash()
        server.start()
        assert server.execute("SELECT a FROM t ORDER BY a") == [(1,), (2,)]
        for dsn in (server.dsn(tcp=True), server.dsn(tcp=False)):
            psycopg2.connect(dsn).close()
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(server.dsn().replace(server.password, "wrong"))


def test_two_servers_run_beside_each_other_and_remove_their_folders():
    with EmbeddedPostgres() as one, EmbeddedPostgres() as two:
        one.execute("CREATE TABLE only_here ()")
        assert two.execute("SELECT to_regclass('only_here')") == [(None,)]
        folders = one.folder, two.folder
    assert not any(folder.exists() for folder in folders)


def picture(paths: list[Path]) -> dict[str, tuple[int, int, int]]:
    seen = {}
    for path in paths:
        state = path.lstat()
        seen[str(path)] = (state.st_mode, state.st_uid, state.st_gid)
    return seen


def test_no_account_and_no_permission_outside_its_folder_changes():
    tree = installations()[0].tree
    watched = [tree, *tree.rglob("*"), *tree.parents, ROOT, *ROOT.parents, Path.home()]
    watched.append(Path(tempfile.gettempdir()))
    files = ("/etc/passwd", "/etc/group", "/etc/shadow")
    accounts = [Path(name) for name in files if os.access(name, os.R_OK)]
    before = picture(watched), [path.read_bytes() for path in accounts]
    with EmbeddedPostgres() as server:
        server.execute("SELECT 1")
        inside = picture([server.folder, server.folder / "data"])
        assert {mode & 0o777 for mode, _, _ in inside.values()} == {0o700}
        assert picture(watched) == before[0]
    assert (picture(watched), [path.read_bytes() for path in accounts]) == before


@as_root
def test_started_by_root_the_server_runs_as_nobody_who_owns_the_folder():
    nobody = pwd.getpwnam("nobody").pw_uid
    with EmbeddedPostgres() as server:
        assert server.folder.stat().st_uid == nobody
        assert Path(f"/proc/{server.pid}").stat().st_uid == nobody


@as_root
def test_programs_below_a_folder_that_nobody_can_enter_are_copied_and_the_folder_stays_closed(tmp_path: Path):
    closed = tmp_path / "closed"
    found = installations()[0]
    for folder in (found.tree, found.libraries):
        target = closed / folder.relative_to(found.tree.parents[1])
        shutil.copytree(folder, target, ignore=shutil.ignore_patterns("include", "*.a"))
    closed.chmod(0o700)
    with EmbeddedPostgres(package=closed / found.tree.parent.name) as server:
        assert server.execute("SELECT 1") == [(1,)]
        programs = server.folder / "server"
        assert Path(f"/proc/{server.pid}/exe").resolve().is_relative_to(programs.resolve())
        assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_an_ordinary_user_starts_it_too():
    nobody = pwd.getpwnam("nobody")
    if not open_to_all(installations()[0].tree / "bin" / "postgres"):
        pytest.skip("the wheel lies below a folder that other users cannot enter")
    read, write = os.pipe()
    child = os.fork()  # not a new interpreter: that one may lie where nobody cannot go
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            with EmbeddedPostgres() as server:
                os.write(write, repr(server.execute("SELECT 7")).encode())
        except BaseException as error:  # noqa: BLE001 - whatever it is goes to the parent
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as answer:
        assert answer.read() == "[(7,)]"
    os.waitpid(child, 0)


def test_the_server_ends_when_the_process_that_started_it_is_killed_and_the_next_start_removes_its_folder():
    script = (
        "import sys, time\nfrom tests.services.postgres import *\n"
        "s = EmbeddedPostgres().__enter__()\nprint(s.pid, s.folder, flush=True)\ntime.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    pid, folder = parent.stdout.readline().split()
    assert Path(folder).exists()
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert gone(int(pid))
    with EmbeddedPostgres():
        assert not Path(folder).exists()
