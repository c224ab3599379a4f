"""Scalar functions of the stand-in, and conversion between types."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.services.mssql.model import SqlError, lsn_bytes
from tests.services.mssql.types import SqlType

if TYPE_CHECKING:
    from tests.services.mssql.session import Session

Value = tuple[SqlType, Any]
Kind = SqlType | Callable[[Sequence[SqlType]], SqlType]
_LSN, _INT, _BIT = SqlType("binary", 10), SqlType("int", precision=10), SqlType("bit")
_NAME, _MOMENT, _MOMENT2 = SqlType("nvarchar", 128), SqlType("datetime"), SqlType("datetime2", scale=7)


def iso(moment: datetime | None) -> str | None:
    """A moment as the model keeps it."""
    return None if moment is None else moment.isoformat(sep="T", timespec="microseconds")


def cast_value(value: Any, source: SqlType, target: SqlType) -> Any:
    """CAST. SqlError 529 where the server refuses."""
    if value is None:
        return None
    name = target.name
    if source.name == "sql_variant" and name != "sql_variant":
        return cast_value(value[1], value[0], target)
    if name in ("nvarchar", "varchar", "nchar", "char"):
        if source.name in ("image", "varbinary", "binary", "rowversion"):
            return value.decode("utf-16-le" if name[0] == "n" else "cp1252")
        text = str(int(value)) if isinstance(value, bool) else str(value)
        if source.name in ("char", "nchar"):
            text = text.ljust(source.length)
        return text if target.length < 0 else text[: target.length]
    if name in ("varbinary", "binary", "rowversion"):
        raw = value if isinstance(value, bytes) else str(value).encode("utf-16-le")
        if name == "binary":
            raw = raw.ljust(target.length, b"\0")
        return raw if target.length < 0 else raw[: target.length]
    if name in ("int", "bigint", "smallint", "tinyint"):
        return int(value)
    if name in ("float", "real"):
        return float(value)
    if name in ("decimal", "money", "smallmoney"):
        return Decimal(value)
    if name == "bit":
        return bool(int(value))
    if name == "uniqueidentifier":
        return value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))
    if name in ("datetime2", "datetime", "date", "time", "datetimeoffset", "hierarchyid"):
        return str(value)
    raise SqlError(529, f"Explicit conversion from data type {source.name} to {name} is not allowed.")


def _moment(value: Any) -> datetime:
    return datetime.fromisoformat(str(value)[:26])


def _max_lsn(session: Session) -> bytes | None:
    found = session.database.cdc.max_lsn()
    return None if found is None else lsn_bytes(found)


def _min_lsn(session: Session, instance: str) -> bytes:
    return lsn_bytes(session.database.cdc.min_lsn(instance, session.login))


def _step(by: int) -> Callable[[Session, bytes | None], bytes | None]:
    return lambda _, lsn: None if lsn is None else lsn_bytes(int.from_bytes(lsn, "big") + by)


def _map_lsn_to_time(session: Session, lsn: bytes | None) -> str | None:
    wanted = int.from_bytes(lsn or b"", "big")
    found = next((one.ended for one in session.database.cdc.mapping if one.start_lsn == wanted), None)
    return iso(found)


def _map_time_to_lsn(session: Session, relation: str, moment: str) -> bytes | None:
    at = _moment(moment)
    entries = session.database.cdc.mapping
    choices = {
        "largest less than": [one for one in entries if one.ended < at][-1:],
        "largest less than or equal": [one for one in entries if one.ended <= at][-1:],
        "smallest greater than": [one for one in entries if one.ended > at][:1],
        "smallest greater than or equal": [one for one in entries if one.ended >= at][:1],
    }
    found = choices[relation]
    return lsn_bytes(found[0].start_lsn) if found else None


def _datediff(session: Session, end: Any, start: Any, unit: str = "day") -> int | None:
    if end is None or start is None:
        return None
    passed = _moment(end) - _moment(start)
    size = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "millisecond": 0.001}[unit.lower()]
    return int(passed.total_seconds() // size)


def _dateadd(session: Session, start: Any, count: Any, unit: str = "day") -> str | None:
    size = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}[unit.lower()]
    return None if start is None else iso(_moment(start) + timedelta(seconds=size * int(count)))


def _object_id(session: Session, name: str, kind: str | None = None) -> int | None:
    return session.object_id(name)


def _permission(session: Session, securable: str | None, kind: str | None, permission: str) -> int | None:
    wanted = permission.lower()
    if session.login.owner or wanted in {one.lower() for one in session.login.grants}:
        return 1
    if wanted == "select" and securable:
        plain = securable.replace("[", "").replace("]", "").lower()
        return int(bool({f"select {plain}", "select *"} & {one.lower() for one in session.login.grants}))
    return 0


def _variant_property(session: Session, value: Any, name: str) -> Any:
    return None if value is None else (SqlType("varchar", 30), value[0].name)


def _server_property(session: Session, name: str) -> tuple[SqlType, str] | None:
    flavour = session.server.flavour
    found = {
        "productversion": flavour.version,
        "productmajorversion": flavour.version.partition(".")[0],
        "edition": flavour.edition,
        "engineedition": str(flavour.engine_edition),
        "servername": "stand-in",
    }.get(name.lower())
    return None if found is None else (SqlType("nvarchar", 128), found)


def _database_property(session: Session, name: str, what: str) -> tuple[SqlType, str] | None:
    if name.lower() != session.database.name.lower() or what.lower() != "updateability":
        return None
    return SqlType("nvarchar", 128), "READ_ONLY" if session.server.flavour.read_only else "READ_WRITE"


def _database_id(session: Session, *_: Any) -> int:
    """In Azure SQL Database it is another one than in sys.databases."""
    return session.database.database_id + (1000 if session.server.flavour.azure else 0)


def _zone(session: Session) -> str:
    """CURRENT_TIMEZONE_ID: SQL Server 2022, Azure SQL Database, Managed Instance (current-timezone-id-transact-sql)."""
    flavour = session.server.flavour
    if flavour.engine_edition not in (5, 8) and int(flavour.version.partition(".")[0]) < 16:
        raise SqlError(195, "'CURRENT_TIMEZONE_ID' is not a recognized built-in function name.", 15)
    return session.clock.zone_id


def at_time_zone(session: Session, moment: Any, zone: str) -> str | None:
    """AT TIME ZONE of a datetimeoffset, in the zone of the server. SqlError 9820 (at-time-zone-transact-sql)."""
    if zone != session.clock.zone_id:
        raise SqlError(9820, f"The time zone parameter '{zone}' provided to AT TIME ZONE clause is invalid.")
    if moment is None:
        return None
    utc = datetime.fromisoformat(str(moment)).replace(tzinfo=None)
    return f"{iso(session.clock.local(utc))}"


FUNCTIONS: dict[str, tuple[Callable[..., Any], Kind]] = {
    "sys.fn_cdc_get_max_lsn": (_max_lsn, _LSN),
    "sys.fn_cdc_get_min_lsn": (_min_lsn, _LSN),
    "sys.fn_cdc_increment_lsn": (_step(1), _LSN),
    "sys.fn_cdc_decrement_lsn": (_step(-1), _LSN),
    "sys.fn_cdc_map_lsn_to_time": (_map_lsn_to_time, _MOMENT),
    "sys.fn_cdc_map_time_to_lsn": (_map_time_to_lsn, _LSN),
    "db_name": (lambda session, *_: session.database.name, _NAME),
    "db_id": (_database_id, _INT),
    "object_id": (_object_id, _INT),
    "objectid": (_object_id, _INT),
    "object_name": (lambda session, number: session.object_name(number), _NAME),
    "serverproperty": (_server_property, SqlType("sql_variant")),
    "databasepropertyex": (_database_property, SqlType("sql_variant")),
    "currenttimestamp": (lambda session, *_: iso(session.clock.now()), _MOMENT),
    "getutcdate": (lambda session: iso(session.clock.utc()), _MOMENT),
    "current_timezone_id": (_zone, _NAME),
    "getdate": (lambda session: iso(session.clock.now()), _MOMENT),
    "sysdatetime": (lambda session: iso(session.clock.now()), _MOMENT2),
    "sysutcdatetime": (lambda session: iso(session.clock.utc()), _MOMENT2),
    "datediff": (_datediff, _INT),
    "dateadd": (_dateadd, _MOMENT2),
    "has_perms_by_name": (_permission, _INT),
    "is_srvrolemember": (lambda session, role: int(session.login.sysadmin), _INT),
    "is_member": (lambda session, role: int(session.login.owner or role in session.login.roles), _INT),
    "is_rolemember": (lambda session, role: int(session.login.owner or role in session.login.roles), _INT),
    "repeat": (lambda _, text, count: text * int(count), lambda kinds: kinds[0]),
    "suser_sname": (lambda session: session.login.name, _NAME),
    "user_name": (lambda session: session.login.name, _NAME),
    "sql_variant_property": (_variant_property, SqlType("sql_variant")),
    "coalesce": (
        lambda _, *values: next((one for one in values if one is not None), None),
        lambda kinds: kinds[0],
    ),
    "isnull": (lambda _, *values: next((one for one in values if one is not None), None), lambda kinds: kinds[0]),
}
