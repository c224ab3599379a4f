"""Resume: the position at which a table continues, and the capture instances to read. Detects gaps.

A checkpoint identifies the capture instance by the object id of its change table. Reading continues in that instance if
it exists and cleanup has not passed the checkpoint; otherwise in any instance that has all changes after the
checkpoint. If there is none, changes are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dstream_mssql import statements
from dstream_mssql.catalog import Catalog, Instance, Source, check_key
from dstream_mssql.database import Database
from dstream_mssql.lsn import from_bytes, to_bytes, to_hex
from dstream_mssql.position import Position, TablePosition
from dstream_mssql.reader import TableReader, lost
from dstream_mssql.settings import InputSettings
from dstream_sdk import log

REREAD = -1
"""In position of a change table's number: the table is to be read again."""


def database_gap(database: Database, position: Position, catalog: Catalog, captured: int) -> str | None:
    """Return why a database does not have all changes after a checkpoint, None if it seems to. Raises ProviderError."""
    if (position.guid, position.database.lower()) != (catalog.guid, catalog.database.lower()):
        return (
            f"the connection leads to another database ({catalog.database}, {catalog.guid}) than the checkpoint's "
            f"({position.database}, {position.guid}), or SET NEW_BROKER gave it another identity"
        )
    if position.lsn > captured and captured:
        return (
            f"the database is captured up to {to_hex(captured)}, before the checkpoint {to_hex(position.lsn)}: "
            "it was restored, or CDC was enabled again"
        )
    if position.lsn and catalog.cdc:
        # A restored database assigns the LSNs of lost transactions again.
        found = database.rows(statements.ENTRY, to_bytes(position.lsn))
        if found and from_bytes(found[0][0]) != position.lsn:
            return (
                f"the database has no transaction {to_hex(position.lsn)}, up to which the checkpoint was captured: "
                "it was restored to an earlier state, or a failover lost transactions"
            )
    return None


def resume_position(
    source: Source, stored: TablePosition | None, captured: int, config: InputSettings
) -> TablePosition:
    """Return the position at which a table with a readable capture instance continues. Raises Gap."""
    instances = source.readable
    newest = instances[-1]
    if stored is None:
        if config.snapshot == "initial":
            return TablePosition(newest.name, newest.object_id, 0, reading=True)
        if config.start == "now":
            return TablePosition(newest.name, newest.object_id, max(captured, newest.start_lsn - 1))
        oldest = instances[0]
        return TablePosition(oldest.name, oldest.object_id, max(oldest.start_lsn - 1, 0))
    again = TablePosition(newest.name, newest.object_id, stored.lsn or 1, reading=True, rows=1, truncate=True)
    if stored.reading:
        return replace(again, truncate=stored.truncate or stored.lsn > 0)
    if stored.object_id == REREAD:
        return again
    for instance in instances:
        if instance.object_id == stored.object_id:
            if instance.start_lsn <= stored.first:
                return stored
            break
    # The instance was removed or cleaned up. Any other that has all later changes can replace it.
    for instance in instances:
        if instance.start_lsn <= stored.first:
            log(f"{source.table.full}: continues in the capture instance {instance.name}")
            if stored.seq is not None:  # command numbers differ between change tables
                log(f"{source.table.full}: delivers the transaction {to_hex(stored.lsn)} again from its beginning")
            return replace(stored.before_transaction(), instance=instance.name, object_id=instance.object_id)
    instance = min(instances, key=lambda one: one.start_lsn)
    problem = lost(source.table, instance, stored, instance.start_lsn)
    if config.on_gap == "fail":
        raise problem
    log(f"{problem.summary}, reading the table again: {problem.detail}")
    return again


def readers_of(source: Source, position: TablePosition, key: Sequence[str], config: InputSettings) -> list[TableReader]:
    """Return readers of the position's capture instance and of the later ones. Raises InvalidError."""
    check_key(source, key)
    at = next(at for at, one in enumerate(source.readable) if one.object_id == position.object_id)
    later: tuple[Instance, ...] = source.readable[at:]
    return [TableReader(source, one, key, config) for one in later]
