"""A backend as somebody else would write it, against state/README.md alone: state in one SQLite file.

It is here to prove that the interface is enough, and is no part of dstream.
"""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from dstream_state.errors import SettingsError, StateUnavailable
from dstream_state.storage import Busy, Changed, Exists, Item, Missing, NotOwner, Refused, Stored

TABLES = """
CREATE TABLE IF NOT EXISTS cells (place TEXT, name TEXT, content BLOB, meta TEXT, tag INTEGER, lease TEXT, ends REAL,
    PRIMARY KEY (place, name));
CREATE TABLE IF NOT EXISTS logs (place TEXT, name TEXT, content BLOB, sealed INTEGER, PRIMARY KEY (place, name));
CREATE TABLE IF NOT EXISTS files (place TEXT, name TEXT, content BLOB, PRIMARY KEY (place, name));
CREATE TABLE IF NOT EXISTS clock (ahead REAL);
"""


def open_storage(settings: Mapping[str, str], root: Path, workspace: str) -> "SqliteStorage":
    """What the entry point names."""
    if "file" not in settings or settings.keys() - {"file"}:
        raise SettingsError('backend "sqlite" has one argument: file.')
    return SqliteStorage(root / settings["file"], workspace)


class SqliteStorage:
    """`Storage` in a file, each method one transaction."""

    lease_seconds: float | None = 60.0

    def __init__(self, file: Path, workspace: str = "default") -> None:
        self.file, self.place = file, workspace

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            db = sqlite3.connect(self.file, timeout=30, isolation_level=None)
        except sqlite3.Error as problem:
            raise StateUnavailable(f"{self.file}: {problem}") from problem
        with contextlib.closing(db):
            try:
                db.execute("PRAGMA synchronous = FULL")
                db.executescript(TABLES)
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            except sqlite3.Error as problem:
                raise StateUnavailable(f"{self.file}: {problem}") from problem

    def _now(self, db: sqlite3.Connection) -> float:
        return time.time() + float(db.execute("SELECT total(ahead) FROM clock").fetchone()[0])

    def pass_time(self, seconds: float) -> None:
        with self._transaction() as db:
            db.execute("INSERT INTO clock VALUES (?)", (seconds,))

    def describe(self) -> str:
        return f"state in {self.file}, workspace {self.place}"

    def warnings(self) -> list[str]:
        return []

    def prepare(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)

    def at(self, workspace: str) -> "SqliteStorage":
        return SqliteStorage(self.file, workspace)

    def workspaces(self) -> list[str]:
        with self._transaction() as db:
            rows = db.execute("SELECT DISTINCT place FROM cells WHERE place != 'default' ORDER BY 1").fetchall()
        return [place for (place,) in rows]

    def close(self) -> None:
        """Nothing stays open."""

    # Cells.

    def _cell(self, db: sqlite3.Connection, name: str) -> tuple[bytes, dict[str, str], int, str | None]:
        query = "SELECT content, meta, tag, lease, ends FROM cells WHERE place = ? AND name = ?"
        row = db.execute(query, (self.place, name)).fetchone()
        if row is None:
            raise Missing
        content, meta, tag, lease, ends = row
        return content, json.loads(meta), tag, lease if lease and ends > self._now(db) else None

    def read(self, name: str) -> Stored:
        with self._transaction() as db:
            content, meta, tag, _ = self._cell(db, name)
        return Stored(content, meta, str(tag))

    def read_meta(self, name: str) -> Stored:
        found = self.read(name)
        return Stored(b"", found.meta, found.tag)

    def acquire(self, name: str, lease: str) -> None:
        with self._transaction() as db:
            values = (self.place, name, b"", "{}")
            db.execute("INSERT OR IGNORE INTO cells VALUES (?, ?, ?, ?, 0, NULL, 0)", values)
            if self._cell(db, name)[3] not in (None, lease):
                raise Busy
            self._hold(db, name, lease)

    def renew(self, name: str, lease: str) -> None:
        with self._transaction() as db:
            self._owned(db, name, lease)
            self._hold(db, name, lease)

    def _hold(self, db: sqlite3.Connection, name: str, lease: str) -> None:
        values = (lease, self._now(db) + (self.lease_seconds or 0), self.place, name)
        db.execute("UPDATE cells SET lease = ?, ends = ? WHERE place = ? AND name = ?", values)

    def _owned(self, db: sqlite3.Connection, name: str, lease: str) -> int:
        try:
            _, _, tag, holder = self._cell(db, name)
        except Missing:
            raise NotOwner from None
        if holder != lease:
            raise NotOwner
        return tag

    def release(self, name: str, lease: str) -> None:
        with self._transaction() as db:
            values = (self.place, name, lease)
            db.execute("UPDATE cells SET lease = NULL WHERE place = ? AND name = ? AND lease = ?", values)

    def break_lease(self, name: str) -> None:
        with self._transaction() as db:
            self._cell(db, name)
            db.execute("UPDATE cells SET lease = NULL WHERE place = ? AND name = ?", (self.place, name))

    def inherit_fds(self, name: str, lease: str) -> tuple[int, ...]:
        return ()

    def write(self, name: str, content: bytes, meta: Mapping[str, str], lease: str, tag: str) -> str:
        return self._write(name, content, meta, lease, tag)

    def write_meta(self, name: str, meta: Mapping[str, str], lease: str, tag: str) -> str:
        return self._write(name, None, meta, lease, tag)

    def _write(self, name: str, content: bytes | None, meta: Mapping[str, str], lease: str, tag: str) -> str:
        with self._transaction() as db:
            known = self._owned(db, name, lease)
            if str(known) != tag:
                raise Changed
            query = "UPDATE cells SET content = coalesce(?, content), meta = ?, tag = ? WHERE place = ? AND name = ?"
            db.execute(query, (content, json.dumps(dict(meta)), known + 1, self.place, name))
        return str(known + 1)

    def delete_cell(self, name: str, lease: str) -> None:
        with self._transaction() as db:
            self._owned(db, name, lease)
            db.execute("DELETE FROM cells WHERE place = ? AND name = ?", (self.place, name))

    # Logs.

    def _log(self, db: sqlite3.Connection, name: str) -> tuple[bytes, bool] | None:
        query = "SELECT content, sealed FROM logs WHERE place = ? AND name = ?"
        row = db.execute(query, (self.place, name)).fetchone()
        return None if row is None else (row[0], bool(row[1]))

    def create_log(self, name: str, content: bytes) -> None:
        with self._transaction() as db:
            if self._log(db, name) is not None:
                raise Exists
            db.execute("INSERT INTO logs VALUES (?, ?, ?, 0)", (self.place, name, content))

    def append(self, name: str, position: int, content: bytes) -> None:
        with self._transaction() as db:
            log = self._log(db, name)
            if log is None or log[1] or len(log[0]) != position:
                raise Refused
            query = "UPDATE logs SET content = ? WHERE place = ? AND name = ?"
            db.execute(query, (log[0] + content, self.place, name))

    def seal(self, name: str) -> None:
        with self._transaction() as db:
            if self._log(db, name) is None:
                raise Missing
            db.execute("UPDATE logs SET sealed = 1 WHERE place = ? AND name = ?", (self.place, name))

    def read_log(self, name: str) -> Stored:
        with self._transaction() as db:
            log = self._log(db, name)
        if log is None:
            raise Missing
        return Stored(log[0], {}, str(len(log[0])))

    def delete_log(self, name: str, tag: str | None = None) -> None:
        with self._transaction() as db:
            log = self._log(db, name)
            if log is not None and tag is not None and str(len(log[0])) != tag:
                raise Changed
            db.execute("DELETE FROM logs WHERE place = ? AND name = ?", (self.place, name))

    # Files, and listings.

    def put(self, name: str, content: bytes) -> None:
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (self.place, name, content))

    def get(self, name: str) -> bytes:
        with self._transaction() as db:
            query = "SELECT content FROM files WHERE place = ? AND name = ?"
            row = db.execute(query, (self.place, name)).fetchone()
        if row is None:
            raise Missing
        return bytes(row[0])

    def delete(self, name: str) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM files WHERE place = ? AND name = ?", (self.place, name))

    def files(self, prefix: str) -> list[Item]:
        with self._transaction() as db:
            query = "SELECT name, length(content) FROM files WHERE place = ? ORDER BY name"
            rows = db.execute(query, (self.place,)).fetchall()
        return [Item(name, size) for name, size in rows if name.startswith(prefix)]

    def cells(self, prefix: str) -> list[str]:
        return [name for name in self._names("SELECT name FROM cells WHERE place = ?") if name.startswith(prefix)]

    def logs(self) -> list[str]:
        return self._names("SELECT name FROM logs WHERE place = ?")

    def _names(self, query: str) -> list[str]:
        with self._transaction() as db:
            return sorted(name for (name,) in db.execute(query, (self.place,)).fetchall())
