"""Queues of Azure as resources, by the plugin azure-native: planned, applied, drifted, killed and destroyed.

The plugin and Azure Resource Manager are stand-ins; commands, engine, provider, gRPC and HTTP are real.
"""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dstream_state import processes
from tests.e2e.commands import Ended, dstream, start
from tests.events import PATIENCE, until
from tests.services.azure.arm import ArmServer
from tests.services.azure.running import arm_server
from tests.services.pulumi.serving import install

pytestmark = pytest.mark.timeout(900)
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
PROVIDER = """
provider "azure-native" {{
  provider = "pulumi"
  config {{
    plugin   = "azure-native"
    settings = {{ {settings} location = "westeurope", metadata_host = "{url}" }}
  }}
}}
"""
NAMESPACE = """
resource "azure-native_servicebus_Namespace" "main" {
  resource_group_name = "streams"
  namespace_name      = "dstream-main"
  sku                 = { name = "Standard", tier = "Standard" }
}
"""
QUEUES = """
resource "azure-native_servicebus_Queue" "orders" {
  resource_group_name = "streams"
  namespace_name      = azure-native_servicebus_Namespace.main.name
  max_delivery_count  = 5
}
resource "azure-native_servicebus_Queue" "table" {
  for_each            = toset(["Customers", "Persons"])
  resource_group_name = "streams"
  namespace_name      = azure-native_servicebus_Namespace.main.name
  queue_name          = "${each.key}_cdc_events"
}
"""
QUEUE = "/subscriptions/[^/]+/resourceGroups/streams/providers/Microsoft.ServiceBus/namespaces/dstream-main/queues/"


@dataclass
class Cloud:
    """A folder with a configuration, and the Azure that it is about."""

    folder: Path
    arm: ArmServer
    env: dict[str, str] = field(default_factory=dict)

    def write(self, *blocks: str, subscription: str = SUBSCRIPTION) -> None:
        settings = f'subscription_id = "{subscription}",' if subscription else ""
        provider = PROVIDER.format(url=self.arm.url, settings=settings)
        (self.folder / "dstream.hcl").write_text("".join([provider, *blocks]))

    def dstream(self, *arguments: str, **env: str) -> Ended:
        return dstream(self.folder, *arguments, env={**self.env, **env}, timeout=300)

    def applied(self, **env: str) -> str:
        done = self.dstream("apply", "-auto-approve", **env)
        assert done.code == 0, done.said
        return done.out

    def queues(self) -> list[str]:
        found = self.arm.model.namespaces.get("dstream-main")
        return [] if found is None else found.names()

    def recorded(self) -> list[str]:
        """The names of the queues in the state."""
        listed = self.dstream("state", "list")
        found = []
        for address in listed.out.split():
            if "_Queue" in address:
                shown = self.dstream("state", "show", address)
                match = re.search(r'queue_name\s+= "([^"]+)"', shown.out)
                assert match is not None, shown.said
                found.append(match[1])
        return sorted(found)

    def puts(self, name: str) -> int:
        return len(self.arm.requests("PUT", f"/queues/{name}"))


@pytest.fixture
def cloud(tmp_path, home):
    folder = tmp_path / "config"
    folder.mkdir()
    programs = tmp_path / "programs"
    install(programs, "azure-native", "tests.services.pulumi.azure_native")
    path = f"{Path(os.sys.executable).parent}{os.pathsep}{programs}{os.pathsep}{os.environ['PATH']}"
    with arm_server() as arm:
        arm.model.put_group(SUBSCRIPTION, "streams")
        yield Cloud(folder, arm, {"PATH": path, "HOME": str(home)})


