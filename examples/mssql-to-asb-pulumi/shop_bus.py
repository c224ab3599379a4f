#!/usr/bin/env python3
from dstream_pulumi import Plugin, PluginCatalog, collect
from dstream_sdk import Provider, main
from dstream_servicebus.output import ServiceBusOutput
from dstream_servicebus.planning import entities_of

AZURE = Plugin("azure-native", "3.29.0")


def shop_bus(config, queues):
    """The Pulumi program."""
    from pulumi_azure_native import servicebus

    group = config.resource_group
    sku = servicebus.SBSkuArgs(name="Standard", tier="Standard")
    bus = servicebus.Namespace(
        "bus", resource_group_name=group, namespace_name=config.namespace, location=config.location, sku=sku
    )
    place = {"resource_group_name": group, "namespace_name": bus.name}
    unread = servicebus.Topic("unread", topic_name="unread", **place)
    servicebus.Subscription("support", topic_name=unread.name, subscription_name="support", **place)
    for name in queues:
        servicebus.Queue(
            name,
            queue_name=name,
            requires_duplicate_detection=True,
            max_delivery_count=5,
            forward_dead_lettered_messages_to=unread.name,
            **place,
        )


class ShopBus(ServiceBusOutput):
    """The output of the provider asb, over queues that the program describes."""

    def plan(self, config, context):
        queues = entities_of(config, context.task, context.streams)
        return collect(lambda: shop_bus(config, queues), project="shop", plugins=[AZURE])


def plugin_settings(config):
    return {"azure-native": {"subscriptionId": config.subscription_id}}


HOLDS_DATA = [f"azure-native_servicebus_{kind}" for kind in ("Namespace", "Queue", "Topic", "Subscription")]
CATALOG = PluginCatalog([AZURE], settings=plugin_settings, holds_data=HOLDS_DATA)

main(Provider("shop-bus", "1.0", output=ShopBus(), catalog=CATALOG))
