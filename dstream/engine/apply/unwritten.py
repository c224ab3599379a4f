"""Unwritten state: saves a state beside the configuration if the backend cannot be written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dstream.engine.setup.operation import Operation
from dstream_state import Held, Intent, Record
from dstream_state.state_files import ERRORED, ORPHANS, save_errored, save_orphans


def save_unwritten(operation: Operation, held: Held, records: Sequence[Record] = ()) -> Path:
    """Save the state and the unjournaled `records` beside the configuration; return the path."""
    file = operation.root / ERRORED
    save_errored(file, held, operation.encryption, records)
    return file


def save_late_results(operation: Operation, held: Held, intents: Sequence[Intent]) -> Path:
    """Save the objects that providers created after the lock was lost beside the configuration; return the path."""
    file = operation.root / ORPHANS
    save_orphans(file, held.snapshot.lineage, intents, operation.encryption)
    return file