def test_queues_are_planned_applied_changed_and_destroyed(cloud):
    cloud.write(NAMESPACE, QUEUES)
    assert cloud.dstream("lint").code == 0
    planned = cloud.dstream("plan", "-detailed-exitcode")
    assert planned.code == 2, planned.said
    assert "Plan: 4 to add" in planned.out and cloud.queues() == []
    assert "azure-native_servicebus_Queue.orders" in json.dumps(json.loads(cloud.dstream("plan", "-json").out))
    cloud.applied()
    names = cloud.queues()
    assert names[:2] == ["Customers_cdc_events", "Persons_cdc_events"]
    assert re.fullmatch("orders[0-9a-f]{8}", names[2]), "the name that the plugin generated"
    assert cloud.recorded() == names
    assert cloud.dstream("plan", "-detailed-exitcode").code == 0
    assert cloud.dstream("drift").code == 0
    cloud.write(NAMESPACE.replace("  sku", '  tags = { team = "shop" }\n  sku'), QUEUES)
    assert "Plan: 0 to add, 1 to change, 0 to destroy" in cloud.dstream("plan").out, (
        "queues keep the name that they need"
    )
    cloud.write(NAMESPACE, QUEUES.replace("max_delivery_count  = 5", "max_delivery_count  = 7"))
    assert "Plan: 0 to add, 1 to change, 0 to destroy" in cloud.dstream("plan").out
    cloud.applied()
    assert cloud.queues() == names
    cloud.write(NAMESPACE, QUEUES.replace('"Customers", ', ""))
    assert "Plan: 0 to add, 1 to change, 1 to destroy" in cloud.dstream("plan").out
    done = cloud.dstream("destroy", "-auto-approve")
    assert done.code == 0, done.said
    assert cloud.arm.model.namespaces == {}
    assert cloud.dstream("state", "list").out.strip() == ""


def test_the_name_in_a_saved_plan_is_the_name_that_is_made(cloud):
    cloud.write(NAMESPACE)
    cloud.applied()
    cloud.write(NAMESPACE, QUEUES)
    planned = cloud.dstream("plan", "-out", "saved.plan")
    assert planned.code == 0, planned.said
    name = re.search(r'queue_name\s+= "(orders[0-9a-f]{8})"', planned.out)[1]
    assert name in cloud.dstream("show", "saved.plan").out
    done = cloud.dstream("apply", "saved.plan")
    assert done.code == 0, done.said
    assert name in cloud.queues()


def test_what_azure_cannot_change_in_place_replaces_with_another_name(cloud):
    cloud.write(NAMESPACE, QUEUES)
    cloud.applied()
    before = next(name for name in cloud.queues() if name.startswith("orders"))
    cloud.write(NAMESPACE, QUEUES.replace("max_delivery_count  = 5", "requires_session = true"))
    planned = cloud.dstream("plan")
    assert "must be replaced" in planned.out and "requires_session" in planned.out, planned.said
    cloud.applied()
    after = next(name for name in cloud.queues() if name.startswith("orders"))
    assert after != before and len(cloud.queues()) == 3
    assert cloud.recorded() == cloud.queues()


def test_a_queue_that_somebody_deleted_or_changed_is_drift_and_is_put_back(cloud):
    cloud.write(NAMESPACE, QUEUES)
    cloud.applied()
    namespace = cloud.arm.model.namespace("dstream-main")
    cloud.arm.model.delete(namespace, "queue", "Persons_cdc_events")
    cloud.arm.model.put(namespace, "queue", "Customers_cdc_events", {"maxDeliveryCount": 99})
    found = cloud.dstream("drift")
    assert found.code == 2, found.said
    assert 'table["Persons"]' in found.out and "max_delivery_count" in found.out
    cloud.write(NAMESPACE, QUEUES.replace('_cdc_events"', '_cdc_events"\n  max_delivery_count = 10'))
    cloud.applied()
    assert "Persons_cdc_events" in cloud.queues()
    assert namespace.entities["customers_cdc_events"].properties["maxDeliveryCount"] == 10
    assert cloud.dstream("drift").code == 0


def test_an_azure_resource_id_is_imported(cloud):
    namespace = cloud.arm.model.put_namespace(SUBSCRIPTION, "streams", "dstream-main", {"sku": {"name": "Standard"}})
    cloud.arm.model.put(namespace, "queue", "Persons_cdc_events", {"maxDeliveryCount": 7})
    space = (
        f"/subscriptions/{SUBSCRIPTION}/resourceGroups/streams/providers/Microsoft.ServiceBus/namespaces/dstream-main"
    )
    queue = """
resource "azure-native_servicebus_Queue" "persons" {
  resource_group_name = "streams"
  namespace_name      = "dstream-main"
  queue_name          = "Persons_cdc_events"
  max_delivery_count  = 7
}
"""
    cloud.write(NAMESPACE, queue)
    refused = cloud.dstream("plan")
    assert refused.code == 1 and "import" in refused.said, "nobody else's object is adopted"
    done = cloud.dstream("import", "azure-native_servicebus_Namespace.main", space)
    assert done.code == 0, done.said
    done = cloud.dstream("import", "azure-native_servicebus_Queue.persons", f"{space}/queues/Persons_cdc_events")
    assert done.code == 0, done.said
    planned = cloud.dstream("plan", "-detailed-exitcode")
    assert planned.code == 0, planned.said
    assert cloud.arm.requests("PUT", "/queues/") == []
    missing = cloud.dstream("import", "azure-native_servicebus_Queue.persons", f"{space}/queues/none")
    assert missing.code == 1


