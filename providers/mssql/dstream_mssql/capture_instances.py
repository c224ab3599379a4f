"""Capture instances: which ones a task requires for each table, and the notice for columns that none of them captures.

A capture instance has a fixed set of columns, and a table has at most two capture instances. When columns are added to
a table, a second instance is required beside the first, and readers switch to it at its start LSN (`follower.py`). The
first instance is released when it starts no earlier than the second: any reader, however many there are, then finds all
of its changes in the second. Only the server can tell, and the answer stays true, because cleanup advances both starts
together.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass

from dstream_mssql.catalog import Catalog, Instance, Source
from dstream_mssql.names import Table
from dstream_mssql.resources.marker import Markers
from dstream_mssql.settings import InputSettings
from dstream_mssql.statements import disable_capture, enable_capture
from dstream_sdk import Notice

SUMMARY = "Columns are not captured"
_LONGEST = 100
_MOST = range(1, 100)


@dataclass(frozen=True, slots=True)
class CapturePlan:
    """The capture instances that a task requires for one table, by number; see `instance_name`."""

    numbers: tuple[int, ...] = ()
    released: tuple[int, ...] = ()
    """Instances that dstream created, that are no longer needed, and whose changes the newest instance has too."""
    notice: Notice | None = None


def plan_captures(source: Source, catalog: Catalog, made: Markers, config: InputSettings) -> CapturePlan:
    """Return the instances to require. Instances that dstream did not create are read as they are, never required."""
    if not source.instances:
        return CapturePlan((_free(source.table, catalog),) if config.manage else ())
    marked = [one for one in source.instances if (source.object_id, one.name.lower()) in made.tables]
    own = {number: one for one in marked if (number := _number(source.table, one.name))}
    kept, released = sorted(own), []
    if len(own) == 2:
        older, newer = sorted(own, key=lambda number: source.instances.index(own[number]))
        if _is_superseded(own[older], own[newer], source):
            kept, released = [newer], [older]
    if marked and not own:
        kept = [1]
    if not config.manage:
        kept, released = [], []
    newest = source.instances[-1]
    managed = newest in own.values()
    notice = None
    if source.uncaptured and config.new_columns == "capture" and (managed or newest.altered):
        if len(source.instances) > 1:
            notice = _full(source, managed=len(own) == 2, releasing=bool(released))
        elif managed and config.manage:
            kept.append(_free(source.table, catalog))
            notice = _planned(source, instance_name(source.table, kept[-1]))
        else:
            notice = _by_hand(source, catalog)
    return CapturePlan(tuple(kept), tuple(released), notice)


def unrecorded_columns(source: Source, catalog: Catalog) -> str | None:
    """Return the warning of a running task about columns that are not captured, or None if all are."""
    if not source.uncaptured or not source.instances[-1].altered:
        return None
    if len(source.instances) > 1:
        older = source.instances[0]
        return (
            f"{_lack(source)} It has two capture instances already, as many as a table can have: `dstream plan` says "
            f"when the older instance can be removed. By hand: {disable_capture(source.table, older.name)}"
        )
    return (
        f"{_lack(source)} `dstream apply` creates a second capture instance if dstream created the first, and this "
        f"task switches to it while it runs. By hand: {_enable_statement(source, catalog)}"
    )


def instance_name(table: Table, number: int = 1) -> str:
    """Return the name of a table's capture instance by number; the first has the name that SQL Server would choose."""
    name, suffix = f"{table.schema}_{table.name}", "" if number == 1 else f"_{number}"
    if len(name) + len(suffix) <= _LONGEST:
        return name + suffix
    short = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 9 - len(suffix)]}_{short}{suffix}"


def key_of(table: Table, number: int) -> str:
    """Return the key of a capture instance among the required resources of a task."""
    return str(table) if number == 1 else f"{table}/{number}"


def _number(table: Table, name: str) -> int:
    """Return the number of a capture instance, or 0 if `instance_name` does not produce its name."""
    return next((number for number in _MOST if instance_name(table, number).lower() == name.lower()), 0)


def _free(table: Table, catalog: Catalog) -> int:
    """Return the first number whose name is free, and is not the first name of another table."""
    taken = {instance.name.lower() for source in catalog.sources.values() for instance in source.instances}
    if instance_name(table).lower() not in taken:
        return 1
    taken |= {instance_name(one.table).lower() for one in catalog.sources.values()}
    return next(number for number in itertools.count(2) if instance_name(table, number).lower() not in taken)


def _is_superseded(older: Instance, newer: Instance, source: Source) -> bool:
    """Return whether the newer instance has every change of the older one, for the columns that still exist."""
    existing = {column.id for column in source.columns}
    missing = {column.id for column in older.columns} & existing - {column.id for column in newer.columns}
    return 0 < newer.start_lsn <= older.start_lsn and not missing


def _lack(source: Source) -> str:
    names = source.uncaptured
    listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    columns, its = ("column", "its") if len(names) == 1 else ("columns", "their")
    return (
        f"{source.table.full}: the capture instance {source.instances[-1].name} does not capture the {columns} "
        f"{listed}, added after it was created: {its} values are not delivered."
    )


def _planned(source: Source, name: str) -> Notice:
    return Notice(
        SUMMARY,
        f"{_lack(source)} This plan creates a second capture instance, {name}, and the task switches to it where it "
        "begins: no change is lost. Values written before that are not delivered automatically. To leave new "
        'columns out: new_columns = "ignore".',
    )


def _by_hand(source: Source, catalog: Catalog) -> Notice:
    return Notice(
        SUMMARY,
        f"{_lack(source)} dstream does not manage this capture instance. Create a second one, and the task switches to "
        f"it where it begins, so that no change is lost; then remove the first: {_enable_statement(source, catalog)}; "
        'To leave new columns out: new_columns = "ignore".',
    )


def _full(source: Source, *, managed: bool, releasing: bool) -> Notice:
    older, newer = source.instances[0], source.instances[-1]
    disable = disable_capture(source.table, older.name)
    if releasing:
        more = f"This plan removes {older.name}, whose changes are all in {newer.name}: apply it and plan again."
    elif managed:
        more = (
            f"{older.name} still holds changes that {newer.name} does not. Once cleanup has removed these (see the "
            f"retention), `dstream apply` removes {older.name}, and the next plan creates another. To remove it now, "
            f"make sure that all tasks have switched to {newer.name} and nothing else reads {older.name}; then: "
            f"{disable};"
        )
    else:
        more = f"If nothing reads {older.name} any more: {disable}; then plan again."
    return Notice(SUMMARY, f"{_lack(source)} The table has two capture instances, as many as it can have. {more}")


def _enable_statement(source: Source, catalog: Catalog) -> str:
    name = instance_name(source.table, _free(source.table, catalog))
    return enable_capture(source.table, name, source.instances[-1].role or "")
