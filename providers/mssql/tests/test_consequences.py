"""What a plan reports of the tables: where they continue, how long changes are kept, and what apply or run fails on."""

from __future__ import annotations

from typing import Any

import pytest

from dstream_mssql.input import SqlServerInput
from dstream_mssql.settings import InputSettings
from dstream_sdk import Consequence, Finding, PlanContext, Prior, decode
from providers.mssql.tests.harness import config_of
from providers.mssql.tests.test_input_gaps import clean_up, enable_again, start, whole_database
from tests.services.mssql.model import Database, Login
from tests.services.mssql.server import SqlServer


def assessed(config: dict[str, Any], checkpoint: Any = None, *, running: bool = False) -> list[Any]:
    """What the input reports for the task `t`."""
    prior = Prior() if checkpoint is None else Prior(True, checkpoint, 7200, running=running)
    context = PlanContext("t", assessed=True, prior=prior)
    return list(SqlServerInput().consequences(decode(InputSettings, config), context))


def findings(found: list[Any]) -> dict[str, Finding]:
    return {each.summary: each for each in found if isinstance(each, Finding)}


def of(found: list[Any], kind: str) -> list[Consequence]:
    return [each for each in found if isinstance(each, Consequence) and each.kind == kind]


def test_a_first_run_reads_the_rows_and_a_later_one_continues_while_the_changes_are_kept(
    server: SqlServer, shop: Database
):
    with shop.transaction() as t:
        t.insert("Orders", Id=7)
        t.insert("Orders", Id=8)
    (first,) = of(assessed(config_of(server, "Orders", snapshot="initial")), "snapshot")
    assert (first.stream, first.rows, first.bytes) == ("dbo.Orders", 2, 8192)
    checkpoint = start(server, shop)
    with shop.transaction() as t:
        t.insert("Orders", Id=3)
    server.clock.travel(hours=60)
    found = assessed(config_of(server, "Orders"), checkpoint)
    (resume,) = of(found, "resume")
    assert resume.hours == 2
    assert checkpoint["lsn"] in resume.summary
    (retention,) = of(found, "retention")
    assert (retention.stream, retention.label) == ("dbo.Orders", "breaking" if retention.hours < 12 else "non-breaking")
    assert 11.9 < retention.hours < 12.1
    server.clock.travel(hours=11.9)
    (retention,) = of(assessed(config_of(server, "Orders"), checkpoint), "retention")
    assert retention.label == "breaking"
    assert retention.hours < 0.2


@pytest.mark.parametrize("lose", [clean_up, pytest.param(enable_again, marks=pytest.mark.soak), whole_database])
def test_a_resume_that_run_refuses_is_an_error_and_with_on_gap_snapshot_what_is_read_again(
    server: SqlServer, shop: Database, lose: Any
):
    checkpoint = start(server, shop)
    lose(server, shop)
    found = findings(assessed(config_of(server, "Orders"), checkpoint))
    assert found["Resume not possible"].certain
    assert findings(assessed(config_of(server, "Orders"), checkpoint, running=True)) == {}
    assert 'on_gap = "snapshot"' in found["Resume not possible"].fix
    (again,) = of(assessed(config_of(server, "Orders", on_gap="snapshot"), checkpoint), "reread")
    assert (again.label, again.stream, again.rows) == ("breaking", "dbo.Orders", 3)


def test_a_capture_agent_that_has_stopped_is_a_warning_or_an_error(server: SqlServer, shop: Database):
    with shop.transaction() as t:
        t.insert("Orders", Id=1)
    assert findings(assessed(config_of(server, "Orders"))) == {}
    shop.cdc.running = False
    server.clock.travel(hours=1)
    for mode, certain in (("warn", False), ("fail", True)):
        found = findings(assessed(config_of(server, "Orders", on_agent_stop=mode)))
        assert found["The capture agent has stopped"].certain is certain


def test_each_permission_that_is_missing_is_named_with_the_statement_that_grants_it(server: SqlServer):
    database = server.create_database("shop", cdc=False)
    database.create_table("Orders", "Id int primary key")
    login = server.logins["reader"] = Login("reader", "Reader-1", grants={"select dbo.Orders"})
    config = config_of(server, "Orders", login="reader")
    found = findings(assessed(config))
    assert list(found) == ["Permission to enable CDC missing", "Permission to capture a table missing"]
    assert found["Permission to enable CDC missing"].fix.startswith("EXEC sys.sp_cdc_enable_db")
    assert found["Permission to capture a table missing"].fix == "ALTER ROLE db_owner ADD MEMBER [reader]"
    given = findings(assessed({**config, "manage": False}))
    assert list(given) == ["CDC is not enabled", "Table not captured"]
    assert given["Table not captured"].fix.startswith(
        "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'Orders', @role_name = NULL"
    )
    login.db_owner = True
    assert list(findings(assessed(config))) == ["Permission to enable CDC missing"]
    database.cdc.enable()
    assert findings(assessed(config)) == {}
