"""What the demo holds itself to."""

import json
from pathlib import Path


class Failed(Exception):
    """A step of the story did not do what it says."""


def expect(held: bool, claim: str) -> None:
    """Raise Failed unless the claim held."""
    if not held:
        raise Failed(f"this does not hold: {claim}")


def operations(path: Path) -> dict[tuple[str, int], list[str]]:
    """The operations in a file of envelopes, in order, by table and `id` of the row."""
    found: dict[tuple[str, int], list[str]] = {}
    for line in path.read_text().splitlines():
        metadata = json.loads(line)["metadata"]
        row = (metadata["TableName"], int(metadata["Key"]["id"]))
        found.setdefault(row, []).append(metadata["OperationType"])
    return found
