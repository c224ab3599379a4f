"""The executables `dstream-in-mssql` and `dstream-resource-mssql`."""

import sys

from dstream_sdk import main


def run_input() -> None:
    """Run the input, which also manages the change data capture that its tasks require."""
    main("dstream_mssql.providers:input_provider")


def run_resource() -> None:
    """Serve the resource types for `resource` blocks."""
    main("dstream_mssql.providers:resource_provider")


if __name__ == "__main__":
    {"in": run_input, "resource": run_resource}[(sys.argv[1:2] or ["in"])[0]]()
