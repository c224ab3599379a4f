"""Start positions: where tables without a position start, by the setting `start` or a checkpoint `{"start": ...}`.

The values are `oldest`, `now`, an LSN, a time, or `cdc_offsets`: the table in which the older project's ingester stored
the LSN and sequence that it had published for each table. The last transaction is delivered again, because it may be
incomplete.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from dstream_mssql import statements
from dstream_mssql.database import Database
from dstream_mssql.lsn import from_bytes, from_hex, to_hex
from dstream_mssql.names import parse_table
from dstream_mssql.position import TablePosition
from dstream_mssql.start_setting import OFFSETS, is_lsn
from dstream_sdk import log

_HOUR = timedelta(hours=1)
"""How far a change to or from daylight saving time moves the clock."""


def start_positions(
    start: str, database: Database, tables: Mapping[str, tuple[str, str]], captured: int
) -> dict[str, TablePosition]:
    """Return the positions of `tables`, which maps full names to folded ones. Empty for `oldest` and `now`.

    The positions name no capture instance: `resume_position` finds one that has all later changes.
    """
    if start in ("oldest", "now"):
        return {}
    if start == OFFSETS:
        return _from_offsets(database, tables)
    first = from_hex(start) if is_lsn(start) else _first_after(start, database, captured)
    return {name: TablePosition("", 0, max(first - 1, 0)) for name in tables}


def _from_offsets(database: Database, tables: Mapping[str, tuple[str, str]]) -> dict[str, TablePosition]:
    known = {parse_table(str(name)).folded: from_bytes(lsn) for name, lsn in database.rows(statements.OFFSETS)}
    found = {}
    for name, folded in tables.items():
        lsn = known.get(folded, 0)
        if lsn:
            log(f"{name}: continues after the older project's offset {to_hex(lsn)}")
            found[name] = TablePosition("", 0, lsn - 1)
        else:
            log(f"{name}: not in {OFFSETS}; starting with the oldest change")
    return found


def _first_after(text: str, database: Database, captured: int) -> int:
    """Return the LSN of the first transaction at or after a time, or of one shortly before it."""
    moment = datetime.fromisoformat(text).astimezone(UTC)
    local = _local(moment, database)
    found = from_bytes(database.rows(statements.FIRST_AT, _iso(local))[0][0])
    log(f"start {text}: {'LSN ' + to_hex(found) if found else 'later than every captured change'}")
    return found or captured + 1


def _local(moment: datetime, database: Database) -> datetime:
    """Return the server's local time at a moment; change tables record local times only.

    If it is ambiguous, return the earlier time, so that rows are repeated and none is missed. It is ambiguous in the
    hour before daylight saving time ends, and on a server that does not report its time zone.
    """
    if not database.has_time_zone:
        ahead = timedelta(minutes=int(database.rows(statements.CLOCK)[0][0] or 0))
        log(
            "start: this server does not report its time zone; starting up to two hours early, for daylight saving time"
        )
        return moment.replace(tzinfo=None) + ahead - _HOUR
    first, next_ = (
        datetime.fromisoformat(str(database.rows(statements.LOCAL, _iso(each))[0][0])[:23])
        for each in (moment, moment + _HOUR)
    )
    return first if next_ - first >= _HOUR else first - _HOUR


def _iso(moment: datetime) -> str:
    return moment.isoformat(sep="T", timespec="milliseconds")
