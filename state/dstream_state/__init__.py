"""State: one document under a lock, a journal of changes in progress, and the checkpoints of tasks.

    backend = open_backend("local", {}, root=Path("."))
    with backend.lock("apply") as held:
        held.append([Intent(...)])          # durable, before the provider is called
        held.append([Result(...)])          # durable, before anything that depends on it
        held.finish()
    view = backend.read()                   # without a lock: snapshot, pending records, holder

Names are loaded when they are first used: importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dstream_state.apply_records import Overlay, overlay
    from dstream_state.backend import (
        Backend,
        Checkpoint,
        DeadLetter,
        DeadLetters,
        Held,
        HistoryEntry,
        Moved,
        Receipts,
        TaskLease,
        TaskStore,
        TaskView,
        View,
    )
    from dstream_state.backend_registry import open_backend
    from dstream_state.encryption import Encryption
    from dstream_state.encryption_settings import open_encryption
    from dstream_state.errors import (
        EncryptionRequired,
        FormatTooNew,
        JournalMismatch,
        KeyUnavailable,
        LeaseLost,
        SettingsError,
        StateConflict,
        StateDamaged,
        StateError,
        StateLocked,
        StateMismatch,
        StateMoved,
        StateUnavailable,
        WrongKey,
    )
    from dstream_state.fingerprints import fingerprint
    from dstream_state.holder import Holder
    from dstream_state.objects import NO_TIMEOUTS, TIMED, ObjectState, OutputState, ProviderState, TaskState, Timeouts
    from dstream_state.records import Drop, Intent, ProcessStarted, Put, PutOutput, PutProvider, PutTask, Record, Result
    from dstream_state.repair_findings import Repair
    from dstream_state.snapshot import FORMAT_VERSION, Snapshot
    from dstream_state.v1_lifecycle import V1_LIFECYCLE

_HOMES = {
    "backend": "Backend Checkpoint DeadLetter DeadLetters Held HistoryEntry Moved Receipts TaskLease TaskStore TaskView"
    " View",
    "repair_findings": "Repair",
    "snapshot": "FORMAT_VERSION Snapshot",
    "encryption": "Encryption",
    "encryption_settings": "open_encryption",
    "errors": "EncryptionRequired FormatTooNew JournalMismatch KeyUnavailable LeaseLost SettingsError StateConflict"
    " StateDamaged StateError StateLocked StateMismatch StateMoved"
    " StateUnavailable WrongKey",
    "fingerprints": "fingerprint",
    "holder": "Holder",
    "objects": "NO_TIMEOUTS TIMED ObjectState OutputState ProviderState TaskState Timeouts",
    "backend_registry": "open_backend",
    "apply_records": "Overlay overlay",
    "records": "Drop Intent ProcessStarted Put PutOutput PutProvider PutTask Record Result",
    "v1_lifecycle": "V1_LIFECYCLE",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


__all__ = [
    "FORMAT_VERSION",
    "NO_TIMEOUTS",
    "TIMED",
    "V1_LIFECYCLE",
    "Backend",
    "Checkpoint",
    "DeadLetter",
    "DeadLetters",
    "Drop",
    "Encryption",
    "EncryptionRequired",
    "FormatTooNew",
    "Held",
    "HistoryEntry",
    "Holder",
    "Intent",
    "JournalMismatch",
    "KeyUnavailable",
    "LeaseLost",
    "Moved",
    "ObjectState",
    "OutputState",
    "Overlay",
    "ProcessStarted",
    "ProviderState",
    "Put",
    "PutOutput",
    "PutProvider",
    "PutTask",
    "Receipts",
    "Record",
    "Repair",
    "Result",
    "SettingsError",
    "Snapshot",
    "StateConflict",
    "StateDamaged",
    "StateError",
    "StateLocked",
    "StateMismatch",
    "StateMoved",
    "StateUnavailable",
    "TaskLease",
    "TaskState",
    "TaskStore",
    "TaskView",
    "Timeouts",
    "View",
    "WrongKey",
    "fingerprint",
    "open_backend",
    "open_encryption",
    "overlay",
]
