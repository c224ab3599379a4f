"""The executable `dstream-in-counter`."""

from dstream_sdk import main


def run() -> None:
    """Run the provider."""
    main("dstream_counter.provider:PROVIDER")


if __name__ == "__main__":
    run()
