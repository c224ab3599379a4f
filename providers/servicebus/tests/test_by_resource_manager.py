"""Queues by Azure Resource Manager: a Pulumi program in the provider, planned and applied by dstream's own engine.

The plugin of azure-native is a stand-in that serves real gRPC and talks to the stand-in of Resource Manager.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from dstream_sdk import InvalidError, PlanContext, Stream, decode
from dstream_servicebus.output import ServiceBusOutput
from dstream_servicebus.settings import OutputSettings
from providers.servicebus.tests.conftest import Folder
from providers.servicebus.tests.recorded_in import change
from tests.services.pulumi.serving import install

pytestmark = pytest.mark.timeout(400)  # many commands one after the other, on a machine that may be busy

pytest.importorskip("pulumi_azure_native", reason="pulumi-azure-native is not installed: make azure")

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def azure(folder: Folder, tmp_path: Path) -> Folder:
    """The folder, with the plugin on the PATH and its way to Resource Manager."""
    install(tmp_path / "plugins", "azure-native", "tests.services.pulumi.azure_native")
    path = f"{Path(sys.executable).parent}{os.pathsep}{tmp_path / 'plugins'}{os.pathsep}{os.environ['PATH']}"
    folder.environment |= {"PATH": path, "ARM_METADATA_HOSTNAME": folder.bus.arm.url, "HOME": str(tmp_path / "home")}
    return folder


def write(azure: Folder, more: str = "", namespace: str = "") -> None:
    azure.write(
        f"""
      subscription_id   = "{SUBSCRIPTION}"
      resource_group    = "test-group"
      namespace         = "{namespace or azure.bus.name}"
      {more}
""",
        more="",
    )
    path = azure.path / "dstream.hcl"
    path.write_text(
        path.read_text().replace('provider = "asb"', 'provider = "asb"\n    env = ["ARM_METADATA_HOSTNAME", "HOME"]')
    )


def test_queues_are_made_changed_and_destroyed_and_changes_arrive(azure: Folder) -> None:
    write(azure)
    planned = azure.dstream("plan")
    assert 'task.copy.output.azure-native_servicebus_Queue["Orders_cdc_events"]' in planned.out, planned.said
    azure.apply()
    assert azure.bus.queues == ["Orders_cdc_events", "Persons_cdc_events"]
    queue = azure.bus.model.get(azure.bus.namespace, "queue", "Orders_cdc_events")
    assert queue is not None and queue.properties["requiresDuplicateDetection"] is True
    assert azure.dstream("plan", "-detailed-exitcode").code == 0
    azure.record(change("Orders", 1, n=1))
    azure.run()
    assert [each["data"]["n"] for each in azure.bodies("Orders_cdc_events")] == [1]
    azure.tables.append("Customers")
    write(azure, 'lock_duration = "2m"')
    more = azure.dstream("plan").out
    assert "1 to add, 2 to change, 0 to destroy" in more, more
    azure.apply()
    assert (len(azure.bus.queues), queue.properties["lockDuration"]) == (3, "PT2M")
    azure.bus.model.delete(azure.bus.namespace, "queue", "Customers_cdc_events")
    assert azure.dstream("drift").code == 2
    gone = azure.dstream("destroy", "-auto-approve", "-allow-data-loss")
    assert gone.code == 0, gone.said
    assert azure.bus.queues == []


def test_a_namespace_is_made_where_a_location_is_given(azure: Folder) -> None:
    write(azure, 'location = "westeurope"\n tier = "Premium"', namespace="new-shop-bus")
    azure.apply()
    made = azure.bus.model.namespace("new-shop-bus")
    assert (made.tier, made.names()) == ("Premium", ["Orders_cdc_events", "Persons_cdc_events"])
    gone = azure.dstream("destroy", "-auto-approve", "-allow-data-loss")
    assert gone.code == 0, gone.said
    assert "new-shop-bus" not in azure.bus.model.namespaces


def settings(**more: Any) -> OutputSettings:
    given = {"connection_string": "Endpoint=sb://a.b/;SharedAccessKeyName=k;SharedAccessKey=s", **more}
    return decode(OutputSettings, given)


def test_topics_and_subscriptions_come_from_the_same_program() -> None:
    config = settings(resource_group="rg", namespace="bus", entity="topic", subscriptions=["mail"], ordering="session")
    found = {each.type: each for each in ServiceBusOutput().plan(config, PlanContext("t", (Stream("dbo.Orders"),)))}
    assert set(found) == {"azure-native_servicebus_Topic", "azure-native_servicebus_Subscription"}
    subscription = found["azure-native_servicebus_Subscription"]
    assert subscription.attributes["requires_session"] is True
    assert list(subscription.depends_on) == [("azure-native_servicebus_Topic", "Orders_cdc_events")]


def test_without_the_extra_a_resource_group_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dstream_servicebus.program.installed", lambda: False)
    config = settings(resource_group="rg", namespace="bus")
    with pytest.raises(InvalidError, match="pulumi"):
        ServiceBusOutput().plan(config, PlanContext("t", (Stream("Orders"),)))
