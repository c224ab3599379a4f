"""Dead letters: envelopes that an output refused, each a file of its own under the hash of its bytes."""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Iterable

from dstream_state.backend import DeadLetter
from dstream_state.clock import now
from dstream_state.codec import dumps, loads
from dstream_state.errors import StateDamaged
from dstream_state.sealing import Sealer, unencrypted_allowed
from dstream_state.storage import Missing, Storage


class StoredDeadLetters:
    """`DeadLetters` over a `Storage`: the files below one folder.

    A file is one line of JSON (reason, time), then the envelope byte by byte; with encryption, one sealed
    JSON object.
    """

    def __init__(self, storage: Storage, folder: str, sealer: Sealer | None) -> None:
        """Look at `folder`, which ends in a slash."""
        self._storage, self._folder, self._sealer = storage, folder, sealer

    def append(self, letters: Iterable[tuple[bytes, str]]) -> None:
        """See `DeadLetters`."""
        for envelope, reason in letters:
            key = hashlib.sha256(envelope).hexdigest()
            content = dumps({"reason": reason, "at": now()}) + b"\n" + envelope
            if self._sealer is not None:
                content = dumps({"encrypted": self._sealer.seal(content, f"letter {key}".encode())})
            self._storage.put(self._folder + key, content)

    def list(self) -> builtins.list[str]:
        """See `DeadLetters`."""
        return [item.name.removeprefix(self._folder) for item in self._storage.files(self._folder)]

    def read(self, key: str) -> DeadLetter:
        """See `DeadLetters`. Raises WrongKey, StateDamaged."""
        what = f"Dead letter {key}"
        try:
            content = self._storage.get(self._folder + key)
        except Missing:
            raise KeyError(key) from None
        if content.startswith(b'{"encrypted":'):
            form = loads(content, what)["encrypted"]
            content = b"" if self._sealer is None else self._sealer.open(form, f"letter {key}".encode())
        else:
            unencrypted_allowed(self._sealer, what)
        head, _, envelope = content.partition(b"\n")
        form = loads(head, what)
        if hashlib.sha256(envelope).hexdigest() != key:
            raise StateDamaged(what, "its envelope does not have the SHA-256 that is its name")
        if not isinstance(form, dict) or not {"reason", "at"} <= form.keys():
            raise StateDamaged(what, "its first line has no reason and time")
        return DeadLetter(key, envelope, form["reason"], form["at"])

    def remove(self, keys: Iterable[str]) -> None:
        """See `DeadLetters`."""
        for key in keys:
            self._storage.delete(self._folder + key)

    def copy_to(self, folder: str) -> None:
        """Copy all letters to another folder."""
        for key in self.list():
            self._storage.put(folder + key, self._storage.get(self._folder + key))
