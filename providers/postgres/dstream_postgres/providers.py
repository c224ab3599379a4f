"""The provider of each executable. Each function imports only what its executable needs; psycopg2 is imported when a
connection is opened."""

from __future__ import annotations

from dstream_postgres.resources import resource_types
from dstream_sdk import Provider

DISTRIBUTION = "dstream-provider-postgres"


def input_provider() -> Provider:
    """Return the input, with the resource types that its tasks require."""
    from dstream_postgres.input import PostgresInput

    return Provider("postgres", distribution=DISTRIBUTION, input=PostgresInput(), resources=resource_types())


def output_provider() -> Provider:
    """Return the output, with the resource types."""
    from dstream_postgres.output import PostgresOutput

    return Provider("postgres", distribution=DISTRIBUTION, output=PostgresOutput(), resources=resource_types())


def resource_provider() -> Provider:
    """Return the resource types alone, for `resource` blocks."""
    return Provider("postgres", distribution=DISTRIBUTION, resources=resource_types())
