"""What each executable is made of. Neither the client library of Azure nor Pulumi is imported before it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dstream_sdk import Provider

DISTRIBUTION = "dstream-provider-servicebus"

if TYPE_CHECKING:
    INPUT: Provider
    OUTPUT: Provider
    RESOURCES: Provider


def __getattr__(name: str) -> Provider:
    from dstream_servicebus.resources import resource_types

    if name == "INPUT":
        from dstream_servicebus.input import ServiceBusInput

        return Provider("asb", distribution=DISTRIBUTION, input=ServiceBusInput(), resources=resource_types())
    if name == "OUTPUT":
        from dstream_servicebus.output import ServiceBusOutput
        from dstream_servicebus.program import catalog

        kinds = resource_types()
        output = ServiceBusOutput()
        return Provider("asb", distribution=DISTRIBUTION, output=output, resources=kinds, catalog=catalog())
    if name == "RESOURCES":
        return Provider("asb", distribution=DISTRIBUTION, resources=resource_types())
    raise AttributeError(name)
