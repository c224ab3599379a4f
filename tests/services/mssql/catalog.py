"""Catalog: the system views that a reader of change data asks, as relations made from the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.services.mssql.functions import iso
from tests.services.mssql.model import Column, lsn_bytes
from tests.services.mssql.types import SqlType, parse_type

if TYPE_CHECKING:
    from tests.services.mssql.query import Relation
    from tests.services.mssql.session import Session

_TYPE_IDS = {
    "image": 34, "text": 35, "uniqueidentifier": 36, "date": 40, "time": 41, "datetime2": 42, "datetimeoffset": 43,
    "tinyint": 48, "smallint": 52, "int": 56, "smalldatetime": 58, "real": 59, "money": 60, "datetime": 61, "float": 62,
    "sql_variant": 98, "ntext": 99, "bit": 104, "decimal": 106, "numeric": 108, "smallmoney": 122, "bigint": 127,
    "hierarchyid": 128, "geometry": 129, "geography": 130, "varbinary": 165, "varchar": 167, "binary": 173, "char": 175,
    "rowversion": 189, "nvarchar": 231, "nchar": 239, "xml": 241,
}  # fmt: skip
_NAMES = {"rowversion": "timestamp"}

View = Callable[["Session"], list[tuple[Any, ...]]]


def type_name(kind: SqlType) -> str:
    """The name of a type as sys.types has it."""
    return _NAMES.get(kind.name, kind.name)


def _columns_of(columns: list[Column], object_id: int, *, changes: bool = False) -> list[tuple[Any, ...]]:
    out = []
    for at, column in enumerate(columns, 1):
        number = at + 5 if changes else column.id  # in a change table five columns of its own come before
        kind = column.type
        type_id = _TYPE_IDS[kind.name]
        clr = kind.name in ("hierarchyid", "geometry", "geography")
        precision = kind.precision or {"datetime2": 27, "datetimeoffset": 34, "time": 16}.get(kind.name, 0)
        system = 240 if clr else type_id
        sizes = (kind.max_length, precision, kind.scale)
        flags = (column.nullable, column.computed, column.column_set)
        out.append((object_id, column.name, number, system, type_id, *sizes, *flags))
    return out


def _databases(session: Session) -> list[tuple[Any, ...]]:
    return [
        (
            one.name,
            one.database_id,
            iso(one.created),
            one.cdc.enabled,
            1 if one.allow_snapshot_isolation else 0,
            one.guid,
            False,
        )
        for one in session.server.databases.values()
        if one is session.database or not session.server.flavour.azure
    ]


def _tables(session: Session) -> list[tuple[Any, ...]]:
    database = session.database
    out = [
        (one.object_id, one.name, _schema(session, one.schema), iso(one.created), False, one.tracked)
        for one in database.tables.values()
        if session.sees(one)
    ]
    if session.login.owner or "select cdc" in session.login.grants:
        out += [
            (one.object_id, f"{one.name}_CT", _schema(session, "cdc"), iso(one.created), True, False)
            for one in database.cdc.instances.values()
        ]
    return out


def _schema(session: Session, name: str) -> int:
    return session.database.schemas.index(name) + 1


def _columns(session: Session) -> list[tuple[Any, ...]]:
    tables = [one for one in session.database.tables.values() if session.sees(one)]
    out = [row for one in tables for row in _columns_of(one.columns, one.object_id)]
    if session.login.owner or "select cdc" in session.login.grants:
        for instance in session.database.cdc.instances.values():
            out += _columns_of(instance.columns, instance.object_id, changes=True)
            if session.database.cdc.command_ids:
                number = len(instance.columns) + 6
                command = (instance.object_id, "__$command_id", number, _TYPE_IDS["int"], _TYPE_IDS["int"], 4, 10, 0)
                out.append((*command, True, False, False))
    return out


def _indexes(session: Session) -> list[tuple[Any, ...]]:
    tables = [one for one in session.database.tables.values() if session.sees(one)]
    return [(one.object_id, f"PK_{one.name}", 1, True, True) for one in tables if one.key]


def _index_columns(session: Session) -> list[tuple[Any, ...]]:
    tables = [one for one in session.database.tables.values() if session.sees(one)]
    return [
        (one.object_id, 1, number, one.columns[one.at(name)].id, number, False)
        for one in tables
        for number, name in enumerate(one.key, 1)
    ]


def _change_tables(session: Session) -> list[tuple[Any, ...]]:
    return [
        (
            one.object_id,
            0,
            one.table.object_id,
            one.name,
            None if one.start_lsn is None else lsn_bytes(one.start_lsn),
            None,
            one.supports_net_changes,
            False,
            one.role,
            f"PK_{one.table.name}" if one.index_columns else None,
            None,
            iso(one.created),
            True,
        )
        for one in session.database.cdc.instances.values()
    ]


def _captured_columns(session: Session) -> list[tuple[Any, ...]]:
    return [
        (one.object_id, column.name, column.id, type_name(column.type), number, column.computed)
        for one in session.database.cdc.instances.values()
        for number, column in enumerate(one.columns, 1)
    ]


def _cdc_index_columns(session: Session) -> list[tuple[Any, ...]]:
    return [
        (one.object_id, name, number, number)
        for one in session.database.cdc.instances.values()
        for number, name in enumerate(one.index_columns, 1)
    ]


def _ddl_history(session: Session) -> list[tuple[Any, ...]]:
    return [
        (one.source.object_id, one.object_id, one.required_column_update, one.command, lsn_bytes(one.lsn), iso(one.at))
        for one in session.database.cdc.history
    ]


def _lsn_time_mapping(session: Session) -> list[tuple[Any, ...]]:
    session.database.cdc.look()
    return [
        (lsn_bytes(one.start_lsn), iso(one.began), iso(one.ended), one.tran_id, lsn_bytes(one.begin_lsn))
        for one in session.database.cdc.mapping
    ]


def _jobs(session: Session) -> list[tuple[Any, ...]]:
    return [
        row
        for one in session.server.databases.values()
        if one.cdc.jobs
        for row in (
            (one.database_id, "capture", None, 500, 10, True, 5, 0, 0),
            (one.database_id, "cleanup", None, 0, 0, False, 0, one.cdc.retention, 5000),
        )
    ]


def _extended_properties(session: Session) -> list[tuple[Any, ...]]:
    out = []
    for (schema, table, name), value in session.database.properties.items():
        major = session.database.table(f"{schema}.{table}").object_id if table else 0
        kind = "OBJECT_OR_COLUMN" if table else "DATABASE"
        out.append((1 if table else 0, kind, major, 0, name, (SqlType("nvarchar", 4000), value)))
    return out


def _partitions(session: Session) -> list[tuple[Any, ...]]:
    tables = [one for one in session.database.tables.values() if session.sees(one)]
    return [(one.object_id, int(bool(one.key)), 1, len(one.rows), 1 + len(one.rows) // 100) for one in tables]


def _scan_sessions(session: Session) -> list[tuple[Any, ...]]:
    return [(number, iso(at), iso(at), 0, 0, 0) for at, number in session.database.cdc.scans]


def _errors(session: Session) -> list[tuple[Any, ...]]:
    now = iso(session.clock.now())
    return [(1, 1, now, 22859, 16, 1, text) for text in session.database.cdc.errors]


def _log_stats(session: Session) -> list[tuple[Any, ...]]:
    lsn = session.database.lsn
    return [(session.database.database_id, f"{lsn >> 48:08x}:{lsn >> 16 & 0xFFFFFFFF:08x}:{lsn & 0xFFFF:04x}")]


_JOB_COLUMNS = (
    "database_id int, job_type nvarchar(20), job_id uniqueidentifier, maxtrans int, maxscans int, continuous bit,"
    " pollinginterval bigint, retention bigint, threshold bigint"
)
_VIEWS: dict[str, tuple[str, View, str]] = {
    "sys.databases": (
        (
            "name sysname, database_id int, create_date datetime, is_cdc_enabled bit, snapshot_isolation_state tinyint,"
            " service_broker_guid uniqueidentifier, is_read_only bit"
        ),
        _databases,
        "",
    ),
    "sys.schemas": (
        "name sysname, schema_id int",
        lambda session: [(name, number) for number, name in enumerate(session.database.schemas, 1)],
        "",
    ),
    "sys.tables": (
        "object_id int, name sysname, schema_id int, create_date datetime, is_ms_shipped bit, is_tracked_by_cdc bit",
        _tables,
        "",
    ),
    "sys.columns": (
        (
            "object_id int, name sysname, column_id int, system_type_id tinyint, user_type_id int, max_length smallint,"
            " precision tinyint, scale tinyint, is_nullable bit, is_computed bit, is_column_set bit"
        ),
        _columns,
        "",
    ),
    "sys.types": (
        "name sysname, system_type_id tinyint, user_type_id int",
        lambda _: [(_NAMES.get(name, name), number, number) for name, number in _TYPE_IDS.items()],
        "",
    ),
    "sys.indexes": (
        "object_id int, name sysname, index_id int, is_unique bit, is_primary_key bit",
        _indexes,
        "",
    ),
    "sys.index_columns": (
        "object_id int, index_id int, index_column_id int, column_id int, key_ordinal tinyint, is_included_column bit",
        _index_columns,
        "",
    ),
    "sys.extended_properties": (
        "class tinyint, class_desc nvarchar(60), major_id int, minor_id int, name sysname, value sql_variant",
        _extended_properties,
        "",
    ),
    "sys.dm_cdc_log_scan_sessions": (
        "session_id int, start_time datetime, end_time datetime, error_count int, latency int, empty_scan_count int",
        _scan_sessions,
        "view database state",
    ),
    "sys.dm_cdc_errors": (
        (
            "session_id int, phase_number int, entry_time datetime, error_number int, error_severity int, "
            "error_state int,"
            " error_message nvarchar(1024)"
        ),
        _errors,
        "view database state",
    ),
    "sys.partitions": (
        "object_id int, index_id int, partition_number int, rows bigint, used_page_count bigint",
        _partitions,
        "",
    ),
    "sys.dm_db_partition_stats": (
        "object_id int, index_id int, partition_number int, row_count bigint, used_page_count bigint",
        _partitions,
        "view database state",
    ),
    "sys.dm_db_log_stats": ("database_id int, log_end_lsn nvarchar(24)", _log_stats, "view database state"),
    "cdc.change_tables": (
        (
            "object_id int, version int, source_object_id int, capture_instance sysname, start_lsn binary(10),"
            " end_lsn binary(10), supports_net_changes bit, has_drop_pending bit, role_name sysname, index_name "
            "sysname,"
            " filegroup_name sysname, create_date datetime, partition_switch bit"
        ),
        _change_tables,
        "select cdc",
    ),
    "cdc.captured_columns": (
        "object_id int, column_name sysname, column_id int, column_type sysname, column_ordinal int, is_computed bit",
        _captured_columns,
        "select cdc",
    ),
    "cdc.index_columns": (
        "object_id int, column_name sysname, index_ordinal tinyint, column_id int",
        _cdc_index_columns,
        "select cdc",
    ),
    "cdc.ddl_history": (
        (
            "source_object_id int, object_id int, required_column_update bit, ddl_command nvarchar(max),"
            " ddl_lsn binary(10), ddl_time datetime"
        ),
        _ddl_history,
        "select cdc",
    ),
    "cdc.lsn_time_mapping": (
        (
            "start_lsn binary(10), tran_begin_time datetime, tran_end_time datetime, tran_id varbinary(10),"
            " tran_begin_lsn binary(10)"
        ),
        _lsn_time_mapping,
        "select cdc",
    ),
    "msdb.dbo.cdc_jobs": (_JOB_COLUMNS, _jobs, "msdb"),
    "cdc.cdc_jobs": (_JOB_COLUMNS, _jobs, "select cdc"),
}


def _has_jobs(session: Session, name: str) -> bool:
    """Whether the table of the jobs is there: in msdb from the first job on, in the database itself in Azure."""
    if session.server.flavour.azure:
        return name == "cdc.cdc_jobs" and session.database.cdc.jobs
    return name != "cdc.cdc_jobs" and any(one.cdc.jobs for one in session.server.databases.values())


def view(session: Session, name: str) -> Relation | None:
    """A system view by its full name, None if there is none such. SqlError 229 or 300 without the permission."""
    from tests.services.mssql.model import SqlError
    from tests.services.mssql.query import Relation

    name = name.lower()
    found = _VIEWS.get(name)
    if found is None:
        return None
    declaration, rows, needs = found
    if name.endswith(".cdc_jobs") and not _has_jobs(session, name):
        raise SqlError(208, f"Invalid object name '{name}'.")
    if name.startswith("cdc.") and not session.database.cdc.enabled:
        raise SqlError(208, f"Invalid object name '{name}'.")
    if needs and not session.login.owner and needs not in {one.lower() for one in session.login.grants}:
        if needs == "view database state":
            raise SqlError(262, f"VIEW DATABASE STATE permission denied in database '{session.database.name}'.", 14)
        raise SqlError(229, f"The SELECT permission was denied on the object '{name}'.", 14)
    fields = []
    for text in declaration.replace("(10)", "<10>").split(","):
        column, kind = text.replace("<10>", "(10)").strip().split(None, 1)
        fields.append((column, parse_type(kind), True))
    with session.database.lock:
        return Relation(fields, rows(session))
