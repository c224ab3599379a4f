"""The flagship with its namespace, queues and topic from an embedded Pulumi program, told as the example's commands.

The program runs over the real pulumi and pulumi_azure_native; the plugin of azure-native, Azure and SQL Server are
stand-ins that speak the real protocols.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.commands import PROGRAMS, dstream, example
from tests.services.azure.running import service_bus
from tests.services.mssql.server import SqlServer
from tests.services.pulumi.serving import install

pytest.importorskip("pulumi_azure_native", reason="pulumi-azure-native is not installed: make azure")

pytestmark = pytest.mark.timeout(400)  # many commands one after the other, on a machine that may be busy

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
TABLES = ("Persons", "Orders", "Customers")
QUEUES = sorted(f"{name}_cdc_events" for name in TABLES)


def test_the_example_from_init_to_destroy(tmp_path: Path, home: Path) -> None:
    folder = example("mssql-to-asb-pulumi", tmp_path)
    install(tmp_path / "plugins", "azure-native", "tests.services.pulumi.azure_native")
    with SqlServer() as server, service_bus("shop-bus") as bus:
        database = server.create_database("shop")
        for name in TABLES:
            database.create_table(name, "Id int primary key, Name nvarchar(50), Total decimal(10, 2)")
        env = {
            "SQL_CONNECTION": server.connection_string("shop"),
            "ARM_SUBSCRIPTION_ID": SUBSCRIPTION,
            "ARM_METADATA_HOSTNAME": bus.arm.url,
            "DSTREAM_VAR_asb_connection": bus.connection_string,  # the key is the same for a namespace of this name
            "PATH": os.pathsep.join([str(PROGRAMS), str(tmp_path / "plugins"), os.environ["PATH"]]),
            "HOME": str(home),
            **bus.environment,
        }
        bus.model.delete_namespace("shop-bus")
        bus.model.put_group(SUBSCRIPTION, "streams")

        def good(*arguments: str, code: int = 0) -> str:
            ended = dstream(folder, *arguments, env=env, timeout=200)
            assert ended.code == code, ended.said
            return ended.out

        planned = good("plan", "-detailed-exitcode", code=2)
        for kind, key in (("Namespace", "bus"), ("Topic", "unread"), *(("Queue", queue) for queue in QUEUES)):
            assert f'task.mssql-to-asb.output.azure-native_servicebus_{kind}["{key}"]' in planned
        assert "shop-bus" not in bus.model.namespaces

        good("init", "mssql-to-asb", "-auto-approve")
        made = bus.model.namespace("shop-bus")
        assert (made.group, made.names("queue"), made.names("topic")) == ("streams", QUEUES, ["unread"])
        queue = bus.model.get(made, "queue", QUEUES[0])
        assert queue is not None and queue.properties["forwardDeadLetteredMessagesTo"] == "unread"
        good("plan", "-detailed-exitcode")

        with database.transaction() as t:
            t.insert("Persons", Id=1, Name="Ann")
            t.insert("Orders", Id=7, Name="first", Total="12.50")
        good("run", "mssql-to-asb", "-until-idle")
        [message] = bus.store("Orders_cdc_events").history
        assert (message.json()["metadata"]["OperationType"], message.json()["data"]["Id"]) == ("Insert", 7)
        assert [each.json()["data"]["Name"] for each in bus.store("Persons_cdc_events").history] == ["Ann"]

        refused = dstream(folder, "destroy", "mssql-to-asb", "-auto-approve", env=env)
        assert refused.code == 1 and made.names("queue") == QUEUES, refused.said
        good("destroy", "mssql-to-asb", "-auto-approve", "-allow-data-loss")
        assert "shop-bus" not in bus.model.namespaces
        assert not any(table.tracked for table in database.tables.values())
