"""dstream-check-mssql: verifies on a real server everything that the input relies on, and prints each result.

The tests of this provider run against an emulated server; this command is for users of a real one. It reads the
connection string from DATABASE_CONNECTION_STRING. With --read-only it runs the queries of `plan` and `run`, and changes
nothing. Without it, it also runs the code of `apply`: it creates a table `dbo.dstream_check`, enables CDC on it,
changes rows, reads the changes with the input, adds a column, continues in a second capture instance, and removes
everything.
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
from datetime import UTC, datetime
from functools import partial
from typing import Any

from dstream_mssql import statements
from dstream_mssql.capture_instances import instance_name
from dstream_mssql.catalog import Catalog, Source, read_catalog, retention_of
from dstream_mssql.database import Database, connect, target_of
from dstream_mssql.lsn import from_bytes, from_log, to_bytes, to_hex
from dstream_mssql.names import Table
from dstream_mssql.planning import discovered_resources
from dstream_mssql.position import TablePosition
from dstream_mssql.reader import TableReader
from dstream_mssql.resources.cdc_database import CdcDatabase
from dstream_mssql.resources.cdc_table import CdcTable
from dstream_mssql.settings import Connection, InputSettings
from dstream_mssql.start_positions import start_positions
from dstream_mssql.start_setting import OFFSETS
from dstream_sdk import Object, ProviderError, ResourceContext

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
_INTENT = "dstream-check"
_VERSION = "SELECT CAST(SERVERPROPERTY(N'ProductVersion') AS nvarchar(50))"
_EXPECTED: dict[str, Any] = {
    "Id": 1, "Name": "Zoë 😀", "Amount": 12345.6789, "At": "2024-02-29T23:59:59.1234567",
    "Place": "2024-02-29T23:59:59.1234567+05:30", "Code": "6F9619FF-8B86-D011-B42D-00C04FC964FF", "Body": "x" * 10_000,
    "Raw": "0xDEADBEEF", "Price": -1.2345, "Ratio": 0.1, "Path": "/1/2/", "Doc": "<a>1</a>", "Any_": 42,
}  # fmt: skip


@dataclass(slots=True)
class Report:
    """The results so far."""

    failed: int = 0
    values: dict[str, Any] = field(default_factory=dict)

    def attempt(self, what: str, try_: Callable[[], object], *, needed: bool = True) -> bool:
        """Run one check and print its result. With `needed=False`, a failure counts as skipped."""
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
    """Check the server. Exits with 1 if a required check failed."""
    options = argparse.ArgumentParser(prog="dstream-check-mssql", description=__doc__)
    options.add_argument("--read-only", action="store_true", help="change nothing")
    options.add_argument("--patience", type=float, default=60, help="seconds to wait for the capture agent (60)")
    given = options.parse_args()
    text = os.environ.get(VARIABLE, "")
    if not text:
        sys.exit(f"Set {VARIABLE} to the connection string. The command line would show it to other users.")
    report = Report()
    try:
        database = connect(target_of(text))
    except ProviderError as problem:
        sys.exit(f"failed   connect\n           {problem}")
    print("ok       connect")
    try:
        ask(report, database, text)
        if not given.read_only:
            change(report, database, text, given.patience)
    finally:
        database.close()
    print(f"\n{report.failed} failed." if report.failed else "\nAll required checks passed.")
    sys.exit(1 if report.failed else 0)


def ask(report: Report, database: Database, text: str) -> None:
    """Run the queries of `plan` and `run` by their own code. Nothing is changed."""

    def one(sql: str, *parameters: Any) -> Any:
        found = database.rows(sql, *parameters)
        return found[0][0] if found else None

    def lsn(sql: str, *parameters: Any) -> str:
        return to_hex(from_bytes(one(sql, *parameters)))

    def flavour() -> str:
        where = "Azure SQL Database" if database.in_azure else f"EngineEdition {one(statements.EDITION)}"
        return f"{where}, {one(_VERSION)}"

    def catalog() -> str:
        found = report.values["catalog"] = read_catalog(database)
        captured = sum(bool(source.instances) for source in found.sources.values())
        replica = "; a read-only replica" if found.read_only else ""
        cdc = "on" if found.cdc else "off"
        return f"{found.database}: {len(found.sources)} tables, {captured} with CDC; CDC {cdc}{replica}"

    report.attempt("version", flavour)
    if not report.attempt("tables, columns, keys, capture instances", catalog):
        return
    found: Catalog = report.values["catalog"]
    report.attempt("plan", lambda: f"{len(_planned(text))} objects and streams")
    report.attempt(
        "snapshot isolation (for exact snapshots)",
        lambda: "allowed" if found.snapshot_isolation else "not allowed: snapshots will repeat changes",
    )
    report.attempt(
        "end of the log (for exact snapshots)", lambda: to_hex(from_log(one(statements.LOG_END))), needed=False
    )
    report.attempt("errors of the capture agent", lambda: one(statements.CAPTURE_ERRORS) or "none", needed=False)
    if not found.cdc:
        return
    report.attempt("newest captured LSN", partial(lsn, statements.MAX_LSN))
    report.attempt("seconds since the agent wrote its newest entry", lambda: one(statements.AGENT_AGE))
    report.attempt("entry of the newest LSN", lambda: lsn(statements.ENTRY, one(statements.MAX_LSN)))
    report.attempt("seconds since the oldest change", lambda: one(statements.LSN_AGE, to_bytes(1)), needed=False)
    report.attempt("seconds since the newest scan of the log", lambda: one(statements.SCAN_AGE), needed=False)
    report.attempt("retention in minutes", lambda: retention_of(database) or "no cleanup job", needed=False)
    report.attempt("capture instances that came and went", lambda: one(statements.CAPTURES))
    begin = partial(start_positions, datetime.now(UTC).isoformat(), database, {}, 0)
    report.attempt("LSN of a time, for start", lambda: begin() or None)
    if ("dbo", OFFSETS) in found.sources:
        report.attempt("offsets of the older project", lambda: len(database.rows(statements.OFFSETS)))
    report.attempt("times that captured tables were altered", lambda: one(statements.ALTERATIONS), needed=False)
    for source in found.sources.values():
        for instance in source.readable[:1]:
            report.attempt(f"lowest LSN of {instance.name}", partial(lsn, statements.MIN_LSN, instance.name))
            report.attempt(f"changes of {instance.name}", partial(_first_changes, database, source, text))
            report.attempt(f"rows of {source.table.full} (for snapshots)", partial(_first_row, database, source))


def _planned(text: str) -> list[object]:
    return list(discovered_resources(InputSettings(connection_string=text), (), {}))


def _first_row(database: Database, source: Source) -> None:
    """Start reading the rows of a table as a snapshot does, and stop after the first row."""
    with database.errors(f"read the rows of {source.table.full}"):
        columns = [column.selected for column in source.readable[0].columns if not column.computed]
        cursor = database.execute(statements.rows(source.table, columns))
        cursor.fetchone()
        cursor.close()


def _first_changes(database: Database, source: Source, text: str) -> str:
    """Read the first change of a table, and the rest of its transaction, as a task does."""
    instance = source.readable[0]
    ((newest,),) = database.rows(statements.MAX_LSN)
    if from_bytes(newest) < instance.start_lsn:
        return "none captured yet"
    reader = TableReader(source, instance, source.key(), InputSettings(connection_string=text))
    first = reader.page(
        database, TablePosition(instance.name, instance.object_id, instance.start_lsn - 1), from_bytes(newest), 1
    )
    count = first.count
    if first.full:
        count += reader.page(database, first.position, from_bytes(newest), 1).count
    return f"{count} read" + ("" if instance.command_ids else ", by the function: there is no __$command_id")


def change(report: Report, database: Database, text: str, patience: float) -> None:
    """Create a captured table, change rows, read the changes with the input, and remove everything."""
    if report.values["catalog"].sources.get(TABLE.folded) is not None:
        report.attempt(
            f"{TABLE.full} already exists and is not touched", lambda: _fail("remove or rename it, then try again")
        )
        return
    made_cdc = not report.values["catalog"].cdc
    name = report.values["catalog"].database
    cdc, desired = CdcDatabase(), {"database": name, "retention_minutes": 4320}
    if made_cdc and not report.attempt(
        "enable CDC of the database (sysadmin, or db_owner in Azure SQL Database)",
        lambda: cdc.create(_request(text), desired, _INTENT) and "with a retention of 4320 minutes",
    ):
        return
    table, capture = CdcTable(), {"table": TABLE.full, "capture_instance": instance_name(TABLE)}
    try:
        steps: list[tuple[str, Callable[[], object]]] = [
            ("create a table", partial(database.run, "do it", f"CREATE TABLE {TABLE.sql} ({_COLUMNS})")),
            ("capture it (db_owner)", lambda: table.create(_request(text), capture, _INTENT) and None),
            ("find it again", lambda: table.find(_request(text), _INTENT) and None),
            ("insert a row with many types", partial(database.run, "do it", _INSERT)),
            (
                "update it",
                partial(database.run, "do it", "UPDATE dbo.dstream_check SET Name = N'other' WHERE Id = 1"),
            ),
            ("move its key", partial(database.run, "do it", "UPDATE dbo.dstream_check SET Id = 2 WHERE Id = 1")),
            ("delete it", partial(database.run, "do it", "DELETE FROM dbo.dstream_check WHERE Id = 2")),
        ]
        if all(report.attempt(what, step) for what, step in steps):
            report.attempt("the input reads all changes, value by value", lambda: read_back(text, patience))
            report.attempt("the input reads rows and then changes (snapshot)", lambda: snapshot(database, text))
            alter(report, database, text, patience)
    finally:
        made = Object({"capture_instance": instance_name(TABLE)}, capture)
        report.attempt("disable its first capture instance", lambda: table.delete(_request(text), made))
        report.attempt("drop the table, and the second one with it", lambda: _drop(database))
        if made_cdc:
            made = Object({"database": name}, desired)
            report.attempt(
                "change the retention",
                lambda: cdc.update(_request(text), made, {**desired, "retention_minutes": 1440}) and None,
            )
            report.attempt("disable CDC of the database", lambda: cdc.delete(_request(text), made))


def _request(text: str) -> ResourceContext[Connection]:
    return ResourceContext(Connection(connection_string=text), {}, lambda _: None)


def read_back(text: str, patience: float) -> str:
    """Read until the changes have been captured. Raises AssertionError if they differ from what was written."""
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
    """Read a consistent snapshot. Raises AssertionError if its rows are missing."""
    database.run("insert a row", "INSERT INTO dbo.dstream_check (Id, Name) VALUES (7, N'in the snapshot')")
    found = session({**_settings(text), "snapshot": "initial"})
    reads = [one["data"]["Id"] for one in found if one["metadata"]["OperationType"] == "Read"]
    if reads != [7]:
        raise AssertionError(f"one row was there, and these were read: {reads}")
    return "1 row"


def alter(report: Report, database: Database, text: str, patience: float) -> None:
    """Add a column, create the second capture instance that `plan` would require, and continue reading in it."""

    def made() -> str:
        catalog = read_catalog(database)
        source = catalog.sources[TABLE.folded]
        if source.uncaptured != ("Note",):
            raise AssertionError(f"one column was added, and these seem to be new: {', '.join(source.uncaptured)}")
        database.run("create the capture instance", statements.enable_capture(TABLE, instance_name(TABLE, 2), ""))
        return instance_name(TABLE, 2)

    if all(
        (
            report.attempt("add a column", partial(database.run, "do it", f"ALTER TABLE {TABLE.sql} ADD Note int")),
            report.attempt("detect that it is not captured, create a second capture instance", made),
            report.attempt(
                "insert a row with it",
                partial(database.run, "do it", f"INSERT INTO {TABLE.sql} (Id, Note) VALUES (8, 5)"),  # noqa: S608 - quoted
            ),
        )
    ):
        report.attempt("the input switches to the second capture instance", lambda: switched(text, patience))


def switched(text: str, patience: float) -> str:
    """Read until the row with the new column arrives. Raises AssertionError for a missing or repeated row."""
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
    """Return the envelopes of one session of the input, up to the current end."""
    opening = {"command": "run", "protocol": 2, "role": "input", "task": "check", "until": "current", "config": config}
    command = [sys.executable, "-P", "-m", "dstream_mssql", "in"]
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
