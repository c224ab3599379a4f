"""The provider of each executable. Each function imports only what its executable needs; the client libraries of Azure
and Pulumi are imported on first use."""

from __future__ import annotations

from dstream_sdk import Provider
from dstream_servicebus.resources import resource_types

DISTRIBUTION = "dstream-provider-servicebus"


def input_provider() -> Provider:
    """Return the input, with the resource types."""
    from dstream_servicebus.input import ServiceBusInput

    return Provider("asb", distribution=DISTRIBUTION, input=ServiceBusInput(), resources=resource_types())


def output_provider() -> Provider:
    """Return the output, with the resource types and, with the extra `pulumi`, those of azure-native."""
    from dstream_servicebus.output import ServiceBusOutput
    from dstream_servicebus.program import catalog

    output, kinds = ServiceBusOutput(), resource_types()
    return Provider("asb", distribution=DISTRIBUTION, output=output, resources=kinds, catalog=catalog())


def resource_provider() -> Provider:
    """Return the resource types alone, for `resource` blocks."""
    return Provider("asb", distribution=DISTRIBUTION, resources=resource_types())
