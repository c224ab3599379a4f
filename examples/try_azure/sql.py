"""SQL: a database of Azure SQL, and what the input and the resources of change data capture rely on there."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from dstream_mssql import check as mssql_check
from dstream_mssql import statements
from dstream_mssql.database import Database, connect, target_of
from dstream_mssql.lsn import from_bytes
from dstream_mssql.names import Table
from dstream_sdk import ProviderError
from examples.try_azure.checks import Checks, Different, Stage, expect
from examples.try_azure.trial import Trial

VERSION = "2021-11-01"
PATIENCE = 240.0
"""Seconds for a firewall rule to be in force, and for the scheduler to capture a change."""
UNREACHED = -1
check = Checks("sql", "[`tests/services/mssql`](../tests/services/mssql), flavour `azure`")
CDC = "azure/azure-sql/database/change-data-capture-overview"


def prepare(trial: Trial) -> None:
    """Create a server without any firewall rule, and a database of the smallest size that has CDC."""
    server = f"Microsoft.Sql/servers/dstream-try-{trial.mark}"
    password = f"{secrets.token_urlsafe(24)}aA1"
    trial.report.secret(password)
    login = {"administratorLogin": "dstream", "administratorLoginPassword": password, "minimalTlsVersion": "1.2"}
    made = trial.create(server, VERSION, {"properties": login})
    trial.create(f"{server}/databases/shop", VERSION, {"sku": {"name": "S3", "tier": "Standard"}})
    host = made["properties"]["fullyQualifiedDomainName"]
    trial.found["sql server"] = server
    trial.found["sql"] = (
        f"Server=tcp:{host},{trial.sql_port};Database=shop;User ID=dstream;Password={password};{trial.sql_options}"
    )


def opened(trial: Trial) -> Database:
    """Return an open connection."""
    return connect(target_of(trial.found["sql"]))


def number_of(call: Callable[[], object]) -> tuple[int, str]:
    """Return the number of the error that a call ends with (UNREACHED: none), and its text; 0 if it went well."""
    try:
        call()
    except ProviderError as problem:
        return int(getattr(problem, "number", UNREACHED)), str(problem)
    return 0, ""


def until(trial: Trial, done: Callable[[], bool], what: str) -> None:
    """Wait for something that takes a while; raise Different if it does not come."""
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            raise Different(f"{what}: not within {PATIENCE:.0f} s")
        trial.wait(3)


@check("firewall", "without a firewall rule: error 40615, which names the address to allow",
       "azure/azure-sql/database/firewall-configure")  # fmt: skip
def firewall(trial: Trial) -> str:
    """Connect, allow the address that the error names, and connect again."""
    found = [(UNREACHED, "")]

    def answered() -> bool:
        found[0] = number_of(lambda: opened(trial).close())
        return found[0][0] != UNREACHED

    until(trial, answered, "an answer of the new server, whose name has to spread")
    number, text = found[0]
    expect(number, 40615)
    address = re.search(r"'(\d+\.\d+\.\d+\.\d+)'", text)
    expect(bool(address), True, "the error names an address")
    assert address is not None
    rule = {"properties": {"startIpAddress": address[1], "endIpAddress": address[1]}}
    trial.create(f"{trial.found['sql server']}/firewallRules/try", VERSION, rule)
    started = time.monotonic()
    until(trial, lambda: number_of(lambda: opened(trial).close())[0] == 0, "a connection after the rule was made")
    return f"the rule was in force after {time.monotonic() - started:.0f} s"


@check("login", "a wrong password: error 18456, and no retry",
       "azure/azure-sql/database/troubleshoot-common-errors-issues")  # fmt: skip
def login(trial: Trial) -> None:
    """Connect with another password."""
    wrong = re.sub("Password=[^;]+", "Password=wrong-1A", trial.found["sql"])
    expect(number_of(lambda: connect(target_of(wrong)).close())[0], 18456)


@check("flavour", "EngineEdition 5; `msdb` cannot be named (error 40515); the time zone is UTC",
       "azure/azure-sql/database/transact-sql-tsql-differences-sql-server")  # fmt: skip
def flavour(trial: Trial) -> str:
    """Ask what the provider asks to know where it is."""
    database = opened(trial)
    try:
        expect(database.in_azure, True, "EngineEdition 5")
        expect(number_of(lambda: database.rows(statements.RETENTION))[0], 40515)
        expect(database.rows("SELECT CURRENT_TIMEZONE_ID()")[0][0], "UTC")
        version = database.rows("SELECT CAST(SERVERPROPERTY(N'ProductVersion') AS nvarchar(50))")[0][0]
    finally:
        database.close()
    return f"version {version}"


class _Attempts(mssql_check.Report):
    """What `dstream-check-mssql` tries, collected in place of printed."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.wrong: list[str] = []

    def attempt(self, what: str, try_: Callable[[], object], *, needed: bool = True) -> bool:
        """Try one thing."""
        try:
            found = try_()
        except Exception as problem:  # noqa: BLE001 - it is what the report is for
            (self.wrong if needed else self.lines).append(f"{what}: {problem}")
            return False
        self.lines.append(f"{what}: {found}" if found not in (None, "") else what)
        return True


@check("cdc", "everything of `dstream-check-mssql`: CDC enabled with a retention, a table captured, many types read "
       "back by the input, snapshot, a second capture instance, the retention changed, all removed", CDC)  # fmt: skip
def cdc(trial: Trial) -> str:
    """Run the provider's own check."""
    attempts = _Attempts()
    database = opened(trial)
    try:
        mssql_check.ask(attempts, database, trial.found["sql"])
        mssql_check.change(attempts, database, trial.found["sql"], PATIENCE)
    finally:
        database.close()
    if attempts.wrong:
        raise Different("; ".join(attempts.wrong))
    return f"{len(attempts.lines)} attempts went well"


@check("cleanup", "cleanup raises the lowest LSN of a capture instance and removes the rows before it",
       "sql/relational-databases/system-stored-procedures/sys-sp-cdc-cleanup-change-table-transact-sql")  # fmt: skip
def cleanup(trial: Trial) -> None:
    """Capture two transactions, and clean up the first."""
    database, table, instance = opened(trial), Table("dbo", "try_cleanup"), "dbo_try_cleanup"

    def rows() -> list[Any]:
        return [one[0] for one in database.rows(f"SELECT [__$start_lsn] FROM cdc.{instance}_CT")]

    try:
        database.run("enable CDC", "EXEC sys.sp_cdc_enable_db")
        database.run("create a table", f"CREATE TABLE {table.sql} (Id int NOT NULL PRIMARY KEY)")
        database.run("capture it", statements.enable_capture(table, instance, ""))
        for number in (1, 2):
            database.run("insert", f"INSERT INTO {table.sql} (Id) VALUES ({number})")
        until(trial, lambda: len(rows()) == 2, "two captured changes")
        last = max(rows())
        run = (
            f"EXEC sys.sp_cdc_cleanup_change_table @capture_instance = N'{instance}', @low_water_mark = 0x{last.hex()}"
        )
        database.run("clean up", run)
        expect(len(rows()), 1, "rows after the cleanup")
        expect(from_bytes(database.rows(statements.MIN_LSN, instance)[0][0]), from_bytes(last), "lowest LSN")
    finally:
        database.run("disable CDC", "EXEC sys.sp_cdc_disable_db")
        database.run("drop the table", f"DROP TABLE {table.sql}")
        database.close()


STAGE = Stage(
    "sql",
    "A database of Azure SQL, S3",
    "about USD 0.20 (0.2 an hour, each hour that is begun)",
    prepare,
    tuple(check.all),
)
