"""Stored bytes of snapshots and journal blocks: JSON in clear, or sealed by an `Encryption`.

What is sealed is bound to its place (lineage, serial, journal, number of the block), so that nothing can be
moved.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from dstream_state.checksum import checked_line, read_line
from dstream_state.codec import Json, dumps, loads
from dstream_state.errors import EncryptionRequired, FormatTooNew, StateDamaged, WrongKey
from dstream_state.records import Record, from_json
from dstream_state.snapshot import FORMAT_VERSION, Snapshot


class Sealer(Protocol):
    """Authenticated encryption, see `encryption.Encryption`."""

    reads_unencrypted: bool
    """Whether content that is not encrypted is read: whoever can write to the storage can forge it."""

    def seal(self, data: bytes, context: bytes) -> Json:
        """Return `data` encrypted, with all that `open` needs except the key, bound to `context`."""

    def open(self, form: Json, context: bytes) -> bytes:
        """Return what was sealed; raise WrongKey."""


def snapshot_bytes(snapshot: Snapshot, sealer: Sealer | None, more: Mapping[str, Json] | None = None) -> bytes:
    """Return the document to store, with members `more` that a snapshot does not have."""
    with _no_collection():
        form = {**snapshot.to_json(), **(more or {})}
        if sealer is None:
            return checked_line(form)
        data = dumps(form)
    outer = {"format_version": FORMAT_VERSION, "lineage": snapshot.lineage, "serial": snapshot.serial}
    outer["encrypted"] = sealer.seal(data, _document_context(snapshot.lineage, snapshot.serial))
    return checked_line(outer)


def read_snapshot(content: bytes, sealer: Sealer | None, what: str = "The state document") -> Snapshot:
    """Return the snapshot that `content` stores.

    Raise StateDamaged, FormatTooNew, WrongKey, EncryptionRequired.
    """
    return read_document(content, sealer, what)[0]


def read_document(content: bytes, sealer: Sealer | None, what: str) -> tuple[Snapshot, Mapping[str, Json]]:
    """Return the snapshot that `content` stores, and all members of the document; raise as `read_snapshot` does."""
    with _no_collection():
        return _read(content, sealer, what)


def _read(content: bytes, sealer: Sealer | None, what: str) -> tuple[Snapshot, Mapping[str, Json]]:
    form = read_line(content, what)
    if not isinstance(form, dict):
        raise StateDamaged(what, "it is not a JSON object")
    version = form.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise FormatTooNew(what, version, FORMAT_VERSION)
    if "encrypted" in form:
        context = _document_context(str(form.get("lineage")), form.get("serial", 0))
        form = loads(_opened(form["encrypted"], context, sealer, what), what)
    else:
        unencrypted_allowed(sealer, what)
    return Snapshot.from_json(form), form


def records_form(records: Sequence[Record], sealer: Sealer | None, context: str) -> dict[str, Json]:
    """Return the members of a journal block that carry `records`."""
    forms = [record.to_json() for record in records]
    if sealer is None:
        return {"records": forms}
    return {"encrypted": sealer.seal(dumps(forms), context.encode())}


def read_records(form: Json, sealer: Sealer | None, context: str, what: str) -> tuple[Record, ...]:
    """Return the records of a journal block."""
    if "encrypted" in form:
        forms = loads(_opened(form["encrypted"], context.encode(), sealer, what), what)
    else:
        forms = form.get("records", ())
        if forms:
            unencrypted_allowed(sealer, what)
    if not isinstance(forms, list | tuple):
        raise StateDamaged(what, "its records are not a list")
    return tuple(map(from_json, forms))


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from looking at a large document again and again while it is built."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _document_context(lineage: str, serial: int) -> bytes:
    return f"snapshot {lineage} {serial}".encode()


def _opened(form: Json, context: bytes, sealer: Sealer | None, what: str) -> bytes:
    if sealer is None:
        raise WrongKey(f"{what} is encrypted. Configure its key in an `encryption` block of `dstream`.")
    return sealer.open(form, context)


def unencrypted_allowed(sealer: Sealer | None, what: str) -> None:
    """Raise EncryptionRequired if content in clear may not be read."""
    if sealer is not None and not sealer.reads_unencrypted:
        raise EncryptionRequired(
            f"{what} is not encrypted, but the configuration has an `encryption` block. If it was encrypted before, it "
            "was replaced: do not use it. If it was written before the block was added, add `fallback_unencrypted {}` "
            "to `encryption`, apply once to encrypt it, and remove the fallback."
        )
