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


def test_keys_of_a_namespace_of_the_program_are_not_asked_for_and_those_of_another_stay_secret():
    """Pulumi's preview asked for the keys of a namespace that did not exist yet (pulumi/pulumi#16312), and they were no
    secrets (pulumi/pulumi-azure-native#1693)."""
    asked = []

    def keys(arguments):
        asked.append(arguments["namespaceName"])
        return {"keyName": "Send", "primaryConnectionString": "Endpoint=sb://there/;SharedAccessKey=abcdefgh"}

    def program():
        import pulumi
        from pulumi_azure_native import servicebus

        at = {"resource_group_name": "streams", "authorization_rule_name": "Send"}
        sku = servicebus.SBSkuArgs(name="Standard")
        new = servicebus.Namespace("new", resource_group_name="streams", namespace_name="new", sku=sku)
        pulumi.export("keys", servicebus.list_namespace_keys_output(namespace_name=new.name, **at))
        there = servicebus.list_namespace_keys(namespace_name="there", **at)
        servicebus.Queue(
            "q", resource_group_name="streams", namespace_name="there", user_metadata=there.primary_connection_string
        )

    token = "azure-native:servicebus:listNamespaceKeys"
    found = {each.key: each for each in collect(program, invokes={token: keys})}
    assert asked == ["there"]
    assert found["q"].sensitive == [("user_metadata",)]
