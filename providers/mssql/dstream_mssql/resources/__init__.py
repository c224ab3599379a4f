"""Resource types: change data capture of a database and of its tables."""

from __future__ import annotations

from typing import Any

from dstream_mssql.resources.cdc_database import CdcDatabase
from dstream_mssql.resources.cdc_table import CdcTable
from dstream_sdk import ResourceType


def resource_types() -> list[ResourceType[Any]]:
    """One instance of each type."""
    return [CdcDatabase(), CdcTable()]
