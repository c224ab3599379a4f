"""The entities by Azure Resource Manager: an ordinary Pulumi program, embedded in this provider.

dstream's engine plans and applies its resources through the plugin azure-native. Nothing here is imported unless a
configuration has a resource group.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dstream_sdk import InvalidError, Resource
from dstream_servicebus import durations
from dstream_servicebus.clients import SUFFIX
from dstream_servicebus.planning import receiving_of, settings_of
from dstream_servicebus.settings import OutputSettings

if TYPE_CHECKING:
    from dstream_sdk import Catalog

VERSION = "3.29.0"
_ENTITIES = ("Queue", "Topic", "Subscription", "Namespace")
_TIMES = ("lock_duration", "duplicate_detection_history_time_window", "default_message_time_to_live")


def installed() -> bool:
    """Return whether the extra `pulumi` is installed."""
    return importlib.util.find_spec("dstream_pulumi") is not None


def catalog() -> Catalog[Any] | None:
    """Return the resource types of the plugin azure-native, or None without the extra `pulumi`."""
    if not installed():
        return None
    from dstream_pulumi import Plugin, PluginCatalog

    types = [f"azure-native_servicebus_{each}" for each in _ENTITIES]
    return PluginCatalog([Plugin("azure-native", VERSION)], settings=_plugin_settings, holds_data=types)


def _plugin_settings(config: Any) -> Mapping[str, Mapping[str, Any]]:
    known = {"subscriptionId": getattr(config, "subscription_id", "")}
    return {"azure-native": {name: value for name, value in known.items() if value}}


def resources(config: OutputSettings, names: Sequence[str]) -> list[Resource]:
    """Return the entities, and the namespace if a location is configured."""
    if not installed() or importlib.util.find_spec("pulumi_azure_native") is None:
        raise InvalidError(
            "Pulumi is not installed",
            "resource_group creates queues by Azure Resource Manager, through Pulumi: install "
            "dstream-provider-servicebus[pulumi], or leave resource_group out and give a connection string",
            path="config.resource_group",
        )
    from dstream_pulumi import Plugin, collect

    def program() -> None:
        entities(config, names)

    return collect(program, project="dstream-asb", plugins=[Plugin("azure-native", VERSION)])


def entities(config: OutputSettings, names: Sequence[str]) -> None:
    """The Pulumi program."""
    import pulumi

    servicebus: Any = import_module("pulumi_azure_native.servicebus")  # large, and not installed for type checks
    namespace = config.namespace.removesuffix(SUFFIX)
    place = {"resource_group_name": config.resource_group, "namespace_name": namespace}
    after: list[pulumi.Resource] = []
    if config.location:
        sku = servicebus.SBSkuArgs(name=config.tier, tier=config.tier)
        more = {"location": config.location, "sku": sku}
        after.append(servicebus.Namespace(namespace, **place, **more))
    for name in names:
        options = pulumi.ResourceOptions(depends_on=after)
        shared = _iso(settings_of(config))
        if config.tier == "Premium":
            del shared["enable_partitioning"]  # the namespace decides; a configured value would differ at every plan
        if config.entity == "queue":
            own = {**_iso(receiving_of(config)), **shared}
            servicebus.Queue(name, queue_name=name, **place, **own, opts=options)
            continue
        topic = servicebus.Topic(name, topic_name=name, **place, **shared, opts=options)
        kept = {
            **_iso(receiving_of(config)),
            **{k: v for k, v in shared.items() if k == "default_message_time_to_live"},
        }
        for each in config.subscriptions:
            options = pulumi.ResourceOptions(depends_on=[topic])
            at = {"topic_name": name, "subscription_name": each}
            servicebus.Subscription(f"{name}-{each}", **place, **at, **kept, opts=options)


def _iso(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: durations.iso(value) if name in _TIMES else value for name, value in attributes.items()}