def test_lint_checks_arguments_against_the_schema_of_the_plugin(cloud):
    queue = 'resource "azure-native_servicebus_Queue" "a" {{\n  namespace_name = "n"\n  {}\n}}\n'
    cloud.write(queue.format("max_delivery_cuont = 5"))
    said = cloud.dstream("lint")
    assert said.code == 1 and "Did you mean max_delivery_count?" in said.said and "dstream.hcl:" in said.said
    assert "resource_group_name" in said.said, "what is missing is told in the same run"
    cloud.write(queue.format('resource_group_name = "g"\n  max_delivery_count = "many"'))
    assert "max_delivery_count" in cloud.dstream("lint").said
    cloud.write('resource "azure-native_servicebus_Quue" "a" {}\n')
    assert "azure-native_servicebus_Quue" in cloud.dstream("lint").said
    cloud.write(NAMESPACE.replace('tier = "Standard"', 'teir = "Standard"'))
    assert "did you mean tier?" in cloud.dstream("lint").said


def test_what_azure_says_is_what_the_user_reads(cloud):
    cloud.write(NAMESPACE.replace("dstream-main", "x"))
    done = cloud.dstream("apply", "-auto-approve")
    assert done.code == 1 and "service namespace name 'x' is invalid" in " ".join(done.said.split())
    cloud.write(NAMESPACE, subscription="")
    assert "set subscriptionId" in cloud.dstream("plan").said


def test_a_missing_plugin_says_how_to_get_it(cloud, tmp_path):
    cloud.write(NAMESPACE)
    config = cloud.folder / "dstream.hcl"
    config.write_text(config.read_text().replace('= "azure-native"\n', '= "azure-native"\n    version = "9.9.9"\n'))
    bare = str(Path(os.sys.executable).parent)
    said = cloud.dstream("plan", PATH=bare)
    assert said.code == 1 and "dstream providers pull pulumi/azure-native@9.9.9" in " ".join(
        said.said.replace("│", " ").split()
    )


def test_an_object_that_did_not_become_ready_is_recorded_as_tainted_and_replaced(cloud):
    cloud.write(NAMESPACE)
    cloud.arm.slow_namespaces = 10**6
    cloud.env["DSTREAM_STAND_IN_PATIENCE"] = "0.2"
    config = cloud.folder / "dstream.hcl"
    config.write_text(config.read_text().replace("config {", 'env = ["DSTREAM_STAND_IN_PATIENCE"]\n  config {'))
    done = cloud.dstream("apply", "-auto-approve")
    assert done.code == 1 and "did not become ready" in " ".join(done.said.split()), done.said
    assert "tainted" in cloud.dstream("state", "show", "azure-native_servicebus_Namespace.main").out
    cloud.arm.slow_namespaces = 0
    for namespace in cloud.arm.model.namespaces.values():
        namespace.looks = 0
    planned = cloud.dstream("plan")
    assert "must be replaced" in planned.out and "is tainted" in planned.out, planned.said
    cloud.applied()
    assert list(cloud.arm.model.namespaces) == ["dstream-main"]
    assert cloud.dstream("plan", "-detailed-exitcode").code == 0


def recovered(cloud: Cloud, names: int) -> None:
    """After a crash: applying again makes nothing twice and forgets nothing."""
    cloud.applied()
    assert len(cloud.queues()) == names, cloud.queues()
    assert cloud.recorded() == cloud.queues()
    assert cloud.dstream("plan", "-detailed-exitcode").code == 0
    done = cloud.dstream("destroy", "-auto-approve")
    assert done.code == 0, done.said
    assert cloud.arm.model.namespaces == {}


@pytest.mark.parametrize("place", ["before_create", "after_create:2"])
def test_a_provider_killed_in_the_middle_of_create_makes_nothing_twice(cloud, place):
    cloud.write(NAMESPACE, QUEUES)
    done = cloud.dstream("apply", "-auto-approve", DSTREAM_FAULT=place)
    assert done.code == 1, done.said
    recovered(cloud, 3)


