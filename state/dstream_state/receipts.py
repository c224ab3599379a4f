"""Receipts: what each apply did, each a file of its own beside the state, named by its time.

The last 500 are kept, and all of the last 365 days. A receipt is one JSON object; with encryption it is sealed, bound
to its name.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from dstream_state.codec import Json, dumps, loads
from dstream_state.errors import FormatTooNew, StateDamaged, StateError
from dstream_state.sealing import Sealer, unencrypted_allowed
from dstream_state.storage import Missing, Storage

FORMAT_VERSION = 1
KEEP = 500
KEEP_SECONDS = 365 * 24 * 3600
_FOLDER = "receipts/"


class StoredReceipts:
    """`Receipts` over a `Storage`."""

    def __init__(self, storage: Storage, sealer: Sealer | None) -> None:
        """Look at the receipts in `storage`."""
        self._storage, self._sealer = storage, sealer

    def name(self, id_: str) -> str:
        """See `Receipts`."""
        return f"{_stamp(time.time())}-{id_[:8]}"

    def put(self, name: str, content: Mapping[str, Json]) -> None:
        """See `Receipts`."""
        data = dumps({"format_version": FORMAT_VERSION, **content})
        if self._sealer is not None:
            data = dumps({"format_version": FORMAT_VERSION, "encrypted": self._sealer.seal(data, _context(name))})
        self._storage.put(_FOLDER + name, data)

    def names(self) -> list[str]:
        """See `Receipts`."""
        return [item.name.removeprefix(_FOLDER) for item in reversed(self._storage.files(_FOLDER))]

    def read(self, name: str) -> Mapping[str, Json]:
        """See `Receipts`."""
        what = f"The receipt {name}"
        try:
            data = self._storage.get(_FOLDER + name)
        except Missing:
            raise StateError(f"There is no receipt {name}. To list the receipts, run: dstream history") from None
        form = loads(data, what)
        if isinstance(form, dict) and isinstance(form.get("format_version"), int):
            if form["format_version"] > FORMAT_VERSION:
                raise FormatTooNew(what, form["format_version"], FORMAT_VERSION)
            if "encrypted" not in form:
                unencrypted_allowed(self._sealer, what)
                return form
            if self._sealer is not None:
                form = loads(self._sealer.open(form["encrypted"], _context(name)), what)
                if isinstance(form, dict):
                    return form
            raise StateDamaged(what, "it is encrypted, and no encryption is configured")
        raise StateDamaged(what, "it is not a JSON object with a format_version")

    def prune(self) -> None:
        """See `Receipts`."""
        oldest = _stamp(time.time() - KEEP_SECONDS)
        for name in self.names()[KEEP:]:
            if name < oldest:
                self._storage.delete(_FOLDER + name)


def _stamp(moment: float) -> str:
    """Return a moment, in seconds since 1970, as text that sorts by time: UTC, with milliseconds."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(moment))}{int(moment % 1 * 1000):03d}Z"


def _context(name: str) -> bytes:
    return f"receipt {name}".encode()
