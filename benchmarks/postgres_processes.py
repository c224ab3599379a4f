"""The seconds of the processor that a measured stretch took, by process: those of a command, and those of the server.

/proc is read twenty times a second: what a process does in the last moment before its end is missed. A session of the
server counts under the name of its database, its other processes under what they are.
"""

import os
import threading
from pathlib import Path
from types import TracebackType

from benchmarks.servicebus_sender import processor
from tests.services.postgres import EmbeddedPostgres

_PAUSE = 0.05


class Processes:
    """Notes, while it is entered, what this process's descendants and the server take of the processor."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server.pid
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._names: dict[int, str] = {}
        self._entered = False
        self._done = threading.Event()

    def __enter__(self) -> "Processes":
        self._look()
        self._entered = True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._done.set()
        self._thread.join()
        self._look()

    def by_name(self) -> dict[str, float]:
        """The seconds of each, the most first."""
        found: dict[str, float] = {}
        for pid, last in self._last.items():
            name = self._names.get(pid, "?")
            found[name] = found.get(name, 0.0) + last - self._first[pid]
        return dict(sorted(found.items(), key=lambda each: -each[1]))

    def by_row(self, rows: int) -> str:
        """The same as text, in microseconds for each row, with their sum in front."""
        found = {name: seconds * 1e6 / rows for name, seconds in self.by_name().items()}
        parts = [f"{name} {each:.2f}" for name, each in found.items() if each >= 0.05]
        return f"{sum(found.values()):.2f} us a row: " + ", ".join(parts)

    def _watch(self) -> None:
        while not self._done.wait(_PAUSE):
            self._look()

    def _look(self) -> None:
        new = self._entered
        for pid in {*_family(os.getpid())[1:], *_family(self._server)}:
            try:
                used = processor(pid)
                words = (Path(f"/proc/{pid}/cmdline").read_bytes()).decode().replace("\0", " ").split()
            except (OSError, ValueError):
                continue  # it has ended
            self._first.setdefault(pid, 0.0 if new else used)
            self._last[pid] = used
            if words:  # what has ended has no command any more
                self._names[pid] = _name(words)


def _name(words: list[str]) -> str:
    """`dstream-in-postgres`, `psql`, `postgres source`, `postgres walsender`, ..."""
    if words[0] != "postgres:":
        found = [Path(word).name for word in words if "dstream" in Path(word).name]
        return found[0] if found else Path(words[0]).name
    if "logical" in words and "worker" in words:
        return "postgres apply worker"
    return "postgres " + ("walsender" if words[1] == "walsender" else words[2] if len(words) > 3 else words[1])


def _family(pid: int) -> list[int]:
    found, left = [], [pid]
    while left:
        each = left.pop()
        found.append(each)
        try:
            for thread in Path(f"/proc/{each}/task").iterdir():
                left += map(int, (thread / "children").read_text().split())
        except OSError:
            continue  # it has ended
    return found