@pytest.mark.parametrize("lands", [True, False])
def test_an_engine_killed_while_azure_creates_makes_nothing_twice(cloud, lands):
    cloud.write(NAMESPACE)
    cloud.applied()
    cloud.write(NAMESPACE, QUEUES)
    if lands:  # Azure does it all the same, when everything here is dead
        cloud.arm.fault(f"PUT {QUEUE}.*", delay=2.0)
    else:
        cloud.arm.fault(f"PUT {QUEUE}.*", delay=2.0, status=503)
    running = start(cloud.folder, "apply", "-auto-approve", "-parallelism=1", env=cloud.env)
    until(lambda: cloud.arm.requests("PUT", "/queues/"), "the request for a queue")
    plugins = plugins_under(running.pid)
    assert plugins
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    until(lambda: not any(processes.start_time(plugin) for plugin in plugins), "the end of the plugin")
    recovered(cloud, 3)


def test_a_plugin_killed_in_the_middle_of_create_makes_nothing_twice(cloud, tmp_path):
    cloud.write(NAMESPACE)
    cloud.applied()
    cloud.write(NAMESPACE, QUEUES)
    cloud.arm.fault(f"PUT {QUEUE}.*", delay=2.0)
    running = start(cloud.folder, "apply", "-auto-approve", "-parallelism=1", env=cloud.env)
    until(lambda: cloud.arm.requests("PUT", "/queues/"), "the request for a queue")
    for plugin in plugins_under(running.pid):
        os.kill(plugin, signal.SIGKILL)
    out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 1, out + err
    recovered(cloud, 3)


def test_an_answer_of_azure_that_was_lost_makes_nothing_twice(cloud):
    cloud.write(NAMESPACE)
    cloud.applied()
    cloud.write(NAMESPACE, QUEUES)
    cloud.arm.fault(f"PUT {QUEUE}Persons.*", lost=True)
    done = cloud.dstream("apply", "-auto-approve")
    assert done.code == 1, done.said
    assert "Persons_cdc_events" in cloud.queues()
    again = cloud.dstream("apply", "-auto-approve")
    assert cloud.puts("Persons_cdc_events") == 1
    assert again.code == 1 and "import" in again.said, "an error of the plugin is an answer: a person decides"


def plugins_under(pid: int) -> list[int]:
    """The processes of plugins among the descendants of a process."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                names[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = []
    for each, name in names.items():
        above = each
        while above in parents and above != pid:
            above = parents[above]
        if above == pid and "pulumi-resource-" in name:
            found.append(each)
    return found


def test_no_plugin_outlives_its_provider(cloud):
    cloud.write(NAMESPACE, QUEUES)
    cloud.arm.fault(f"PUT {QUEUE}.*", delay=3.0, times=3)
    running = start(cloud.folder, "apply", "-auto-approve", env=cloud.env)
    until(lambda: cloud.arm.requests("PUT", "/queues/"), "the request for a queue")
    plugins = plugins_under(running.pid)
    assert plugins
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    until(lambda: not any(Path(f"/proc/{each}").exists() for each in plugins), "the plugins to be gone")


def test_the_schema_of_a_type_is_shown_on_demand(cloud):
    cloud.write(NAMESPACE)
    done = cloud.dstream("providers", "schema", "azure-native", "azure-native_servicebus_Queue")
    assert done.code == 0, done.said
    (shown,) = json.loads(done.out).values()
    assert list(shown["resources"]) == ["azure-native_servicebus_Queue"]
    queue = shown["resources"]["azure-native_servicebus_Queue"]
    assert {"namespace_name", "max_delivery_count"} <= set(queue["schema"]["properties"])
    config = '{"plugin": "azure-native"}'
    same = cloud.dstream(
        "providers", "schema", "pulumi", "-provider-config", config, "azure-native_servicebus_Queue", "-role=resource"
    )
    assert json.loads(same.out)["pulumi"]["resources"] == shown["resources"]
    wrong = cloud.dstream("providers", "schema", "azure-native", "azure-native_servicebus_Cue")
    assert wrong.code == 1
    assert "azure-native has no azure-native_servicebus_Cue" in " ".join(wrong.said.split())
    unasked = cloud.dstream("providers", "schema")
    assert unasked.code == 0
    assert "dstream providers schema azure-native TYPE" in unasked.err
    broken = cloud.dstream("providers", "schema", "pulumi", "-provider-config", "[]")
    assert broken.code == 1 and "it is a JSON object" in broken.said
