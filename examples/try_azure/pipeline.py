"""Pipeline: SQL Server to Service Bus with the state in Blob Storage, by the commands that a user types."""

from __future__ import annotations

import json
import time
from pathlib import Path

from dstream_servicebus.clients import entities_client
from examples.try_azure import servicebus, sql
from examples.try_azure.checks import Checks, Different, Stage, expect
from examples.try_azure.trial import Trial

EXAMPLE = Path(__file__).resolve().parent.parent / "mssql-to-asb" / "dstream.hcl"
BACKEND = """
dstream {
  backend "azurerm" {
    container_name = "state"
    key            = "pipeline.json"
  }
}
"""
TABLES = ("Persons", "Orders", "Customers")
QUEUES = [f"{name}_cdc_events" for name in TABLES]
TASK = "mssql-to-asb"
check = Checks("pipeline", "[`tests/e2e/test_mssql_to_asb.py`](../tests/e2e/test_mssql_to_asb.py)")
SOURCE = "commands.md"


def prepare(trial: Trial) -> None:
    """Write the configuration, and create the tables."""
    missing = [name for name in ("storage", "servicebus", "sql") if name not in trial.found]
    if missing:
        raise RuntimeError(f"no {', '.join(missing)}")
    trial.folder.joinpath("dstream.hcl").write_text(EXAMPLE.read_text() + BACKEND)
    for name in TABLES:
        execute(
            trial, f"CREATE TABLE dbo.{name} (Id int NOT NULL PRIMARY KEY, Name nvarchar(50), Total decimal(10, 2))"
        )


def execute(trial: Trial, *texts: str) -> None:
    """Run statements on the database."""
    database = sql.opened(trial)
    try:
        for text in texts:
            database.run("prepare the database", text)
    finally:
        database.close()


def dstream(trial: Trial, *arguments: str, code: int = 0) -> str:
    """Type a command, and return what it printed. Raises Different unless it ends with this code."""
    connections = {
        "SQL_CONNECTION": trial.found["sql"],
        "ASB_CONNECTION": trial.found["servicebus"],
        "AZURE_STORAGE_CONNECTION_STRING": trial.found["storage"],
    }
    found, said = trial.command(trial.folder, arguments, connections)
    if found != code:
        said = " ".join(said[-500:].split())
        raise Different(f"`dstream {' '.join(arguments)}` ended with {found}, expected {code}: {said}")
    return said


def queues(trial: Trial) -> list[str]:
    """Return those queues of the tables that exist."""
    with entities_client(servicebus.config(trial)) as admin:
        return sorted(each.name for each in admin.list_queues() if each.name in QUEUES)


@check("init", "`init`: state in Blob Storage", SOURCE)
def init(trial: Trial) -> None:
    """Initialize."""
    dstream(trial, "init")


@check("plan", "`plan`: CDC on three tables, and three queues; nothing is created", SOURCE)
def plan(trial: Trial) -> None:
    """Plan, and look whether nothing was created."""
    text = dstream(trial, "plan", "-detailed-exitcode", code=2)
    expect([name for name in QUEUES if name not in text], [], "queues missing in the plan")
    expect(queues(trial), [])


@check("apply", "`apply`: all of it exists, and a second plan is empty", SOURCE)
def apply(trial: Trial) -> None:
    """Apply, and plan again."""
    dstream(trial, "apply", "-auto-approve")
    expect(queues(trial), sorted(QUEUES))
    dstream(trial, "plan", "-detailed-exitcode")


@check("run", "`run`: every change arrives in its queue, in order, once", SOURCE)
def run(trial: Trial) -> str:
    """Change rows, and run until they have arrived."""
    execute(
        trial,
        "INSERT INTO dbo.Orders (Id, Name, Total) VALUES (7, N'first', 12.5)",
        "UPDATE dbo.Orders SET Total = 13 WHERE Id = 7",
        "DELETE FROM dbo.Orders WHERE Id = 7",
        "INSERT INTO dbo.Persons (Id, Name) VALUES (1, N'Zoë')",
    )
    started, runs = time.monotonic(), 0
    while counts(trial) != [3, 1]:
        if time.monotonic() - started > sql.PATIENCE:
            raise Different(f"modelled [3, 1] messages for Orders and Persons, found {counts(trial)}")
        dstream(trial, "run", TASK, "-until-idle")
        runs += 1
        trial.wait(3)
    found = [json.loads(servicebus.text(each)) for each in servicebus.receive(trial, "Orders_cdc_events", 3)]
    expect([each["metadata"]["OperationType"] for each in found], ["Insert", "Update", "Delete"])
    (person,) = servicebus.receive(trial, "Persons_cdc_events", 1)
    expect(json.loads(servicebus.text(person))["data"]["Name"], "Zoë")
    return f"after {time.monotonic() - started:.0f} s and {runs} runs"


def counts(trial: Trial) -> list[int]:
    """Return how many messages are in the queues of Orders and Persons."""
    with entities_client(servicebus.config(trial)) as admin:
        names = ("Orders_cdc_events", "Persons_cdc_events")
        return [admin.get_queue_runtime_properties(name).total_message_count or 0 for name in names]


@check("drift", "`drift`: nothing, then a queue that was deleted, which `apply` creates again", SOURCE)
def drift(trial: Trial) -> None:
    """Delete a queue, and repair it."""
    dstream(trial, "drift")
    with entities_client(servicebus.config(trial)) as admin:
        admin.delete_queue(QUEUES[2])
    expect(QUEUES[2] in dstream(trial, "drift", code=2), True, "the deleted queue is named")
    dstream(trial, "apply", "-auto-approve")
    expect(queues(trial), sorted(QUEUES))


@check("destroy", "`destroy`: queues and CDC are gone", SOURCE)
def destroy(trial: Trial) -> None:
    """Destroy."""
    dstream(trial, "destroy", TASK, "-auto-approve", "-allow-data-loss")
    expect(queues(trial), [])
    database = sql.opened(trial)
    try:
        expect(
            bool(database.rows("SELECT is_cdc_enabled FROM sys.databases WHERE name = DB_NAME()")[0][0]), False, "CDC"
        )
    finally:
        database.close()


STAGE = Stage("pipeline", "init, plan, apply, run, drift, destroy", "nothing more", prepare, tuple(check.all))
