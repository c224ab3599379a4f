"""The provider of each executable. Each function imports only what its executable needs; the driver is imported when a
connection is opened."""

from __future__ import annotations

from dstream_mssql.resources import resource_types
from dstream_sdk import Provider

DISTRIBUTION = "dstream-provider-mssql"


def input_provider() -> Provider:
    """Return the input, with the resource types that its tasks require."""
    from dstream_mssql.input import SqlServerInput

    return Provider("mssql", distribution=DISTRIBUTION, input=SqlServerInput(), resources=resource_types())


def resource_provider() -> Provider:
    """Return the resource types alone, for `resource` blocks."""
    return Provider("mssql", distribution=DISTRIBUTION, resources=resource_types())
