"""History: the receipts of earlier applies, numbered from the oldest that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.setup.operation import Operation
from dstream_state import StateError


class Receipt(Struct, frozen=True):
    """One apply and its number; one that cannot be read has only `unreadable`, the reason."""

    number: int
    content: Mapping[str, Any]


def receipts(operation: Operation, limit: int) -> list[Receipt]:
    """Return the newest receipts, newest first; raise StateError if the backend cannot be read."""
    kept = operation.backend.receipts()
    names = kept.names()
    found = []
    for position, name in enumerate(names[:limit]):
        try:
            content = kept.read(name)
        except StateError as problem:
            content = {"unreadable": str(problem)}
        found.append(Receipt(len(names) - position, content))
    return found


def receipt(operation: Operation, number: int) -> Receipt:
    """Return the receipt with this number; raise DiagnosticsError if there is none."""
    kept = operation.backend.receipts()
    names = kept.names()
    if not 1 <= number <= len(names):
        there = f"There are receipts 1 to {len(names)}" if names else "No apply was recorded yet"
        raise DiagnosticsError(error("No such apply", f"There is no apply {number}. {there}: dstream history"))
    return Receipt(number, kept.read(names[len(names) - number]))
