"""Starts: where tables begin that have no place yet, by the setting `start` or a checkpoint `{"start": ...}`.

`oldest`, `now`, an LSN, a time, or `cdc_offsets`: the table in which the older project's ingester kept its offsets, by
table the LSN and sequence that it had published. Its last transaction is delivered again: it may have been cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from dstream_mssql import statements
from dstream_mssql.database import Database
from dstream_mssql.lsn import from_bytes, from_hex, to_hex
from dstream_mssql.names import parse_table
from dstream_mssql.position import Place
from dstream_mssql.start_setting import OFFSETS, is_lsn
from dstream_sdk import log

_HOUR = timedelta(hours=1)
"""As far as a change to or from summer time moves the clock."""


def start_positions(
    start: str, database: Database, tables: Mapping[str, tuple[str, str]], captured: int
) -> dict[str, Place]:
    """Return the places of tables, by full name with its folded name; none where a table begins as the settings say.

    A place names no capture instance: the one that holds all that follows is found as after a cleanup.
    """
    if start in ("oldest", "now"):
        return {}
    if start == OFFSETS:
        return _from_offsets(database, tables)
    first = from_hex(start) if is_lsn(start) else _first_after(start, database, captured)
    return {name: Place("", 0, max(first - 1, 0)) for name in tables}


def _from_offsets(database: Database, tables: Mapping[str, tuple[str, str]]) -> dict[str, Place]:
    known = {parse_table(str(name)).folded: from_bytes(lsn) for name, lsn in database.rows(statements.OFFSETS)}
    found = {}
    for name, folded in tables.items():
        lsn = known.get(folded, 0)
        if lsn:
            log(f"{name}: continues behind the older project's offset {to_hex(lsn)}")
            found[name] = Place("", 0, lsn - 1)
        else:
            log(f"{name}: {OFFSETS} has no offset of it; beginning with the oldest change")
    return found


def _first_after(text: str, database: Database, captured: int) -> int:
    """Return the LSN of the first transaction at or after a time, or of one shortly before it."""
    moment = datetime.fromisoformat(text).astimezone(UTC)
    local = _local(moment, database)
    found = from_bytes(database.rows(statements.FIRST_AT, _iso(local))[0][0])
    log(f"start {text}: {'LSN ' + to_hex(found) if found else 'later than every captured change'}")
    return found or captured + 1


def _local(moment: datetime, database: Database) -> datetime:
    """Return the server's local time at a moment; the change tables have no other.

    Where that is ambiguous, return the earlier one: rows are then repeated, and none is missed. It is ambiguous in the
    hour before the end of summer time, and on a server that does not report its time zone.
    """
    if not database.has_time_zone:
        ahead = timedelta(minutes=int(database.rows(statements.CLOCK)[0][0] or 0))
        log("start: this server does not report its time zone; beginning up to two hours earlier, for summer time")
        return moment.replace(tzinfo=None) + ahead - _HOUR
    first, next_ = (
        datetime.fromisoformat(str(database.rows(statements.LOCAL, _iso(each))[0][0])[:23])
        for each in (moment, moment + _HOUR)
    )
    return first if next_ - first >= _HOUR else first - _HOUR


def _iso(moment: datetime) -> str:
    return moment.isoformat(sep="T", timespec="milliseconds")
