"""Unwritten state: what an operation could not write to its backend is saved beside the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dstream.engine.setup.operation import Operation
from dstream_state import Held, Intent, Record
from dstream_state.state_files import ERRORED, ORPHANS, save_errored, save_orphans


def save_unwritten(operation: Operation, held: Held, records: Sequence[Record] = ()) -> Path:
    """Save what could not be written beside the configuration, and return where; `records` are in no journal."""
    file = operation.root / ERRORED
    save_errored(file, held, operation.encryption, records)
    return file


def save_late_results(operation: Operation, held: Held, intents: Sequence[Intent]) -> Path:
    """Save creations that providers answered when the lock was lost beside the configuration, and return where."""
    file = operation.root / ORPHANS
    save_orphans(file, held.snapshot.lineage, intents, operation.encryption)
    return file
