"""A task whose output describes its queues by an embedded Pulumi program over the real pulumi_azure_native."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.e2e.commands import dstream
from tests.services.azure.running import arm_server
from tests.services.pulumi.serving import install
from tests.services.shebang import shebang

pytest.importorskip("pulumi_azure_native", reason="pulumi-azure-native is not installed: make azure")

pytestmark = pytest.mark.timeout(900)
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
PROVIDER = """
from dataclasses import dataclass

from dstream_pulumi import Plugin, PluginCatalog, collect
from dstream_sdk import Output, Provider, main, setting

AZURE = Plugin("azure-native", "3.29.0")


@dataclass(frozen=True)
class Settings:
    url: str = setting()
    tables: list[str] = setting(default_factory=list)
    protect: bool = setting(False)
    wrong: str = setting("")
    session: bool = setting(False)


class Queues(Output[Settings]):
    def plan(self, config, context):
        def program():
            import pulumi
            from pulumi_azure_native import servicebus

            space = servicebus.Namespace(
                "main", resource_group_name="streams", namespace_name="dstream-main",
                sku=servicebus.SBSkuArgs(name="Standard", tier="Standard"), tags={"CostCenter": "42"},
            )
            for table in config.tables:
                servicebus.Queue(
                    table, resource_group_name="streams", namespace_name=space.name,
                    queue_name=f"{table}_cdc_events", max_delivery_count=5,
                    requires_session=config.session or None,
                    opts=pulumi.ResourceOptions(protect=config.protect),
                )
            if config.wrong == "get":
                servicebus.Queue.get("there", "/subscriptions/x")
            if config.wrong == "raise":
                raise ValueError("no such table")

        return collect(program, project="asb", plugins=[AZURE])

    def run(self, config, session):
        for _ in session.records():
            pass


def settings(config):
    return {"azure-native": {
        "subscriptionId": "SUBSCRIPTION", "location": "westeurope",
        "metadataHost": config["url"] if isinstance(config, dict) else config.url,
    }}


main(Provider("asb", version="1.0", output=Queues(), catalog=PluginCatalog([AZURE], settings=settings)))
""".replace("SUBSCRIPTION", SUBSCRIPTION)


class Folder:
    def __init__(self, folder: Path, url: str, env: dict[str, str]) -> None:
        self.folder, self.url, self.env = folder, url, env

    def write(self, *tables: str, extra: str = "") -> None:
        names = ", ".join(f'"{table}"' for table in tables)
        (self.folder / "dstream.hcl").write_text(f"""
task "orders" {{
  input {{
    provider = "counter"
  }}
  output {{
    provider_path = "./dstream-out-asb"
    config {{
      url    = "{self.url}"
      tables = [{names}]
      {extra}
    }}
  }}
}}
""")

    def dstream(self, *arguments: str, **env: str):
        return dstream(self.folder, *arguments, env={**self.env, **env}, timeout=300)


@pytest.fixture
def task(tmp_path, home):
    folder = tmp_path / "config"
    folder.mkdir()
    provider = folder / "dstream-out-asb"
    provider.write_text(shebang() + PROVIDER)
    provider.chmod(0o755)
    install(tmp_path / "programs", "azure-native", "tests.services.pulumi.azure_native")
    path = f"{Path(sys.executable).parent}{os.pathsep}{tmp_path / 'programs'}{os.pathsep}{os.environ['PATH']}"
    with arm_server() as arm:
        arm.model.put_group(SUBSCRIPTION, "streams")
        made = Folder(folder, arm.url, {"PATH": path, "HOME": str(home)})
        made.arm = arm
        yield made


def queues(task):
    found = task.arm.model.namespaces.get("dstream-main")
    return [] if found is None else found.names()


def test_the_objects_of_a_program_are_planned_applied_drifted_and_destroyed_one_by_one(task):
    task.write("Orders", "Customers")
    planned = task.dstream("plan", "-detailed-exitcode")
    assert planned.code == 2 and "Plan: 3 to add" in planned.out, planned.said
    assert 'task.orders.output.azure-native_servicebus_Queue["Orders"]' in planned.out
    done = task.dstream("apply", "-auto-approve")
    assert done.code == 0, done.said
    assert queues(task) == ["Customers_cdc_events", "Orders_cdc_events"]
    assert task.arm.model.namespace("dstream-main").body["tags"] == {"CostCenter": "42"}
    assert task.dstream("plan", "-detailed-exitcode").code == 0
    task.write("Orders", "Customers", "Persons")
    assert "Plan: 1 to add, 0 to change, 0 to destroy" in task.dstream("plan").out
    task.arm.model.delete(task.arm.model.namespace("dstream-main"), "queue", "Orders_cdc_events")
    assert task.dstream("drift").code == 2
    assert task.dstream("apply", "-auto-approve").code == 0
    assert queues(task) == ["Customers_cdc_events", "Orders_cdc_events", "Persons_cdc_events"]
    task.write("Orders")
    assert "Plan: 0 to add, 0 to change, 2 to destroy" in task.dstream("plan").out
    done = task.dstream("destroy", "-auto-approve")
    assert done.code == 0, done.said
    assert task.arm.model.namespaces == {}


def test_what_the_program_protects_is_not_replaced(task):
    task.write("Orders", extra="protect = true")
    assert task.dstream("apply", "-auto-approve").code == 0
    task.write("Orders", extra="protect = true\n      session = true")
    planned = task.dstream("plan")
    assert planned.code == 1 and "prevent_destroy" in planned.said, planned.said
    for destroying in (["destroy", "-auto-approve"], ["plan"]):  # also where the program does not name it any more
        task.write(*(["Orders"] if "destroy" in destroying else []), extra="protect = true")
        refused = task.dstream(*destroying)
        assert refused.code == 1 and "protect in a Pulumi program" in " ".join(refused.said.split()), refused.said
    assert queues(task) == ["Orders_cdc_events"]
    task.write("Orders", extra="session = true")
    assert "must be replaced" in task.dstream("plan").out
    task.write("Orders")
    assert task.dstream("apply", "-auto-approve").code == 0
    done = task.dstream("destroy", "-auto-approve")
    assert done.code == 0, done.said


@pytest.mark.parametrize(("wrong", "said"), [("get", "gets azure-native:servicebus:Queue"), ("raise", "no such table")])
def test_an_error_of_the_program_fails_the_task_and_proposes_nothing(task, wrong, said):
    task.write("Orders")
    assert task.dstream("apply", "-auto-approve").code == 0
    task.write(extra=f'wrong = "{wrong}"')
    planned = task.dstream("plan")
    assert planned.code == 1 and said in " ".join(planned.said.split()), planned.said
    assert "destroy" not in re.sub("Plan:.*0 to destroy", "", planned.out)
    assert queues(task) == ["Orders_cdc_events"]


@pytest.mark.parametrize("place", ["before_create:2", "after_create:2"])
def test_a_provider_killed_in_the_middle_makes_nothing_twice_and_forgets_nothing(task, place):
    task.write("Orders", "Customers")
    assert task.dstream("apply", "-auto-approve", DSTREAM_FAULT=place).code == 1
    done = task.dstream("apply", "-auto-approve")
    assert done.code == 0, done.said
    assert queues(task) == ["Customers_cdc_events", "Orders_cdc_events"]
    assert len(task.arm.requests("PUT", "/queues/Orders")) == 1
    assert task.dstream("plan", "-detailed-exitcode").code == 0
    assert task.dstream("destroy", "-auto-approve").code == 0
    assert task.arm.model.namespaces == {}
