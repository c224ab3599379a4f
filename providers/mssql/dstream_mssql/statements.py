"""Statements: all the T-SQL that the input sends. Parameters are @P1, @P2 and so on."""

from __future__ import annotations

from collections.abc import Sequence

from dstream_mssql.names import Table, literal, quote

DATABASE = (
    "SELECT d.name, d.is_cdc_enabled, d.snapshot_isolation_state, CONVERT(nvarchar(36), d.service_broker_guid)"
    " FROM sys.databases AS d WHERE d.database_id = DB_ID()"
)
TABLES = (
    "SELECT t.object_id, s.name, t.name, t.is_tracked_by_cdc FROM sys.tables AS t"
    " JOIN sys.schemas AS s ON s.schema_id = t.schema_id WHERE t.is_ms_shipped = 0"
)
COLUMNS = (
    "SELECT c.object_id, c.name, COALESCE(b.name, u.name), c.max_length, c.is_nullable, c.is_computed, c.precision, "
    "c.scale, c.column_id, c.is_column_set"
    " FROM sys.columns AS c JOIN sys.tables AS t ON t.object_id = c.object_id"
    " LEFT JOIN sys.types AS b ON b.user_type_id = c.system_type_id"
    " LEFT JOIN sys.types AS u ON u.user_type_id = c.user_type_id"
    " WHERE t.is_ms_shipped = 0 ORDER BY c.object_id, c.column_id"
)
PRIMARY_KEYS = (
    "SELECT x.object_id, c.name FROM sys.indexes AS i"
    " JOIN sys.index_columns AS x ON x.object_id = i.object_id AND x.index_id = i.index_id"
    " JOIN sys.columns AS c ON c.object_id = x.object_id AND c.column_id = x.column_id"
    " WHERE i.is_primary_key = 1 AND x.is_included_column = 0 ORDER BY x.object_id, x.key_ordinal"
)
INSTANCES = (
    "SELECT capture_instance, object_id, source_object_id, start_lsn, CONVERT(nvarchar(30), create_date, 126), "
    "role_name"
    " FROM cdc.change_tables"
)
CAPTURED_COLUMNS = (
    "SELECT k.object_id, k.column_name, k.column_type, k.column_ordinal, k.is_computed, c.max_length, k.column_id"
    " FROM cdc.captured_columns AS k"
    " LEFT JOIN sys.columns AS c ON c.object_id = k.object_id AND c.name = k.column_name"
    " ORDER BY k.object_id, k.column_ordinal"
)
ALTERED = "SELECT DISTINCT object_id FROM cdc.ddl_history"
"""Change tables whose source table was altered after they were made."""
INDEX_COLUMNS = "SELECT object_id, column_name FROM cdc.index_columns ORDER BY object_id, index_ordinal"
CAPTURES = "SELECT COUNT(*), COUNT(start_lsn), MAX(create_date) FROM cdc.change_tables"
"""Changes with every capture instance that is made, goes or begins."""
ALTERATIONS = "SELECT COUNT(*), MAX(ddl_lsn) FROM cdc.ddl_history"
"""Changes with every ALTER TABLE of a captured table, when the capture agent has come to it in the log."""
MAX_LSN = "SELECT sys.fn_cdc_get_max_lsn()"
MIN_LSN = "SELECT sys.fn_cdc_get_min_lsn(@P1)"
AGENT_AGE = (
    "SELECT TOP (1) DATEDIFF(second, tran_end_time, GETDATE()) FROM cdc.lsn_time_mapping ORDER BY start_lsn DESC"
)
"""Seconds since the capture agent wrote its newest entry."""
SCAN_AGE = (
    "SELECT TOP (1) DATEDIFF(second, end_time, GETDATE()) FROM sys.dm_cdc_log_scan_sessions ORDER BY session_id DESC"
)
"""Seconds since the end of the newest scan of the log; needs VIEW DATABASE STATE."""
CAPTURE_ERRORS = "SELECT TOP (1) error_message FROM sys.dm_cdc_errors ORDER BY entry_time DESC"
LSN_AGE = (
    "SELECT TOP (1) DATEDIFF(second, tran_end_time, GETDATE()) FROM cdc.lsn_time_mapping"
    " WHERE start_lsn >= @P1 ORDER BY start_lsn"
)
"""Seconds since the first transaction at or after an LSN."""
RETENTION = "SELECT retention FROM msdb.dbo.cdc_jobs WHERE database_id = DB_ID() AND job_type = N'cleanup'"
"""Minutes; needs to read msdb."""
LOG_END = "SELECT log_end_lsn FROM sys.dm_db_log_stats(DB_ID())"
"""Where the log ends; needs VIEW DATABASE STATE, and SQL Server 2016 SP2."""
STILL_THERE = "SELECT @@TRANCOUNT"

