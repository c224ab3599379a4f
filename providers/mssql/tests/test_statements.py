"""All T-SQL that is sent parses as T-SQL, and names nothing that Microsoft's documentation does not have."""

from __future__ import annotations

import pytest
from sqlglot import exp, parse

from dstream_mssql import statements
from dstream_mssql.names import Table
from dstream_mssql.resources import cdc_table, marker, retention
from providers.mssql.tests.harness import ResourceRun, config_of, plan, read
from tests.services.mssql.model import Database
from tests.services.mssql.server import SqlServer

COLUMNS = [("a]b", "varchar", 20), ("x'y", "hierarchyid", 892), ("ü%s", "int", 4), ("g", "geography", -1)]
TABLE = Table("odd] schema", "ta%ble'")
FIXED = {name: text for name, text in vars(statements).items() if name.isupper() and isinstance(text, str)}
MADE = {
    "changes": statements.changes("dbo_O'rders]", COLUMNS, ["a]b"], within=False),
    "changes within a transaction": statements.changes("x", COLUMNS, [], within=True),
    "changes by the function": statements.changes_by_function("dbo_O'rders]", COLUMNS, ["a]b"], within=True),
    "rows": statements.rows(TABLE, COLUMNS),
    "lock": statements.lock(TABLE),
    "first row": statements.first_row(TABLE),
    "enable table": cdc_table._ENABLE.format(role="@P4", columns=", @captured_column_list = @P5"),
    "disable table": cdc_table._DISABLE,
    "retention": retention.CHANGE,
    "markers": marker._READ,
    "enabling by hand": statements.enable_capture(TABLE, "odd_t'a_2", "who's"),
    "disabling by hand": statements.disable_capture(TABLE, "odd_t'a"),
}
DOCUMENTED = {
    "sys.databases", "sys.tables", "sys.schemas", "sys.columns", "sys.types", "sys.indexes", "sys.index_columns",
    "sys.extended_properties", "sys.dm_cdc_log_scan_sessions", "sys.dm_cdc_errors", "sys.dm_db_log_stats",
    "cdc.change_tables", "cdc.ddl_history", "cdc.captured_columns", "cdc.index_columns", "cdc.lsn_time_mapping",
    "dbo.cdc_jobs", "cdc.cdc_jobs",
    "sys.fn_cdc_get_max_lsn", "sys.fn_cdc_get_min_lsn", "sys.sp_cdc_enable_db", "sys.sp_cdc_disable_db",
    "sys.sp_cdc_enable_table", "sys.sp_cdc_disable_table", "sys.sp_cdc_change_job", "sys.sp_addextendedproperty",
    "sys.sp_updateextendedproperty", "sys.sp_dropextendedproperty",
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), {**FIXED, **MADE}.items(), ids=lambda one: one if " " not in one else "")
def test_a_statement_is_one_statement_of_t_sql(name: str, text: str):
    found = parse(text, read="tsql")
    assert len(found) == 1
    assert isinstance(found[0], exp.Select | exp.Execute), repr(found[0])


def test_odd_names_stay_names():
    [select] = parse(MADE["changes"], read="tsql")
    assert select is not None
    columns = {column.name for column in select.find_all(exp.Column)}
    assert {"a]b", "x'y", "ü%s", "__$start_lsn"} <= columns
    [rows] = parse(MADE["rows"], read="tsql")
    assert rows is not None
    table = rows.find(exp.Table)
    assert table is not None
    assert (table.db, table.name) == (TABLE.schema, TABLE.name)


def test_what_is_typed_by_hand_means_the_names_as_they_are():
    [enable] = parse(MADE["enabling by hand"], read="tsql")
    assert isinstance(enable, exp.Execute)
    assert {one.this.name: one.expression.name for one in enable.expressions} == {
        "source_schema": "odd] schema", "source_name": "ta%ble'", "capture_instance": "odd_t'a_2",
        "role_name": "who's", "supports_net_changes": "0",
    }  # fmt: skip
    assert "@role_name = NULL" in statements.enable_capture(TABLE, "x", "")


def test_whatever_is_really_sent_parses_and_asks_documented_views_functions_and_procedures(
    server: SqlServer, shop: Database
):
    shop.create_table("odd ta%ble", "[a b] int primary key, [per%cent] varchar(10)")
    with shop.transaction() as t:
        t.insert("Orders", Id=1)
    config = config_of(server, "Orders", "[odd ta%ble]", snapshot="initial")
    plan(config)
    session = ResourceRun({"connection_string": server.connection_string("shop")})
    odd = {"table": "[odd ta%ble]", "capture_instance": "odd"}
    assert session.ask("init", "mssql_cdc_table", key="o", desired=odd, intent="i")["status"] == "ok"
    with shop.transaction() as t:
        t.insert("odd ta%ble", **{"a b": 1, "per%cent": "100%"})
    first = read(config)
    with shop.transaction() as t:
        t.update("odd ta%ble", {"a b": 1}, **{"per%cent": "50%"})
    assert read(config, first.checkpoint).told == [("Update", {"a b": 1, "per%cent": "50%"})]
    assert session.ask("destroy", "mssql_cdc_table", identity={"capture_instance": "odd"}, prior=odd)["status"] == "ok"
    session.close()
    assert len(server.seen.statements) > 20
    for text in set(server.seen.statements):
        if text.startswith("SET LOCK_TIMEOUT"):
            continue
        for statement in parse(text, read="tsql"):
            assert isinstance(statement, exp.Select | exp.Execute), text
            for table in statement.find_all(exp.Table):
                name = table.this if isinstance(table.this, str) else table.name or table.this.name
                full = f"{table.db}.{name}".lower()
                known = full in DOCUMENTED or (table.db == "cdc" and full.endswith("_ct"))
                assert known or table.db in ("dbo", ""), text
