"""The check for real servers, against the stand-in: what it asks, what it says, what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys

from dstream_mssql import statements
from tests.services.mssql.model import Database, Login
from tests.services.mssql.server import SqlServer


def check(server: SqlServer, *arguments: str, login: str = "sa") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dstream_mssql.check", *arguments],
        env={**os.environ, "DATABASE_CONNECTION_STRING": server.connection_string("shop", login)},
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_read_only_it_asks_all_that_the_input_asks(server: SqlServer, shop: Database):
    shop.create_table("cdc_offsets", "table_name nvarchar(255) primary key, last_lsn varbinary(10)")
    with shop.transaction() as t:
        t.insert("cdc_offsets", table_name="Orders", last_lsn=bytes(10))
    done = check(server, "--read-only")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lowest LSN of dbo_Orders" in done.stdout
    assert "ok       LSN of a time, for start" in done.stdout
    assert "ok       offsets of the older project: 1" in done.stdout
    for statement in (statements.FIRST_AT, statements.LOCAL, statements.OFFSETS):
        assert statement in server.seen.statements, "what `start` asks is asked here too"
    assert "All required checks passed." in done.stdout
    assert not [text for text in server.seen.statements if not text.startswith("SELECT")]


def test_it_changes_rows_reads_them_back_and_leaves_nothing(server: SqlServer, shop: Database):
    done = check(server)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the input reads all changes, value by value: 5 changes" in done.stdout
    assert "(snapshot): 1 row" in done.stdout
    assert "create a second capture instance: dbo_dstream_check_2" in done.stdout
    assert "the input switches to the second capture instance: 7 changes" in done.stdout
    assert sorted(table.name for table in shop.tables.values()) == ["Orders"]
    assert sorted(shop.cdc.instances) == ["dbo_orders"]


def test_an_agent_that_stands_still_is_what_it_says(server: SqlServer, shop: Database):
    shop.cdc.running = False
    done = check(server, "--patience", "1")
    assert done.returncode == 1
    assert "does the capture agent" in done.stdout
    assert sorted(table.name for table in shop.tables.values()) == ["Orders"]


def test_a_reader_is_told_what_it_lacks(server: SqlServer, shop: Database):
    server.logins["reader"] = Login("reader", "Reader-1", grants={"select cdc", "select *"})
    done = check(server, "--read-only", login="reader")
    assert done.returncode == 0, done.stdout
    assert "skipped  end of the log" in done.stdout
    assert "Reader-1" not in done.stdout + done.stderr
