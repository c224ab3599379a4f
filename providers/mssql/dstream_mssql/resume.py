"""Places: where a table goes on from its stored place, and in which capture instances. This is where gaps are found.

A checkpoint names the capture instance by its change table's number. While that is there and was not cleaned up past
the checkpoint, reading goes on in it; if it is gone, any other instance that holds everything after the checkpoint will
do. If none does, changes are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dstream_mssql.catalog import Instance, Source, check_key
from dstream_mssql.lsn import to_hex
from dstream_mssql.position import Place
from dstream_mssql.reader import TableReader, lost
from dstream_mssql.settings import InputSettings
from dstream_sdk import log

REREAD = -1
"""In place of a change table's number: the table is to be read again."""


def place_of(source: Source, stored: Place | None, captured: int, config: InputSettings) -> Place:
    """Where a table of which a capture instance has begun goes on. Raises Gap."""
    instances = source.begun
    newest = instances[-1]
    if stored is None:
        if config.snapshot == "initial":
            return Place(newest.name, newest.object_id, 0, reading=True)
        if config.start == "now":
            return Place(newest.name, newest.object_id, max(captured, newest.start_lsn - 1))
        oldest = instances[0]
        return Place(oldest.name, oldest.object_id, max(oldest.start_lsn - 1, 0))
    again = Place(newest.name, newest.object_id, stored.lsn or 1, reading=True, rows=1, truncate=True)
    if stored.reading:
        return replace(again, truncate=stored.truncate or stored.lsn > 0)
    if stored.object_id == REREAD:
        return again
    for instance in instances:
        if instance.object_id == stored.object_id:
            if instance.start_lsn <= stored.first:
                return stored
            break
    # The instance is gone or was cleaned up: another one that holds all that follows will do.
    for instance in instances:
        if instance.start_lsn <= stored.first:
            log(f"{source.table.full}: continues in the capture instance {instance.name}")
            if stored.seq is not None:  # each change table numbers the operations in its own way
                log(f"{source.table.full}: delivers the transaction {to_hex(stored.lsn)} again from its beginning")
            return replace(stored.before_transaction(), instance=instance.name, object_id=instance.object_id)
    instance = min(instances, key=lambda one: one.start_lsn)
    problem = lost(source.table, instance, stored, instance.start_lsn)
    if config.on_gap == "fail":
        raise problem
    log(f"{problem.summary}, reading the table again: {problem.detail}")
    return again


def readers_of(source: Source, place: Place, key: Sequence[str], config: InputSettings) -> list[TableReader]:
    """Readers of the instance that a place is in, and of those that have begun after it."""
    check_key(source, key)
    at = next(at for at, one in enumerate(source.begun) if one.object_id == place.object_id)
    later: tuple[Instance, ...] = source.begun[at:]
    return [TableReader(source, one, key, config) for one in later]
