"""The scenario that the project began with: tables of SQL Server, each into a queue of Service Bus, told as commands.

Both services are stand-ins that speak the real protocols to the real client libraries.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import PROGRAMS, Ended, dstream, example, start
from tests.events import PATIENCE
from tests.services.azure.entra import CLIENT, SECRET, TENANT, Entra
from tests.services.azure.running import ServiceBus, service_bus
from tests.services.mssql.model import Database, Login
from tests.services.mssql.server import SqlServer

pytestmark = pytest.mark.timeout(400)  # many commands one after the other, on a machine that may be busy

TABLES = ("Persons", "Orders", "Customers")
QUEUES = sorted(f"{name}_cdc_events" for name in TABLES)
OLDER = """
task "mssql-to-asb" {
  type = "providers"

  input {
    provider_path = "./mssql-cdc-provider"
    config {
      connection_string = "{{ env "SQL_CONNECTION" }}"
      tables = ["Persons", "Orders", "Customers"]
    }
  }

  output {
    provider_path = "./dstream-dbtable-asb-output-provider"
    config {
      connection_string = "{{ env "ASB_CONNECTION" }}"
    }
  }
}
"""


@dataclass
class Shop:
    """The example in a folder, and both services."""

    folder: Path
    database: Database
    server: SqlServer
    bus: ServiceBus

    @property
    def env(self) -> dict[str, str]:
        return {
            "SQL_CONNECTION": self.server.connection_string("shop"),
            "ASB_CONNECTION": self.bus.connection_string,
            **self.bus.environment,
        }

    def dstream(self, *arguments: str, timeout: float = 110) -> Ended:
        return dstream(self.folder, *arguments, env=self.env, timeout=timeout)

    def good(self, *arguments: str) -> Ended:
        """Run a command that goes well."""
        ended = self.dstream(*arguments)
        assert ended.code == 0, ended.said
        return ended

    def edit(self, old: str, new: str) -> None:
        path = self.folder / "dstream.hcl"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def arrived(self, table: str) -> list[tuple[str, dict[str, Any]]]:
        """Operation and data of everything that came into a table's queue."""
        found = [each.json() for each in self.bus.store(f"{table}_cdc_events").history]
        return [(each["metadata"]["OperationType"], each["data"]) for each in found]

    def captured(self) -> list[str]:
        """The tables that have CDC."""
        return sorted(table.name for table in self.database.tables.values() if table.tracked)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with SqlServer() as server, service_bus() as bus:
        database = server.create_database("shop")
        for name in (*TABLES, "Products"):
            database.create_table(name, "Id int primary key, Name nvarchar(50), Total decimal(10, 2)")
        yield Shop(example("mssql-to-asb", tmp_path), database, server, bus)


def test_the_scenario_from_init_to_destroy(shop: Shop) -> None:
    planned = shop.good("plan")
    for queue in QUEUES:
        assert f'task.mssql-to-asb.output.asb_queue["{queue}"]' in planned.out
    assert shop.bus.queues == [] == shop.captured()
    shop.good("init", "mssql-to-asb", "-auto-approve")
    assert shop.bus.queues == QUEUES
    assert shop.captured() == sorted(TABLES)
    assert shop.dstream("plan", "-detailed-exitcode").code == 0

    with shop.database.transaction() as t:
        t.insert("Persons", Id=1, Name="Ann")
        t.insert("Orders", Id=7, Name="first", Total="12.50")
    with shop.database.transaction() as t:
        t.update("Persons", {"Id": 1}, Name="Anna")
        t.delete("Orders", Id=7)
        t.insert("Customers", Id=3, Name="Ærø")
    shop.good("run", "mssql-to-asb", "-until-idle")
    assert shop.arrived("Persons") == [
        ("Insert", {"Id": 1, "Name": "Ann", "Total": None}),
        ("Update", {"Id": 1, "Name": "Anna", "Total": None}),
    ]
    assert [operation for operation, _ in shop.arrived("Orders")] == ["Insert", "Delete"]
    assert shop.bus.store("Orders_cdc_events").history[0].body.count(b"12.50") == 1
    assert shop.arrived("Customers") == [("Insert", {"Id": 3, "Name": "Ærø", "Total": None})]
    properties = shop.bus.store("Persons_cdc_events").history[0].application_properties
    assert properties["OperationType"] == "Insert" and int(properties["LSN"], 16) > 0

    shop.edit('"Customers"]', '"Customers", "Products"]')
    more = shop.good("plan").out
    assert 'asb_queue["Products_cdc_events"]' in more and "Products" in more
    assert "2 to add, 0 to change, 0 to destroy" in more, more
    shop.good("apply", "-auto-approve")
    assert shop.bus.queues == sorted([*QUEUES, "Products_cdc_events"])

    shop.bus.model.delete(shop.bus.namespace, "queue", "Orders_cdc_events")
    drifted = shop.dstream("drift")
    assert drifted.code == 2 and "Orders_cdc_events" in drifted.out, drifted.said
    shop.good("apply", "-auto-approve")
    assert "Orders_cdc_events" in shop.bus.queues

    gone = shop.good("destroy", "mssql-to-asb", "-auto-approve", "-allow-data-loss")
    assert shop.bus.queues == [] == shop.captured(), gone.said
    assert shop.good("state", "list").out.strip() == ""


