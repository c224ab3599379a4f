"""Providers: the parts of each executable, each imported by its executable only.

psycopg2 is imported when a connection is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dstream_sdk import Provider

DISTRIBUTION = "dstream-provider-postgres"

if TYPE_CHECKING:
    INPUT: Provider
    OUTPUT: Provider
    RESOURCES: Provider


def __getattr__(name: str) -> Provider:
    from dstream_postgres.resources import resource_types

    if name == "INPUT":
        from dstream_postgres.input import PostgresInput

        return Provider("postgres", distribution=DISTRIBUTION, input=PostgresInput(), resources=resource_types())
    if name == "OUTPUT":
        from dstream_postgres.output import PostgresOutput

        return Provider("postgres", distribution=DISTRIBUTION, output=PostgresOutput(), resources=resource_types())
    if name == "RESOURCES":
        return Provider("postgres", distribution=DISTRIBUTION, resources=resource_types())
    raise AttributeError(name)
