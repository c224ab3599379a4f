"""Statements: the T-SQL of the input. Parameters are @P1, @P2 and so on."""

from __future__ import annotations

from collections.abc import Sequence

from dstream_mssql.names import Table, literal, quote

DATABASE = (
    "SELECT d.name, d.is_cdc_enabled, d.snapshot_isolation_state, CONVERT(nvarchar(36), d.service_broker_guid),"
    " CONVERT(nvarchar(20), DATABASEPROPERTYEX(DB_NAME(), N'Updateability'))"
    " FROM sys.databases AS d WHERE d.name = DB_NAME()"
)
"""By name, because in Azure SQL Database DB_ID() differs from the id in sys.databases."""
MEMBERSHIP = "SELECT USER_NAME(), IS_SRVROLEMEMBER(N'sysadmin'), IS_MEMBER(N'db_owner')"
MAY_SELECT = "SELECT HAS_PERMS_BY_NAME(@P1, N'OBJECT', N'SELECT')"
IN_ROLE = "SELECT IS_MEMBER(@P1)"
ROWS_AND_PAGES = (
    "SELECT s.object_id, s.row_count, s.used_page_count FROM sys.dm_db_partition_stats AS s WHERE s.index_id < 2"
)
"""Of heaps and clustered indexes; requires VIEW DATABASE STATE."""
ROWS = "SELECT p.object_id, p.rows FROM sys.partitions AS p WHERE p.index_id < 2"
EDITION = "SELECT CAST(SERVERPROPERTY(N'EngineEdition') AS int)"
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
"""Change tables whose source table was altered after their creation."""
COMMAND_IDS = "SELECT object_id FROM sys.columns WHERE name = N'__$command_id'"
"""Change tables with the column `__$command_id`."""
BEGINNING = "SELECT start_lsn FROM cdc.change_tables WHERE object_id = @P1"
"""The LSN from which a change table is complete. Cleanup advances it before it removes rows."""
INDEX_COLUMNS = "SELECT object_id, column_name FROM cdc.index_columns ORDER BY object_id, index_ordinal"
CAPTURES = "SELECT COUNT(*), COUNT(start_lsn), MAX(create_date) FROM cdc.change_tables"
"""Changes when a capture instance is created, removed or started."""
ALTERATIONS = "SELECT COUNT(*), MAX(ddl_lsn) FROM cdc.ddl_history"
"""Changes with every ALTER TABLE of a captured table, once the capture agent has read it in the log."""
MAX_LSN = "SELECT sys.fn_cdc_get_max_lsn()"
ENTRY = "SELECT TOP (1) start_lsn FROM cdc.lsn_time_mapping WHERE start_lsn <= @P1 ORDER BY start_lsn DESC"
"""The newest entry up to an LSN: the LSN itself, unless cleanup or a restore removed its entry."""
MIN_LSN = "SELECT sys.fn_cdc_get_min_lsn(@P1)"
AGENT_AGE = (
    "SELECT TOP (1) DATEDIFF(second, tran_end_time, GETDATE()) FROM cdc.lsn_time_mapping ORDER BY start_lsn DESC"
)
"""Seconds since the capture agent wrote its newest entry."""
SCAN_AGE = (
    "SELECT TOP (1) DATEDIFF(second, end_time, GETDATE()) FROM sys.dm_cdc_log_scan_sessions ORDER BY session_id DESC"
)
"""Seconds since the end of the newest log scan; requires VIEW DATABASE STATE."""
CAPTURE_ERRORS = "SELECT TOP (1) error_message FROM sys.dm_cdc_errors ORDER BY entry_time DESC"
LSN_AGE = (
    "SELECT TOP (1) DATEDIFF(second, tran_end_time, GETDATE()) FROM cdc.lsn_time_mapping"
    " WHERE start_lsn >= @P1 ORDER BY start_lsn"
)
"""Seconds since the first transaction at or after an LSN."""
RETENTION = "SELECT retention FROM msdb.dbo.cdc_jobs WHERE database_id = DB_ID() AND job_type = N'cleanup'"
"""In minutes; requires read access to msdb. The table exists once a first job was created on the server."""
RETENTION_IN_AZURE = "SELECT retention FROM cdc.cdc_jobs WHERE job_type = N'cleanup'"
"""The same for Azure SQL Database, which keeps the jobs in the database."""
LOG_END = "SELECT log_end_lsn FROM sys.dm_db_log_stats(DB_ID())"
"""The end of the log; requires VIEW DATABASE STATE, and SQL Server 2016 SP2."""
STILL_THERE = "SELECT @@TRANCOUNT"

OFFSETS = "SELECT table_name, last_lsn FROM cdc_offsets"
"""The LSN that the older project's ingester had published, by table."""
VERSION = "SELECT CAST(SERVERPROPERTY(N'ProductMajorVersion') AS int)"
FIRST_WITH_ZONE = 16
"""SQL Server 2022. Azure SQL Database and Managed Instance have the function regardless of their version."""
CLOCK = "SELECT DATEDIFF(minute, GETUTCDATE(), GETDATE())"
"""Minutes that the server's local time is ahead of UTC now; daylight saving time changes it."""
LOCAL = (
    "SELECT CONVERT(nvarchar(23), CAST(CAST(@P1 AS datetimeoffset(3)) AT TIME ZONE CURRENT_TIMEZONE_ID()"
    " AS datetime2(3)), 126)"
)
"""The server's local time at a moment."""
FIRST_AT = "SELECT sys.fn_cdc_map_time_to_lsn(N'smallest greater than or equal', @P1)"
"""The first transaction at or after a local time."""

