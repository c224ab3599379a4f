"""A hot standby of an embedded server, and copies of a server's files: what an operator does beside the database."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.services.postgres import FOLDER_PREFIX, EmbeddedPostgres


class HotStandby(EmbeddedPostgres):
    """A streaming standby of a running server, made with pg_basebackup; promoted and stopped as any other."""

    def __init__(self, primary: EmbeddedPostgres) -> None:
        super().__init__(settings={"hot_standby_feedback": "on", "wal_receiver_status_interval": "1s"})
        self._primary = primary

    def create(self) -> None:
        """Make the folder, with a base backup of the primary in it."""
        self.folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=self._temporary_directory()))
        self._own(self.folder)
        run = self.folder / "run"
        run.mkdir(mode=0o700)
        self._own(run)
        self._bin = self._programs() / "bin"
        source = f"host={self._primary.folder / 'run'} port={self._primary.port} user={self.superuser}"
        target = str(self.folder / "data")
        options = ["--wal-method=stream", "--checkpoint=fast", "--write-recovery-conf", "--no-sync"]
        self._call([str(self._bin / "pg_basebackup"), "-d", source, "-D", target, *options])

    def catch_up(self) -> None:
        """Wait until everything that the primary has written is visible here."""
        ((end,),) = self._primary.execute("SELECT pg_current_wal_insert_lsn()::text")
        deadline = time.monotonic() + 30
        while not self.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (end,))[0][0]:
            assert time.monotonic() < deadline, "the standby does not follow"
            time.sleep(0.02)

    def create_slot(self, name: str) -> None:
        """Create a logical slot here: it waits for the primary to log its running transactions."""
        made = threading.Event()

        def log_snapshots() -> None:
            while not made.wait(0.1):
                self._primary.execute("SELECT pg_log_standby_snapshot()")

        helper = threading.Thread(target=log_snapshots)
        helper.start()
        try:
            self.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (name,))
        finally:
            made.set()
            helper.join()


@contextlib.contextmanager
def copied_files(server: EmbeddedPostgres) -> Iterator[Path]:
    """A copy of a server's files, taken while it is stopped."""
    server.stop()
    copy = server.folder / "copy"
    shutil.copytree(server.folder / "data", copy, symlinks=True)
    server.start()
    yield copy
    shutil.rmtree(copy, ignore_errors=True)


def restore(server: EmbeddedPostgres, copy: Path) -> None:
    """Put a copy of the files back, and start the server on it."""
    server.stop()
    data = server.folder / "data"
    shutil.rmtree(data)
    copy.rename(data)
    for path in (data, *data.rglob("*")):
        server._own(path)
    server.start()
