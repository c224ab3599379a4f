"""The older project's configurations as they are, with its programs' names for ours."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.commands import PROGRAMS, Ended, dstream
from tests.services.azure.running import ServiceBus, service_bus
from tests.services.mssql.model import Database
from tests.services.mssql.server import SqlServer

pytestmark = pytest.mark.timeout(400)

OLDER = Path(__file__).parent / "older"
LINKS = {
    "dstream-ingester-mssql": "dstream-in-mssql",
    "dstream-out-asb": "dstream-out-asb",
    "dstream-log-output-provider": "dstream-out-log",
    "dstream-counter-input-provider": "dstream-in-counter",
    "counter-input-provider": "dstream-in-counter",
    "dstream-console-output-provider": "dstream-out-console",
    "console-output-provider": "dstream-out-console",
}


@dataclass
class Garage:
    """A folder with one configuration, and both services."""

    folder: Path
    database: Database
    bus: ServiceBus
    env: dict[str, str]

    def write(self, name: str) -> None:
        shutil.copy(OLDER / name, self.folder / "dstream.hcl")
        for link, program in LINKS.items():
            self.folder.joinpath(link).symlink_to(PROGRAMS / program)

    def good(self, *arguments: str) -> Ended:
        ended = dstream(self.folder, *arguments, env=self.env)
        assert ended.code == 0, ended.said
        return ended


@pytest.fixture
def garage(tmp_path: Path) -> Iterator[Garage]:
    with SqlServer() as server, service_bus() as bus:
        database = server.create_database("GarageDB")
        for name in ("Persons", "Cars"):
            database.create_table(name, "Id int primary key, Name nvarchar(50)")
        env = {"SQL": server.connection_string("GarageDB"), "ASB": bus.connection_string, **bus.environment}
        yield Garage(tmp_path, database, bus, env)


def test_the_production_block_runs_from_init_to_destroy(garage: Garage) -> None:
    garage.write("production.hcl")
    garage.good("init", "mssql-to-asb", "-auto-approve")
    queues = ["localhost-garage-db-cars", "localhost-garage-db-persons"]
    assert garage.bus.queues == queues
    with garage.database.transaction() as t:
        t.insert("Cars", Id=1, Name="Volvo")
        t.insert("Persons", Id=7, Name="Ann")
    garage.good("run", "mssql-to-asb", "-until-idle")
    arrived = {queue: [each.json()["data"] for each in garage.bus.store(queue).history] for queue in queues}
    assert arrived == {queues[0]: [{"Id": 1, "Name": "Volvo"}], queues[1]: [{"Id": 7, "Name": "Ann"}]}
    garage.good("destroy", "mssql-to-asb", "-auto-approve", "-allow-data-loss")
    assert garage.bus.queues == []


def test_the_offsets_of_the_older_project_are_taken_over(garage: Garage) -> None:
    garage.write("mssql-to-log.hcl")
    garage.good("init", "mssql-test", "-auto-approve")
    for number in (1, 2, 3):
        with garage.database.transaction() as t:
            t.insert("Cars", Id=number, Name=f"car {number}")
    entry = garage.database.cdc.mapping[-1].start_lsn
    garage.database.create_table("cdc_offsets", "table_name nvarchar(255) primary key, last_lsn varbinary(10)")
    with garage.database.transaction() as t:
        t.insert("cdc_offsets", table_name="Cars", last_lsn=entry.to_bytes(10, "big"))
    assert "cdc_offsets" in garage.good("checkpoint", "import", "mssql-test").out
    ended = garage.good("run", "mssql-test", "-until-idle")
    assert ("car 2" in ended.err, "car 3" in ended.err) == (False, True), ended.err
    again = dstream(garage.folder, "checkpoint", "import", "mssql-test", env=garage.env)
    assert (again.code, "-force" in again.err) == (1, True)
    garage.good("checkpoint", "set", "mssql-test", "-start", "oldest")
    assert "car 2" in garage.good("run", "mssql-test", "-until-idle").err
    both = dstream(garage.folder, "checkpoint", "set", "mssql-test", "{}", "-start", "now", env=garage.env)
    assert "Give either POSITION or -start" in both.err


@pytest.mark.parametrize("name", ["mssql-to-log", "locals"])
def test_changes_are_shown(garage: Garage, name: str) -> None:
    garage.write(f"{name}.hcl")
    task = "mssql-test" if name == "mssql-to-log" else "mssql-to-console"
    garage.good("init", task, "-auto-approve")
    with garage.database.transaction() as t:
        t.insert("Cars", Id=1, Name="Volvo")
    ended = garage.good("run", task, "-until-idle")
    assert "Volvo" in ended.err
    assert "1 record moved" in ended.err


@pytest.mark.parametrize("name", ["counter-to-console", "one-line"])
def test_the_counter_counts(garage: Garage, name: str) -> None:
    garage.write(f"{name}.hcl")
    task = "oci-counter-demo" if name == "counter-to-console" else "oci-validation"
    ended = garage.good("run", task)
    assert "5 records moved" in ended.err, ended.said
