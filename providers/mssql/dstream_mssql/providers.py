"""What each executable is made of. A part is imported when its executable asks for it, the driver not before a
connection is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dstream_sdk import Provider

DISTRIBUTION = "dstream-provider-mssql"

if TYPE_CHECKING:
    INPUT: Provider
    RESOURCES: Provider


def __getattr__(name: str) -> Provider:
    from dstream_mssql.resources import resource_types

    if name == "INPUT":
        from dstream_mssql.input import SqlServerInput

        return Provider("mssql", distribution=DISTRIBUTION, input=SqlServerInput(), resources=resource_types())
    if name == "RESOURCES":
        return Provider("mssql", distribution=DISTRIBUTION, resources=resource_types())
    raise AttributeError(name)
