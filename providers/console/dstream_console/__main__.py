"""The executable `dstream-out-console`."""

from dstream_sdk import main


def run() -> None:
    """Run the provider."""
    main("dstream_console.provider:PROVIDER")


if __name__ == "__main__":
    run()