META = ("__$start_lsn", "__$seqval", "__$operation", "__$update_mask", "__$command_id")
"""The columns before the captured ones in a page; the last is NULL if the change table does not have it."""
_ORDER = ("__$start_lsn", "__$command_id", "__$seqval")
"""The clustered index of a change table without the operation; rows that share these values belong together."""


def selected(name: str, kind: str, length: int | None, of: str = "") -> str:
    """Return a column of a SELECT list, cast to a type that is transferred without loss.

    Code page text is sent as Unicode, CLR types as text or bytes.
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


def changes(
    instance: str, columns: Sequence[tuple[str, str, int | None]], key: Sequence[str], *, within: bool = False
) -> str:
    """Return the query for a page of a change table: @P1 rows from LSN @P2 to @P3, and the ties of the last row.

    `within` starts after the command @P4 and its sequence @P5 in the transaction @P2. Each part of the query reads one
    range of the clustered index from its start, and at most one page of it.
    """
    table = f"[cdc].{quote(instance + '_CT')}"
    lsn, command, sequence = (quote(name) for name in _ORDER)

    def part(condition: str) -> str:
        return (
            f"SELECT TOP (@P1) WITH TIES * FROM {table} WHERE {condition}"  # noqa: S608 - quoted
            f" ORDER BY {lsn}, {command}, {sequence}"
        )

    if not within:
        return _page(part(f"{lsn} >= @P2 AND {lsn} <= @P3"), columns, key, _ORDER)
    parts = [
        part(f"{lsn} = @P2 AND {command} = @P4 AND {sequence} > @P5"),
        part(f"{lsn} = @P2 AND {command} > @P4"),
        part(f"{lsn} > @P2 AND {lsn} <= @P3"),
    ]
    united = " UNION ALL ".join(f"SELECT * FROM ({one}) AS part{number}" for number, one in enumerate(parts))  # noqa: S608 - quoted
    cut = f"SELECT TOP (@P1) WITH TIES * FROM ({united}) AS found ORDER BY {lsn}, {command}, {sequence}"  # noqa: S608 - quoted
    return _page(cut, columns, key, _ORDER)


def changes_by_function(
    instance: str, columns: Sequence[tuple[str, str, int | None]], key: Sequence[str], *, within: bool = False
) -> str:
    """Return the same query through the CDC function, for change tables without `__$command_id`.

    `within` starts after the sequence @P4 in the transaction @P2.
    """
    function = f"[cdc].{quote('fn_cdc_get_all_changes_' + instance)}"
    condition = " WHERE [__$start_lsn] > @P2 OR [__$seqval] > @P4" if within else ""
    cut = (
        f"SELECT TOP (@P1) WITH TIES *, CAST(NULL AS int) AS [__$command_id]"  # noqa: S608 - quoted
        f" FROM {function}(@P2, @P3, N'all update old'){condition} ORDER BY [__$start_lsn], [__$seqval]"
    )
    return _page(cut, columns, key, (_ORDER[0], _ORDER[2]))


def _page(cut: str, columns: Sequence[tuple[str, str, int | None]], key: Sequence[str], order: Sequence[str]) -> str:
    listed = ", ".join(
        [*(f"page.{quote(name)}" for name in META), *(selected(*column, of="page.") for column in columns)]
    )
    by = ", ".join(f"page.{quote(name)}" for name in (*order, "__$operation", *key))
    return f"SELECT {listed} FROM ({cut}) AS page ORDER BY {by}"  # noqa: S608 - quoted


def rows(table: Table, columns: Sequence[tuple[str, str, int | None]]) -> str:
    """Return the query for all rows of a table."""
    listed = ", ".join(selected(*column) for column in columns)
    return f"SELECT {listed} FROM {table.sql}"  # noqa: S608 - quoted


def lock(table: Table) -> str:
    """Return the query that waits for active writers of a table and blocks new ones until the transaction ends."""
    return f"SELECT TOP (0) 1 AS locked FROM {table.sql} WITH (TABLOCK, HOLDLOCK)"  # noqa: S608 - quoted


def first_row(table: Table) -> str:
    """Return the first query of a snapshot transaction, which determines its moment."""
    return f"SELECT TOP (1) 1 AS found FROM {table.sql}"  # noqa: S608 - quoted


def enable_capture(table: Table, instance: str, role: str) -> str:
    """Return the statement that creates a capture instance with all columns of a table."""
    return (
        f"EXEC sys.sp_cdc_enable_table @source_schema = {literal(table.schema)}, @source_name = {literal(table.name)},"
        f" @capture_instance = {literal(instance)}, @role_name = {literal(role) if role else 'NULL'},"
        " @supports_net_changes = 0"
    )


def disable_capture(table: Table, instance: str) -> str:
    """Return the statement that removes a capture instance."""
    return (
        f"EXEC sys.sp_cdc_disable_table @source_schema = {literal(table.schema)}, @source_name = {literal(table.name)},"
        f" @capture_instance = {literal(instance)}"
    )