META = ("__$start_lsn", "__$seqval", "__$operation", "__$update_mask")


def selected(name: str, kind: str, length: int | None, of: str = "") -> str:
    """A column in a list of SELECT, in a type that loses nothing on its way here.

    Text of a code page is sent as Unicode, types of the common language runtime as text or bytes.
    """
    column = f"{of}{quote(name)}"
    kind = kind.lower()
    if kind in ("char", "varchar"):
        short = length is not None and 0 < length <= 4000
        return f"CAST({column} AS nvarchar({length if short else 'max'})) AS {quote(name)}"
    if kind in ("text", "ntext", "xml", "json"):
        return f"CAST({column} AS nvarchar(max)) AS {quote(name)}"
    if kind == "hierarchyid":
        return f"CAST({column} AS nvarchar(4000)) AS {quote(name)}"
    if kind in ("image", "geometry", "geography"):
        return f"CAST({column} AS varbinary(max)) AS {quote(name)}"
    return f"{column} AS {quote(name)}"


def changes(instance: str, columns: Sequence[tuple[str, str, int | None]], key: Sequence[str], *, within: bool) -> str:
    """A page of changes: @P1 rows from the LSN @P2 to @P3, and those that tie with the last.

    `within`: only what comes after the sequence @P4 in the transaction of @P2.
    """
    function = f"[cdc].{quote('fn_cdc_get_all_changes_' + instance)}"
    condition = " WHERE [__$start_lsn] > @P2 OR [__$seqval] > @P4" if within else ""
    listed = ", ".join(
        [*(f"page.{quote(name)}" for name in META), *(selected(*column, of="page.") for column in columns)]
    )
    order = ", ".join(f"page.{quote(name)}" for name in (*META[:3], *key))
    return (
        f"SELECT {listed} FROM (SELECT TOP (@P1) WITH TIES * FROM {function}(@P2, @P3, N'all update old'){condition}"  # noqa: S608 - quoted
        f" ORDER BY [__$start_lsn], [__$seqval]) AS page ORDER BY {order}"
    )


def rows(table: Table, columns: Sequence[tuple[str, str, int | None]]) -> str:
    """All rows of a table."""
    listed = ", ".join(selected(*column) for column in columns)
    return f"SELECT {listed} FROM {table.sql}"  # noqa: S608 - quoted


def lock(table: Table) -> str:
    """Hold off writers of a table until the end of the transaction, waiting for those that are at it."""
    return f"SELECT TOP (0) 1 AS locked FROM {table.sql} WITH (TABLOCK, HOLDLOCK)"  # noqa: S608 - quoted


def first_row(table: Table) -> str:
    """The first read of a snapshot transaction, which fixes its moment."""
    return f"SELECT TOP (1) 1 AS found FROM {table.sql}"  # noqa: S608 - quoted


def enabling(table: Table, instance: str, role: str) -> str:
    """What somebody types to make a capture instance with all columns of a table."""
    return (
        f"EXEC sys.sp_cdc_enable_table @source_schema = {literal(table.schema)}, @source_name = {literal(table.name)},"
        f" @capture_instance = {literal(instance)}, @role_name = {literal(role) if role else 'NULL'},"
        " @supports_net_changes = 0"
    )


def disabling(table: Table, instance: str) -> str:
    """What somebody types to remove a capture instance."""
    return (
        f"EXEC sys.sp_cdc_disable_table @source_schema = {literal(table.schema)}, @source_name = {literal(table.name)},"
        f" @capture_instance = {literal(instance)}"
    )
