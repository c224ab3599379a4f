"""What each executable is made of. A function imports only what its executable needs; the driver is imported when a
connection is opened."""

from __future__ import annotations

from dstream_mssql.resources import resource_types
from dstream_sdk import Provider

DISTRIBUTION = "dstream-provider-mssql"


def input_provider() -> Provider:
    """Return the input, which also manages the change data capture it needs."""
    from dstream_mssql.input import SqlServerInput

    return Provider("mssql", distribution=DISTRIBUTION, input=SqlServerInput(), resources=resource_types())


def resource_provider() -> Provider:
    """Return the resource types, for change data capture written as resource blocks."""
    return Provider("mssql", distribution=DISTRIBUTION, resources=resource_types())
