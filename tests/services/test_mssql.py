"""The stand-in for SQL Server, asked by the plain driver: what it answers is what Microsoft's documentation says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytds
import pytest

from tests.services.mssql.model import Database, Login, SqlError, lsn_bytes
from tests.services.mssql.server import SqlServer


@pytest.fixture
def server() -> Iterator[SqlServer]:
    with SqlServer() as running:
        yield running


@pytest.fixture
def shop(server: SqlServer) -> Database:
    database = server.create_database("shop")
    database.create_table("Orders", "Id int primary key, Name nvarchar(20), Note nvarchar(max)")
    database.cdc.enable_table("Orders")
    return database


def connect(server: SqlServer, login: str = "sa", **more: Any) -> Any:
    found = server.logins[login]
    place = {"port": server.port, "database": "shop", "user": found.name, "password": found.password}
    return pytds.connect("127.0.0.1", **place, autocommit=True, **more)


def ask(server: SqlServer, sql: str, parameters: Any = None, login: str = "sa") -> list[tuple[Any, ...]]:
    with contextlib.closing(connect(server, login)) as connection:
        cursor = connection.cursor()
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def error(server: SqlServer, sql: str, login: str = "sa") -> int:
    with pytest.raises(pytds.Error) as raised:
        ask(server, sql, login=login)
    number: int = raised.value.number  # type: ignore[attr-defined]  # the driver sets it
    return number


CHANGES = (
    "SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_Orders(sys.fn_cdc_get_min_lsn(N'dbo_Orders'),"
    " sys.fn_cdc_get_max_lsn(), N'all update old') ORDER BY __$start_lsn, __$seqval, __$operation"
)
TABLE = "SELECT * FROM cdc.dbo_Orders_CT ORDER BY __$start_lsn, __$command_id, __$seqval, __$operation"


def test_changes_come_with_their_operations_masks_and_both_rows_of_an_update(server: SqlServer, shop: Database):
    with shop.transaction() as t:
        t.insert("Orders", Id=1, Name="a", Note="long")
    with shop.transaction() as t:
        t.update("Orders", {"Id": 1}, Name="b")
        t.delete("Orders", Id=1)
    found = ask(server, TABLE)
    assert [row[3:-1] for row in found] == [
        (2, b"\x07", 1, "a", "long"),
        (3, b"\x02", 1, "a", None),  # a large value that did not change is not recorded before an update
        (4, b"\x02", 1, "b", "long"),
        (1, b"\x07", 1, "b", "long"),
    ]
    assert len({row[0] for row in found}) == 2
    assert [row[-1] for row in found] == [1, 1, 1, 2], "commands count within a transaction"
    assert found[1][2] == found[2][2] > found[3][2], "sequences are not in the order of the changes"
    assert sorted(row[:1] + row[2:-1] for row in found) == sorted(ask(server, CHANGES)), "the function has no command"
    shop.cdc.command_ids = False
    with shop.transaction() as t:
        t.insert("Orders", Id=2)
        t.insert("Orders", Id=3)
    *_, second, third = ask(server, CHANGES)
    assert (second[4], third[4]) == (2, 3), "without commands, sequences are in the order of the changes"
    assert len(ask(server, "SELECT * FROM cdc.dbo_Orders_CT")[0]) == len(found[0]) - 1


def test_functions_of_log_sequence_numbers(server: SqlServer, shop: Database):
    assert ask(server, "SELECT sys.fn_cdc_get_min_lsn(N'no_such_instance')") == [(bytes(10),)]
    with shop.transaction() as t:
        t.insert("Orders", Id=1)
    [(newest, after, before, moment)] = ask(
        server,
        "SELECT sys.fn_cdc_get_max_lsn(), sys.fn_cdc_increment_lsn(sys.fn_cdc_get_max_lsn()),"
        " sys.fn_cdc_decrement_lsn(sys.fn_cdc_get_max_lsn()), sys.fn_cdc_map_lsn_to_time(sys.fn_cdc_get_max_lsn())",
    )
    assert newest == lsn_bytes(shop.log[-1].commit_lsn)
    assert before < newest < after
    assert isinstance(moment, datetime)
    assert ask(server, "SELECT sys.fn_cdc_map_time_to_lsn(N'largest less than or equal', SYSDATETIME())") == [(newest,)]


def test_a_range_outside_of_what_is_captured_is_error_313_which_says_nothing_of_it(server: SqlServer, shop: Database):
    with shop.transaction() as t:
        t.insert("Orders", Id=1)
    early = CHANGES.replace("sys.fn_cdc_get_min_lsn(N'dbo_Orders')", "0x00000000000000000001")
    assert error(server, early) == 313
    late = CHANGES.replace("sys.fn_cdc_get_max_lsn()", "0xFFFFFFFFFFFFFFFFFFFF")
    assert error(server, late) == 313


def test_cleanup_removes_what_is_older_than_the_retention_and_raises_the_lowest_lsn(server: SqlServer, shop: Database):
    with shop.transaction() as t:
        t.insert("Orders", Id=1)
    server.clock.travel(days=4)
    with shop.transaction() as t:
        t.insert("Orders", Id=2)
    shop.cdc.cleanup()
    assert [row[4] for row in ask(server, CHANGES)] == [2]
    [(low, kept)] = ask(
        server, "SELECT sys.fn_cdc_get_min_lsn(N'dbo_Orders'), (SELECT COUNT(*) FROM cdc.lsn_time_mapping)"
    )
    assert low == lsn_bytes(shop.log[-1].commit_lsn)
    assert kept == 1


def test_an_agent_that_stands_still_captures_nothing_and_reports_no_error(server: SqlServer, shop: Database):
    with shop.transaction() as t:
        t.insert("Orders", Id=1)
    shop.cdc.running = False
    with shop.transaction() as t:
        t.insert("Orders", Id=2)
    assert len(ask(server, CHANGES)) == 1
    shop.cdc.running = True
    assert len(ask(server, CHANGES)) == 2
    before = len(shop.cdc.mapping)
    server.clock.travel(minutes=6)
    ask(server, "SELECT sys.fn_cdc_get_max_lsn()")
    assert len(shop.cdc.mapping) == before + 1, "without changes there is an entry every five minutes"
    assert shop.cdc.mapping[-1].tran_id == bytes(10)


def test_a_capture_instance_keeps_its_columns_and_a_table_has_two_at_most(server: SqlServer, shop: Database):
    shop.add_column("Orders", "Extra int")
    shop.drop_column("Orders", "Name")
    with shop.transaction() as t:
        t.insert("Orders", Id=1, Extra=5)
    assert [row[4:] for row in ask(server, CHANGES)] == [(1, None, None)]
    shop.cdc.enable_table("Orders", instance="second")
    with pytest.raises(SqlError, match="at most two"):
        shop.cdc.enable_table("Orders", instance="third")


def test_a_capture_instance_begins_when_the_agent_has_come_to_it_in_the_log(server: SqlServer, shop: Database):
    starts = "SELECT start_lsn FROM cdc.change_tables WHERE capture_instance = N'second'"
    shop.cdc.running = False
    shop.cdc.enable_table("Orders", instance="second")
    with shop.transaction() as t:
        t.insert("Orders", Id=1)
    assert ask(server, starts) == [(None,)]
    assert ask(server, "SELECT sys.fn_cdc_get_min_lsn(N'second')") == [(bytes(10),)]
    assert error(server, CHANGES.replace("dbo_Orders", "second")) == 313
    shop.cdc.running = True
    [(start,)] = ask(server, starts)
    assert start is None, "nobody has asked the agent yet"
    ask(server, "SELECT sys.fn_cdc_get_max_lsn()")
    [(start,)] = ask(server, starts)
    assert start < lsn_bytes(shop.log[-1].commit_lsn)
    assert len(ask(server, CHANGES.replace("dbo_Orders", "second"))) == 1


def test_change_tables_follow_another_type_but_no_column_that_comes_or_comes_again(server: SqlServer, shop: Database):
    with shop.transaction() as t:
        t.insert("Orders", Id=1, Name="a", Note="long")
    ask(server, "ALTER TABLE dbo.Orders ADD Extra nvarchar(20)")
    ask(server, "ALTER TABLE dbo.Orders DROP COLUMN Name")
    ask(server, "ALTER TABLE dbo.Orders ADD Name nvarchar(20)")
    shop.alter_column("Orders", "Note", "varchar(30)")
    with shop.transaction() as t:
        t.insert("Orders", Id=2, Name="b", Extra="c", Note="x")
    assert [row[4:] for row in ask(server, CHANGES)] == [(1, "a", "long"), (2, None, "x")]
    history = ask(server, "SELECT required_column_update, ddl_command FROM cdc.ddl_history ORDER BY ddl_lsn")
    assert [row[0] for row in history] == [False, False, False, True]
    assert history[0][1] == "ALTER TABLE [dbo].[Orders] ADD [Extra] NVARCHAR(20)"
    numbers = "SELECT column_id FROM sys.columns WHERE object_id = OBJECT_ID(N'dbo.Orders') ORDER BY column_id"
    captured = "SELECT column_id FROM cdc.captured_columns ORDER BY column_ordinal"
    assert (ask(server, numbers), ask(server, captured)) == ([(1,), (3,), (4,), (5,)], [(1,), (2,), (3,)])


def test_rights_are_asked_for(server: SqlServer, shop: Database):
    server.logins["reader"] = Login("reader", "Reader-1", grants={"select dbo.Orders"})
    with shop.transaction() as t:
        t.insert("Orders", Id=1)
    assert len(ask(server, CHANGES, login="reader")) == 1
    assert error(server, "SELECT * FROM cdc.change_tables", login="reader") == 229
    assert error(server, "SELECT * FROM sys.dm_db_log_stats(DB_ID())", login="reader") == 262
    assert error(server, "EXEC sys.sp_cdc_disable_db", login="reader") == 22902
    server.logins["reader"].grants.clear()
    assert error(server, CHANGES, login="reader") == 229
    assert ask(server, "SELECT sys.fn_cdc_get_min_lsn(N'dbo_Orders')", login="reader") == [(bytes(10),)]


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("SELECT Nope FROM dbo.Orders", 207),
        ("SELECT * FROM dbo.Nope", 208),
        ("SELECT FROM WHERE", 102),
        ("SELECT no_such_function(1)", 195),
        ("SELECT @missing", 137),
        ("EXEC sys.sp_no_such_thing", 2812),
        ("SELECT a.Id FROM dbo.Orders AS a JOIN dbo.Orders AS b ON Id = b.Id", 209),
    ],
)
def test_wrong_statements_are_errors_as_the_server_numbers_them(
    server: SqlServer, shop: Database, sql: str, number: int
):
    assert error(server, sql) == number


def test_a_snapshot_transaction_sees_one_moment_and_a_table_lock_holds_writers_off(server: SqlServer, shop: Database):
    with shop.transaction() as t:
        t.insert("Orders", Id=1)
    with contextlib.closing(connect(server, isolation_level=5)) as connection:
        connection.autocommit = False
        cursor = connection.cursor()
        cursor.execute("SELECT COUNT(*) FROM dbo.Orders")
        assert cursor.fetchall() == [(1,)]
        with shop.transaction() as t:
            t.insert("Orders", Id=2)
        cursor.execute("SELECT COUNT(*) FROM dbo.Orders")
        assert cursor.fetchall() == [(1,)]
        connection.autocommit = True
        cursor.execute("SELECT COUNT(*) FROM dbo.Orders")
        assert cursor.fetchall() == [(2,)]
    shop.allow_snapshot_isolation = False
    with contextlib.closing(connect(server, isolation_level=5)) as connection:
        connection.autocommit = False
        cursor = connection.cursor()
        with pytest.raises(pytds.Error) as raised:
            cursor.execute("SELECT COUNT(*) FROM dbo.Orders")
        assert raised.value.number == 3952  # type: ignore[attr-defined]  # the driver sets it


def test_a_transaction_that_is_refused_leaves_nothing(shop: Database):
    with shop.transaction() as t:
        t.insert("Orders", Id=1)
    with pytest.raises(SqlError, match="PRIMARY KEY"), shop.transaction() as t:
        t.insert("Orders", Id=2)
        t.insert("Orders", Id=1)
    assert [row[0] for row in shop.read(shop.table("Orders"))] == [1]
    assert len(shop.log) == 1
