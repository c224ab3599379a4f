"""History: copies of earlier snapshots, compressed, named by serial and time.

The last 50 are kept, and all of the last 30 days.
"""

from __future__ import annotations

import time
import zlib

from msgspec import Struct

from dstream_state.clock import now
from dstream_state.errors import StateDamaged, StateError
from dstream_state.sealing import Sealer, read_snapshot
from dstream_state.snapshot import Snapshot
from dstream_state.storage import Item, Missing, Storage

KEEP = 50
KEEP_SECONDS = 30 * 24 * 3600
_PRUNE_EVERY = 10
_PREFIX = "history/"


class Kept(Struct, frozen=True):
    """One copy: serial, when it was written, and its size as stored."""

    serial: int
    at: str
    size: int
    name: str


class History:
    """The copies beside one state."""

    def __init__(self, storage: Storage) -> None:
        """Look at the history in `storage`."""
        self._storage = storage

    def keep(self, serial: int, content: bytes) -> None:
        """Keep a copy of the document `content`; occasionally, delete copies that are too old."""
        at = now().replace("-", "").replace(":", "")
        self._storage.put(f"{_PREFIX}{serial:012d}-{at}", zlib.compress(content, 1))
        if serial % _PRUNE_EVERY == 0:
            self.prune(time.time())

    def entries(self) -> list[Kept]:
        """Return all copies, newest first."""
        return [_kept(item) for item in reversed(self._storage.files(_PREFIX))]

    def content(self, serial: int) -> bytes:
        """Return the document with this serial; raise StateError if it is not kept."""
        items = self._storage.files(f"{_PREFIX}{serial:012d}-")
        if not items:
            raise StateError(
                f"There is no snapshot with serial {serial}. To list the snapshots, run: dstream state history"
            )
        try:
            return zlib.decompress(self._storage.get(items[-1].name))
        except (zlib.error, Missing) as error:
            raise StateDamaged(f"The snapshot with serial {serial}", str(error) or "it is missing") from error

    def snapshot(self, serial: int, sealer: Sealer | None) -> tuple[Snapshot, bytes]:
        """Return the snapshot with this serial and its document; raise StateError if it is not kept or damaged."""
        content, what = self.content(serial), f"The snapshot with serial {serial}"
        found = read_snapshot(content, sealer, what)
        if found.serial != serial:
            raise StateDamaged(what, f"it has serial {found.serial}")
        return found, content

    def prune(self, moment: float) -> None:
        """Delete copies that are neither among the last 50 nor of the 30 days before `moment` (seconds since 1970)."""
        oldest = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment - KEEP_SECONDS))
        for kept in self.entries()[KEEP:]:
            if kept.at < oldest:
                self._storage.delete(kept.name)


def _kept(item: Item) -> Kept:
    serial, _, at = item.name.removeprefix(_PREFIX).partition("-")
    moment = f"{at[:4]}-{at[4:6]}-{at[6:11]}:{at[11:13]}:{at[13:]}"
    return Kept(int(serial), moment, item.size, item.name)