def test_the_older_configuration_works_as_it_is(shop: Shop) -> None:
    shop.folder.joinpath("dstream.hcl").write_text(OLDER)
    links = {"mssql-cdc-provider": "dstream-in-mssql", "dstream-dbtable-asb-output-provider": "dstream-out-asb"}
    for name, program in links.items():
        shop.folder.joinpath(name).symlink_to(PROGRAMS / program)
    shop.good("init", "mssql-to-asb", "-auto-approve")
    assert shop.bus.queues == QUEUES
    with shop.database.transaction() as t:
        t.insert("Persons", Id=1, Name="Ann")
    shop.good("run", "mssql-to-asb", "-until-idle")
    assert [operation for operation, _ in shop.arrived("Persons")] == ["Insert"]
    shop.good("destroy", "mssql-to-asb", "-auto-approve", "-allow-data-loss")
    assert shop.bus.queues == []


def test_a_run_that_is_killed_again_and_again_loses_nothing(shop: Shop) -> None:
    shop.good("init", "mssql-to-asb", "-auto-approve")
    number = 0
    for _ in range(3):
        runner = start(shop.folder, "run", "mssql-to-asb", env=shop.env)
        seen = len(shop.bus.store("Orders_cdc_events").history)
        deadline = time.monotonic() + PATIENCE
        while len(shop.bus.store("Orders_cdc_events").history) < seen + 20:
            assert time.monotonic() < deadline and runner.poll() is None
            with shop.database.transaction() as t:
                for _ in range(3):
                    number += 1
                    t.insert("Orders", Id=number, Name=f"n{number}")
                    t.update("Orders", {"Id": number}, Total="1.00")
            time.sleep(0.05)
        os.killpg(runner.pid, signal.SIGKILL)
        runner.communicate(timeout=PATIENCE)
    shop.good("run", "mssql-to-asb", "-until-idle")
    rows: dict[int, list[str]] = {}
    for each in shop.bus.store("Orders_cdc_events").history:
        envelope = json.loads(each.body)
        rows.setdefault(envelope["data"]["Id"], []).append(envelope["metadata"]["OperationType"])
    assert rows == {n: ["Insert", "Update"] for n in range(1, number + 1)}, "repeats are dropped by their message_id"


class Principals(dict[str, Login]):
    """SQL Server's external users: whoever has a token of Entra ID for it."""

    def __init__(self, entra: Entra) -> None:
        self._entra = entra

    def get(self, token: str, default: Any = None) -> Any:
        known = self._entra.accepts(token, "https://database.windows.net")
        return Login("streams", sysadmin=True) if known else default


def test_a_service_principal_of_entra_id_signs_in_on_both_sides(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    entra, at = shop.bus.entra, f"127.0.0.1:{shop.bus.server.port}"
    shop.server.tokens = Principals(entra)
    who = f"User ID={CLIENT};Password={SECRET};Tenant ID={TENANT}"
    sql = f"Server=127.0.0.1,{shop.server.port};Database=shop;Encrypt=no;"
    monkeypatch.setenv("SQL_BY_ENTRA", f"{sql}Authentication=Active Directory Service Principal;{who}")
    for name, value in entra.principal.items():
        monkeypatch.setenv(name, value)
    shop.edit('env \\"SQL_CONNECTION\\"', 'env \\"SQL_BY_ENTRA\\"')
    names = '["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"]'
    by_key, by_entra = '{{ env \\"ASB_CONNECTION\\" }}', f'namespace = "{at}"\n      custom_endpoint = "{at}"'
    shop.edit(f'connection_string = "{by_key}"', by_entra)
    shop.edit('provider = "asb"', f'provider = "asb"\n    env      = {names}')
    shop.good("apply", "-auto-approve")
    assert shop.bus.queues == QUEUES and shop.captured() == sorted(TABLES)
    with shop.database.transaction() as t:
        t.insert("Orders", Id=1, Name="a", Total="1.50")
    shop.good("run", "mssql-to-asb", "-until-idle")
    assert [data["Id"] for _, data in shop.arrived("Orders")] == [1]
    services = {"https://database.windows.net", "https://servicebus.azure.net"}
    assert set(entra.given) == {("principal", service) for service in services}
    said = shop.good("state", "pull")
    assert SECRET not in said.said
