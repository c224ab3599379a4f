"""State repair: what is wrong with the stored state, and making it usable again after approval."""

from __future__ import annotations

from dstream.engine.setup.hooks import Observer
from dstream.engine.setup.operation import Operation
from dstream_state import Repair, Snapshot


def examine(operation: Operation) -> Repair:
    """Return what is damaged or missing in the state; nothing is written."""
    return operation.backend.examine()


def repair(operation: Operation, found: Repair, timeout: float, observer: Observer) -> Snapshot:
    """Carry out the steps of `found` under the lock, and return the state as written."""
    return operation.backend.repair(found, timeout=timeout, on_wait=observer.waiting)
