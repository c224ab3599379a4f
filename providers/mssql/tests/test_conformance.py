"""The conformance kit: every rule of the protocol, against the input with CDC in place and with CDC to be made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from providers.mssql.tests.harness import config_of
from tests.services.mssql.model import Database
from tests.services.mssql.server import SqlServer

PROGRAMS = Path(sys.executable).parent


def hold_against_the_rules(config: dict[str, Any]) -> list[str]:
    """The rules that it keeps; none may be broken."""
    command = [PROGRAMS / "dstream", "providers", "test", PROGRAMS / "dstream-in-mssql", "-json"]
    done = subprocess.run(
        [*command, "-provider-config", json.dumps(config)], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [one["rule"] for one in json.loads(done.stdout) if one["outcome"] == "passed"]


@pytest.mark.timeout(300)
def test_the_conformance_kit_passes_with_cdc_in_place(server: SqlServer, shop: Database):
    for number in range(30):
        with shop.transaction() as t:
            t.insert("Orders", Id=number, Name="x")
    kept = hold_against_the_rules(config_of(server, "Orders"))
    assert {"R2", "R11", "R21", "R22", "R23", "R24", "R25", "R26", "R28", "R29", "R50", "R60", "R62"} <= set(kept)


@pytest.mark.timeout(300)
def test_the_conformance_kit_passes_with_cdc_that_is_to_be_made(server: SqlServer):
    database = server.create_database("shop", cdc=False)
    database.create_table("Orders", "Id int primary key")
    with database.transaction() as t:
        for number in range(30):
            t.insert("Orders", Id=number)
    kept = hold_against_the_rules(config_of(server, "Orders", snapshot="initial"))
    assert {"R11", "R14", "R21", "R24", "R28", "R29", "R40", "R44", "R45", "R47"} <= set(kept)
    assert not database.cdc.enabled
    assert database.properties == {}
