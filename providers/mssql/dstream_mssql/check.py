"""dstream-check-mssql: tries on a real server all that the input relies on, and prints how each thing went.

The tests of this provider run against a stand-in; this is for who has a server. It reads the connection string from
DATABASE_CONNECTION_STRING. With --read-only it asks and changes nothing; without, it makes a table `dbo.dstream_check`,
captures it, changes rows, reads their changes with the input's own code, adds a column, reads on in a second capture
instance, and removes it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dstream_mssql import statements
from dstream_mssql.captures import instance_name
from dstream_mssql.catalog import look
from dstream_mssql.database import Database, connect, target_of
from dstream_mssql.lsn import from_bytes, from_log, to_hex
from dstream_mssql.names import Table
from dstream_sdk import ProviderError

VARIABLE = "DATABASE_CONNECTION_STRING"
TABLE = Table("dbo", "dstream_check")
_COLUMNS = (
    "Id int NOT NULL PRIMARY KEY, Name nvarchar(50), Amount decimal(18, 4), At datetime2(7), Place datetimeoffset(7),"
    " Code uniqueidentifier, Body nvarchar(max), Raw varbinary(max), Price money, Ratio float, Path hierarchyid, Doc "
    "xml,"
    " Any_ sql_variant, Version rowversion"
)
_INSERT = (
    "INSERT INTO dbo.dstream_check (Id, Name, Amount, At, Place, Code, Body, Raw, Price, Ratio, Path, Doc, Any_) VALUES"
    " (1, N'Zoë 😀', 12345.6789, '2024-02-29T23:59:59.1234567', '2024-02-29T23:59:59.1234567+05:30',"
    " '6F9619FF-8B86-D011-B42D-00C04FC964FF', REPLICATE(CAST(N'x' AS nvarchar(max)), 10000), 0xDEADBEEF, -1.2345, 0.1,"
    " CAST(N'/1/2/' AS hierarchyid), N'<a>1</a>', CAST(42 AS int))"
)
_CAPTURE = (
    "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'dstream_check', @role_name = NULL,"
    " @supports_net_changes = 0"
)
_EXPECTED: dict[str, Any] = {
    "Id": 1, "Name": "Zoë 😀", "Amount": 12345.6789, "At": "2024-02-29T23:59:59.1234567",
    "Place": "2024-02-29T23:59:59.1234567+05:30", "Code": "6F9619FF-8B86-D011-B42D-00C04FC964FF", "Body": "x" * 10_000,
    "Raw": "0xDEADBEEF", "Price": -1.2345, "Ratio": 0.1, "Path": "/1/2/", "Doc": "<a>1</a>", "Any_": 42,
}  # fmt: skip


@dataclass(slots=True)
class Report:
    """What was tried, and how it went."""

    failed: int = 0
    values: dict[str, Any] = field(default_factory=dict)

    def attempt(self, what: str, try_: Callable[[], object], *, needed: bool = True) -> bool:
        """Try one thing; say how it went. What is not needed is skipped when the login may not do it."""
        try:
            found = try_()
        except (ProviderError, AssertionError, subprocess.SubprocessError, ValueError) as problem:
            if needed:
                self.failed += 1
            print(f"{'failed ' if needed else 'skipped'}  {what}\n           {problem}")
            return False
        print(f"ok       {what}" + (f": {found}" if found not in (None, "") else ""))
        return True


def main() -> None:
    """Check the server; the exit code is 1 if something that is needed failed."""
    options = argparse.ArgumentParser(prog="dstream-check-mssql", description=__doc__)
    options.add_argument("--read-only", action="store_true", help="ask only, change nothing")
    options.add_argument("--patience", type=float, default=60, help="seconds to wait for the capture agent (60)")
    given = options.parse_args()
    text = os.environ.get(VARIABLE, "")
    if not text:
        sys.exit(
            f"Set {VARIABLE} to the connection string: it is not taken from the command line, where others see it."
        )
    report = Report()
    try:
        database = connect(target_of(text))
    except ProviderError as problem:
        sys.exit(f"failed   connect\n           {problem}")
    print("ok       connect")
    try:
        ask(report, database)
        if not given.read_only:
            change(report, database, text, given.patience)
    finally:
        database.close()
    print(f"\n{report.failed} failed." if report.failed else "\nAll that is needed works.")
    sys.exit(1 if report.failed else 0)


def ask(report: Report, database: Database) -> None:
    """Everything that the input asks of a server."""

    def one(sql: str, *parameters: Any) -> Any:
        found = database.rows(sql, *parameters)
        return found[0][0] if found else None

    def lsn(sql: str, *parameters: Any) -> str:
        return to_hex(from_bytes(one(sql, *parameters)))

    report.attempt("version", lambda: one("SELECT CAST(SERVERPROPERTY(N'ProductVersion') AS nvarchar(50))"))

    def catalog() -> str:
        found = report.values["catalog"] = look(database)
        captured = sum(bool(source.instances) for source in found.sources.values())
        return f"{found.database}: {len(found.sources)} tables, {captured} with CDC; CDC {'on' if found.cdc else 'off'}"

    if not report.attempt("tables, columns, keys, capture instances", catalog):
        return
    report.attempt(
        "snapshot isolation (for exact snapshots)",
        lambda: (
            "allowed" if report.values["catalog"].snapshot_isolation else "not allowed: snapshots will repeat changes"
        ),
    )
    report.attempt(
        "end of the log (for exact snapshots)", lambda: to_hex(from_log(one(statements.LOG_END))), needed=False
    )
    report.attempt("errors of the capture agent", lambda: one(statements.CAPTURE_ERRORS) or "none", needed=False)
    if report.values["catalog"].cdc:
        report.attempt("newest captured LSN", partial(lsn, statements.MAX_LSN))
        report.attempt("seconds since the agent wrote its newest entry", lambda: one(statements.AGENT_AGE))
        report.attempt("seconds since the newest scan of the log", lambda: one(statements.SCAN_AGE), needed=False)
        report.attempt("retention in minutes", lambda: one(statements.RETENTION), needed=False)
        report.attempt("times that captured tables were altered", lambda: one(statements.ALTERATIONS), needed=False)
    for source in report.values["catalog"].sources.values():
        for instance in source.instances[:1]:
            report.attempt(f"lowest LSN of {instance.name}", partial(lsn, statements.MIN_LSN, instance.name))


def change(report: Report, database: Database, text: str, patience: float) -> None:
    """Make a captured table, change rows, read them back with the input itself, and remove everything."""
    if report.values["catalog"].sources.get(TABLE.folded) is not None:
        report.attempt(
            f"{TABLE.full} is there already: left alone", lambda: _fail("remove or rename it, then try again")
        )
        return
    made_cdc = not report.values["catalog"].cdc
    if made_cdc and not report.attempt(
        "enable CDC of the database (sysadmin)", lambda: database.run("enable CDC", "EXEC sys.sp_cdc_enable_db")
    ):
        return
    try:
        steps: list[tuple[str, str]] = [
            ("create a table", f"CREATE TABLE {TABLE.sql} ({_COLUMNS})"),
            ("capture it (db_owner)", _CAPTURE),
            ("insert a row with many types", _INSERT),
            ("update it", "UPDATE dbo.dstream_check SET Name = N'other' WHERE Id = 1"),
            ("move its key", "UPDATE dbo.dstream_check SET Id = 2 WHERE Id = 1"),
            ("delete it", "DELETE FROM dbo.dstream_check WHERE Id = 2"),
        ]
        if all(report.attempt(what, partial(database.run, "do it", sql)) for what, sql in steps):
            report.attempt("the input reads all changes, value by value", lambda: read_back(text, patience))
            report.attempt("the input reads rows and then changes (snapshot)", lambda: snapshot(database, text))
            alter(report, database, text, patience)
    finally:
        report.attempt("drop the table, and its capture instance with it", lambda: _drop(database))
        if made_cdc:
            report.attempt(
                "disable CDC of the database", lambda: database.run("disable CDC", "EXEC sys.sp_cdc_disable_db")
            )


def read_back(text: str, patience: float) -> str:
    """Read until the changes have been captured; AssertionError if they are not what was written."""
    end = time.monotonic() + patience
    while True:
        found = session(_settings(text))
        operations = [one["metadata"]["OperationType"] for one in found]
        if operations[-1:] == ["Delete"] and len(operations) >= 4:
            break
        if time.monotonic() > end:
            raise AssertionError(
                f"only {operations or 'nothing'} after {patience:.0f} s: does the capture agent (SQL Server Agent) run?"
            )
        time.sleep(2)
    if operations != ["Insert", "Update", "Delete", "Insert", "Delete"]:
        raise AssertionError(f"insert, update, a moved key and a delete came as {operations}")
    wrong = {
        name: found[0]["data"].get(name) for name, value in _EXPECTED.items() if found[0]["data"].get(name) != value
    }
    if wrong:
        raise AssertionError(f"these values are not what was written: {json.dumps(wrong, ensure_ascii=False)[:1000]}")
    if found[1]["metadata"].get("Before", {}).get("Name") != _EXPECTED["Name"]:
        raise AssertionError("the update does not carry the row before it")
    positions = [one["metadata"]["Position"] for one in found]
    if positions != sorted(positions):
        raise AssertionError(f"positions do not rise: {positions}")
    return f"{len(found)} changes"


def snapshot(database: Database, text: str) -> str:
    """Read rows as of one moment; AssertionError if they are not there."""
    database.run("insert a row", "INSERT INTO dbo.dstream_check (Id, Name) VALUES (7, N'in the snapshot')")
    found = session({**_settings(text), "snapshot": "initial"})
    reads = [one["data"]["Id"] for one in found if one["metadata"]["OperationType"] == "Read"]
    if reads != [7]:
        raise AssertionError(f"one row was there, and these were read: {reads}")
    return "1 row"


def alter(report: Report, database: Database, text: str, patience: float) -> None:
    """Add a column, make the second capture instance that `plan` would ask for, and read on in it."""

    def made() -> str:
        catalog = look(database)
        source = catalog.sources[TABLE.folded]
        if source.uncaptured != ("Note",):
            raise AssertionError(f"one column was added, and these seem to be new: {', '.join(source.uncaptured)}")
        database.run("make it", statements.enabling(TABLE, instance_name(TABLE, 2), ""))
        return instance_name(TABLE, 2)

    if all(
        (
            report.attempt("add a column", partial(database.run, "do it", f"ALTER TABLE {TABLE.sql} ADD Note int")),
            report.attempt("see that it is not captured, make a second capture instance", made),
            report.attempt(
                "insert a row with it",
                partial(database.run, "do it", f"INSERT INTO {TABLE.sql} (Id, Note) VALUES (8, 5)"),  # noqa: S608 - quoted
            ),
        )
    ):
        report.attempt("the input goes over to the second capture instance", lambda: gone_over(text, patience))


def gone_over(text: str, patience: float) -> str:
    """Read until the row with the new column has come; AssertionError if anything before it is missing or twice."""
    end = time.monotonic() + patience
    while True:
        found = [(one["data"]["Id"], one["data"].get("Note")) for one in session(_settings(text))]
        if found[-1:] == [(8, 5)]:
            break
        if time.monotonic() > end:
            raise AssertionError(f"the new column did not come within {patience:.0f} s: {found[-3:]}")
        time.sleep(2)
    if found != [(1, None), (1, None), (1, None), (2, None), (2, None), (7, None), (8, 5)]:
        raise AssertionError(f"changes are missing or came twice: {found}")
    return f"{len(found)} changes"


def _settings(text: str) -> dict[str, Any]:
    return {"connection_string": text, "tables": [TABLE.full]}


def session(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The envelopes of one session of the input, up to the present end."""
    opening = {"command": "run", "protocol": 2, "role": "input", "task": "check", "until": "current", "config": config}
    command = [sys.executable, "-m", "dstream_mssql", "in"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("no pipes")
        process.stdin.write(json.dumps({**opening, "checkpoint": None, "acks": False}).encode() + b"\n")
        process.stdin.flush()
        lines = process.stdout.read().splitlines()
    if process.returncode:
        raise AssertionError(f"the input failed: {lines[-1].decode() if lines else 'see above'}")
    return [json.loads(line) for line in lines if line.startswith(b'{"data":')]


def _drop(database: Database) -> None:
    database.run("drop the table", f"DROP TABLE {TABLE.sql}")


def _fail(text: str) -> None:
    raise AssertionError(text)


if __name__ == "__main__":
    main()
