"""A program over the real package pulumi_azure_native."""

import pytest

from dstream_pulumi import Plugin, collect

pytest.importorskip("pulumi_azure_native", reason="pulumi-azure-native is not installed: make azure")


def test_a_namespace_with_queues_and_topics_is_collected():
    def program():
        import pulumi
        from pulumi_azure_native import servicebus

        namespace = servicebus.Namespace(
            "main",
            resource_group_name="streams",
            namespace_name="dstream-main",
            location="westeurope",
            sku=servicebus.SBSkuArgs(name=servicebus.SkuName.STANDARD, tier=servicebus.SkuTier.STANDARD),
            tags={"CostCenter": "42"},
            opts=pulumi.ResourceOptions(protect=True),
        )
        for table in ("Orders", "Customers"):
            servicebus.Queue(
                table,
                resource_group_name="streams",
                namespace_name=namespace.name,
                queue_name=f"{table}_cdc_events",
                max_delivery_count=5,
                requires_duplicate_detection=True,
            )
        pulumi.export("endpoint", namespace.service_bus_endpoint)

    customers, orders, main = sorted(
        collect(program, plugins=[Plugin("azure-native", "3.29.0")]), key=lambda each: each.key
    )
    assert main.type == "azure-native_servicebus_Namespace" and main.prevent_destroy
    assert main.attributes["sku"] == {"name": "Standard", "tier": "Standard"}
    assert main.attributes["tags"] == {"CostCenter": "42"}
    assert orders.type == "azure-native_servicebus_Queue"
    assert orders.attributes == {
        "resource_group_name": "streams",
        "namespace_name": "dstream-main",
        "queue_name": "Orders_cdc_events",
        "max_delivery_count": 5,
        "requires_duplicate_detection": True,
    }
    assert orders.depends_on == customers.depends_on == [("azure-native_servicebus_Namespace", "main")]
    assert ("azure-native_servicebus_v20221001preview_Queue", "Orders") in orders.aliases, "the type of an API version"
