"""Captures: which capture instances of a table a task asks for, and what is to be said of columns that none captures.

A capture instance keeps the columns that its table had when it was made, and a table has two at most. So when columns
came, a second one is asked for beside the first; readers go over to it where it begins (follower.py). The first is let
go when nothing is lost with it: when it reaches back no farther than the second. Every reader of the table (their
number is unknown) then finds the content of the first in the second too. That is seen on the server alone, and stays
true: cleanup moves the beginnings of both forward together.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass

from dstream_mssql.catalog import Catalog, Instance, Source
from dstream_mssql.names import Table
from dstream_mssql.resources.marker import Made
from dstream_mssql.settings import InputSettings
from dstream_mssql.statements import disabling, enabling
from dstream_sdk import Notice

SUMMARY = "Columns are not captured"
_LONGEST = 100
_MOST = range(1, 100)


@dataclass(frozen=True, slots=True)
class Captures:
    """What a task asks for of one table: capture instances by number, see `instance_name`."""

    numbers: tuple[int, ...] = ()
    released: tuple[int, ...] = ()
    """Those that dstream made, that are needed no longer and hold nothing that the newest one does not."""
    notice: Notice | None = None


def captures_of(source: Source, catalog: Catalog, made: Made, config: InputSettings) -> Captures:
    """What to ask for. Capture instances that dstream did not make are used as they are, and never asked for."""
    if not source.instances:
        return Captures((_free(source.table, catalog),) if config.manage else ())
    marked = [one for one in source.instances if (source.object_id, one.name.lower()) in made.tables]
    own = {number: one for one in marked if (number := _number(source.table, one.name))}
    kept, released = sorted(own), []
    if len(own) == 2:
        older, newer = sorted(own, key=lambda number: source.instances.index(own[number]))
        if _holds_nothing_more(own[older], own[newer], source):
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
            notice = _full(source, managed=len(own) == 2, going=bool(released))
        elif managed and config.manage:
            kept.append(_free(source.table, catalog))
            notice = _planned(source, instance_name(source.table, kept[-1]))
        else:
            notice = _by_hand(source, catalog)
    return Captures(tuple(kept), tuple(released), notice)


def unrecorded_columns(source: Source, catalog: Catalog) -> str | None:
    """What a task that runs says of columns that do not arrive, None if they all do."""
    if not source.uncaptured or not source.instances[-1].altered:
        return None
    if len(source.instances) > 1:
        older = source.instances[0]
        return (
            f"{_lack(source)} It has two capture instances already, as many as a table can have: `dstream plan` says "
            f"when the older instance can be removed. By hand: {disabling(source.table, older.name)}"
        )
    return (
        f"{_lack(source)} `dstream apply` creates a second capture instance if dstream created the first, and this "
        f"task switches to it while it runs. By hand: {_enabling(source, catalog)}"
    )


def instance_name(table: Table, number: int = 1) -> str:
    """The name of a table's first, second ... capture instance; the first as SQL Server itself would choose it."""
    name, suffix = f"{table.schema}_{table.name}", "" if number == 1 else f"_{number}"
    if len(name) + len(suffix) <= _LONGEST:
        return name + suffix
    short = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 9 - len(suffix)]}_{short}{suffix}"


def key_of(table: Table, number: int) -> str:
    """What a capture instance is called within a task."""
    return str(table) if number == 1 else f"{table}/{number}"


def _number(table: Table, name: str) -> int:
    """The number of a capture instance, 0 if its name is none that we would give."""
    return next((number for number in _MOST if instance_name(table, number).lower() == name.lower()), 0)


def _free(table: Table, catalog: Catalog) -> int:
    """The first number whose name no capture instance has, nor the first one of another table would be given."""
    taken = {instance.name.lower() for source in catalog.sources.values() for instance in source.instances}
    if instance_name(table).lower() not in taken:
        return 1
    taken |= {instance_name(one.table).lower() for one in catalog.sources.values()}
    return next(number for number in itertools.count(2) if instance_name(table, number).lower() not in taken)


def _holds_nothing_more(older: Instance, newer: Instance, source: Source) -> bool:
    """Whether the newer one has all that the older one still has, of columns that are still there."""
    there = {column.id for column in source.columns}
    lacking = {column.id for column in older.columns} & there - {column.id for column in newer.columns}
    return 0 < newer.start_lsn <= older.start_lsn and not lacking


def _lack(source: Source) -> str:
    names = source.uncaptured
    listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    columns, its = ("column", "its") if len(names) == 1 else ("columns", "their")
    return (
        f"{source.table.full}: the capture instance {source.instances[-1].name} does not capture the {columns} "
        f"{listed}, added after it was made: {its} values do not arrive."
    )


def _planned(source: Source, name: str) -> Notice:
    return Notice(
        SUMMARY,
        f"{_lack(source)} This plan creates a second capture instance, {name}, and the task switches to it where it "
        "begins: no change is lost. Values written before that do not arrive automatically. To leave new "
        'columns out: new_columns = "ignore".',
    )


def _by_hand(source: Source, catalog: Catalog) -> Notice:
    return Notice(
        SUMMARY,
        f"{_lack(source)} dstream does not manage this capture instance. Create a second one, and the task switches to "
        f"it where it begins, so that no change is lost; then remove the first: {_enabling(source, catalog)}; To leave "
        'new columns out: new_columns = "ignore".',
    )


def _full(source: Source, *, managed: bool, going: bool) -> Notice:
    older, newer = source.instances[0], source.instances[-1]
    disable = disabling(source.table, older.name)
    if going:
        more = f"This plan removes {older.name}, with which nothing is lost: apply it and plan again."
    elif managed:
        more = (
            f"{older.name} still holds changes that {newer.name} does not. Once cleanup has removed these (see the "
            f"retention), `dstream apply` removes {older.name}, and the next plan makes another. Not to wait for that, "
            f"look that all tasks have switched to {newer.name} and nothing else reads {older.name}; then: {disable};"
        )
    else:
        more = f"If nothing reads {older.name} any more: {disable}; then plan again."
    return Notice(SUMMARY, f"{_lack(source)} The table has two capture instances, as many as it can have. {more}")


def _enabling(source: Source, catalog: Catalog) -> str:
    name = instance_name(source.table, _free(source.table, catalog))
    return enabling(source.table, name, source.instances[-1].role or "")
