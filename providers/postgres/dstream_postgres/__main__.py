"""The executables `dstream-in-postgres`, `dstream-out-postgres` and `dstream-resource-postgres`."""

import sys

from dstream_sdk import main


def run_input() -> None:
    """Run the input, which also manages the publication and slot that it needs."""
    main("dstream_postgres.providers:input_provider")


def run_output() -> None:
    """Run the output."""
    main("dstream_postgres.providers:output_provider")


def run_resource() -> None:
    """Manage publications, slots and replica identities that are written as resource blocks."""
    main("dstream_postgres.providers:resource_provider")


if __name__ == "__main__":
    {"in": run_input, "out": run_output, "resource": run_resource}[(sys.argv[1:2] or ["in"])[0]]()
