"""Advice: warnings of a plan about the tables of the source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dstream_postgres.names import Table
from dstream_postgres.settings import InputSettings
from dstream_sdk import InvalidError, Notice

if TYPE_CHECKING:
    from dstream_postgres.survey import Surveyed

_NAMED = 10
"""How many tables a message names."""


def advise(
    config: InputSettings, tables: Sequence[Table], found: Mapping[Table, Surveyed], *, volume: bool = True
) -> Iterator[Notice]:
    """Warnings about the tables; with `volume`, of the rows that the first run reads.

    Raises InvalidError if publishing one would break its applications.
    """
    if missing := [table for table in tables if table not in found]:
        yield Notice("Table not found", f"{_names(missing)}: create it before `dstream apply`.", "config.tables")
    broken = [table for table, one in found.items() if not _identified(config, one)]
    if broken and config.manage:
        if not config.allow_tables_without_key:
            raise without_key(broken, path="config.tables", setting="allow_tables_without_key")
        yield Notice("Table without a key", f"{_names(broken)}: {_REFUSED}", "config.tables")
    if config.snapshot == "initial":
        if hidden := [table for table, one in found.items() if one.hidden]:
            yield Notice(
                "Row-level security applies",
                f"{_names(hidden)}: the snapshot fails instead of reading fewer rows. Give the role BYPASSRLS, or use "
                "the owner of the tables.",
                "config.connection_string",
            )
        unread = {table: one for table, one in found.items() if not one.followed}
        if volume and unread:
            yield Notice("Rows to read", _volume(unread), "config.snapshot")
    named = {str(table) for table in tables}
    for table, one in found.items():
        if left := [child for child in one.children if child not in named]:
            yield Notice(
                "Child tables not followed",
                f"rows of {', '.join(left[:_NAMED])} are not delivered with {table}, from which they inherit: add the "
                "child tables to `tables`.",
                "config.tables",
            )


_REFUSED = (
    "the server refuses UPDATE and DELETE on a table without a primary key, by every application, as soon as they are "
    "published"
)


def without_key(tables: Sequence[Table], *, path: str, setting: str) -> InvalidError:
    """The error for tables whose updates and deletes may not be published."""
    return InvalidError(
        "Table without a key",
        f"{_names(tables)}: {_REFUSED}. Add a primary key, or give them replica identity full, or leave both out of "
        f"`operations`. To publish them all the same, set {setting} = true.",
        path=path,
    )


def _identified(config: InputSettings, one: Surveyed) -> bool:
    if not {"update", "delete"} & set(config.operations):
        return True
    return {"full": True, "default": one.keyed, "nothing": False, "": one.identified}[config.replica_identity]


def _volume(unread: Mapping[Table, Surveyed]) -> str:
    known = [one.rows for one in unread.values() if one.rows is not None]
    counts = [
        f"{table} (about {one.rows:,})" if one.rows is not None else f"{table} (not analyzed yet)"
        for table, one in unread.items()
    ]
    size = sum(one.size for one in unread.values())
    more = f" and {len(counts) - _NAMED} more" if len(counts) > _NAMED else ""
    total = f"; about {sum(known):,} rows" if len(known) > 1 else ""
    return (
        f"the first run reads the rows of {', '.join(counts[:_NAMED])}{more}{total}, {_bytes(size)}, by the server's "
        'statistics. snapshot = "never" delivers changes only.'
    )


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _names(tables: Sequence[Table]) -> str:
    more = f" and {len(tables) - _NAMED} more" if len(tables) > _NAMED else ""
    return ", ".join(map(str, tables[:_NAMED])) + more
