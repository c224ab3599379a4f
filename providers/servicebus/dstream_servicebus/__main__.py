"""The executables `dstream-in-asb`, `dstream-out-asb` and `dstream-resource-asb`."""

import sys

from dstream_sdk import main


def run_input() -> None:
    """Run the input."""
    main("dstream_servicebus.providers:input_provider")


def run_output() -> None:
    """Run the output, which also manages the queues and topics that its tasks require."""
    main("dstream_servicebus.providers:output_provider")


def run_resource() -> None:
    """Serve the resource types for `resource` blocks."""
    main("dstream_servicebus.providers:resource_provider")


if __name__ == "__main__":
    {"in": run_input, "out": run_output, "resource": run_resource}[(sys.argv[1:2] or ["out"])[0]]()
