"""The executable `dstream-out-log`."""

from dstream_sdk import main


def run() -> None:
    """Run the provider."""
    main("dstream_log.provider:PROVIDER")


if __name__ == "__main__":
    run()
