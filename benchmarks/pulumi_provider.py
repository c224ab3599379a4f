"""The provider of `pulumi_start`: an output that wants a namespace and two queues, by an embedded Pulumi program."""

from collections.abc import Iterable, Mapping
from typing import Any

from dstream_pulumi import Plugin, PluginCatalog, collect
from dstream_sdk import Output, PlanContext, Provider, Resource, main

AZURE = Plugin("azure-native")


class Queues(Output[dict[str, Any]]):
    """Describes queues, and moves nothing."""

    def plan(self, config: dict[str, Any], context: PlanContext) -> Iterable[Resource]:
        """Return what the program asks for."""

        def program() -> None:
            from pulumi_azure_native import servicebus

            space = servicebus.Namespace(
                "main", resource_group_name="streams", namespace_name="dstream-main", location="westeurope"
            )
            for table in ("Orders", "Customers"):
                servicebus.Queue(table, resource_group_name="streams", namespace_name=space.name, queue_name=table)

        return collect(program, plugins=[AZURE])


def settings(config: Any) -> Mapping[str, Any]:
    """Return the plugin's configuration."""
    return {"azure-native": {"subscriptionId": "0", "metadataHost": "http://127.0.0.1:1"}}


if __name__ == "__main__":
    main(Provider("queues", "1.0", output=Queues(), catalog=PluginCatalog([AZURE], settings=settings)))
