"""The executable `dstream-resource-pulumi`."""

from dstream_sdk import main


def run() -> None:
    """Serve the resource types of a Pulumi provider plugin."""
    main("dstream_pulumi.provider:PROVIDER")


if __name__ == "__main__":
    run()
