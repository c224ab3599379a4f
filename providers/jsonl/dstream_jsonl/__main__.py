"""The executables `dstream-in-jsonl` and `dstream-out-jsonl`."""

import sys

from dstream_sdk import main


def run_input() -> None:
    """Run the input."""
    main("dstream_jsonl.reader:PROVIDER")


def run_output() -> None:
    """Run the output."""
    main("dstream_jsonl.writer:PROVIDER")


if __name__ == "__main__":
    run_output() if sys.argv[1:2] == ["out"] else run_input()
