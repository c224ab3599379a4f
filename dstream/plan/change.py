"""Change and Drift: the planned change of one object, and a change made outside of dstream.

Attributes are JSON values with `Unknown` for values known after apply, and a fingerprint, `{"$hmac": TEXT}`, for every
sensitive value. A change therefore never holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from dstream.consequences import Consequence
from dstream.plan.action import Action

Attributes = Mapping[str, Any]


class Reason(StrEnum):
    """The reason for an action, besides a difference of attributes; the values are those of the JSON form."""

    NONE = ""
    MISSING = "missing"
    TAINTED = "tainted"
    REQUESTED = "requested"
    TRIGGERED = "replace_triggered_by"
    CANNOT_UPDATE = "cannot_update"
    NOT_IN_CONFIGURATION = "not_in_configuration"
    NOT_WANTED_BY_TASK = "not_wanted_by_task"
    RELEASED = "released_by_task"
    DESTROY = "destroy"
    NEEDS_UNKNOWN = "needs_unknown"


class Change(Struct, frozen=True):
    """The planned change of one object."""

    address: str
    action: Action
    provider: str
    """Name of the provider configuration: `provider.NAME` or the side of a task, `task.T.output`."""
    type: str
    key: str | None = None
    before: Attributes | None = None
    """The real attributes; None if the object does not exist."""
    after: Attributes | None = None
    """The planned attributes; None if the object will not exist."""
    replace_paths: tuple[str, ...] = ()
    """The attributes that force a replacement."""
    reason: Reason = Reason.NONE
    detail: str = ""
    """A sentence on the reason, such as what a deferred object waits for."""
    holds_data: bool = False
    dependencies: tuple[str, ...] = ()
    moved_from: str | None = None
    """The old address of the object, if it moved."""
    importing: Any = None
    """The identity of the imported object; None if it is not imported."""
    consequences: tuple[Consequence, ...] = ()
    """What happens to the data that the object holds."""

    @property
    def changes_state(self) -> bool:
        """Whether an apply changes the object or the state."""
        return self.action is not Action.NO_OP or self.moved_from is not None or self.importing is not None

    @property
    def shown_address(self) -> str:
        """The address as a plan shows it: an object that was replaced and still exists is `(deposed)`."""
        address = self.address.removesuffix("#deposed")
        return self.address if address == self.address else f"{address} (deposed)"

    @property
    def stays(self) -> bool:
        """Whether the object exists and is managed after the apply."""
        return self.after is not None and self.action not in (Action.DELETE, Action.FORGET, Action.DEFERRED)

    @property
    def loses_data(self) -> bool:
        """Whether the change destroys data."""
        return self.holds_data and self.action.destroys


class DriftKind(StrEnum):
    """How the real object differs from the state."""

    CHANGED = "changed"
    MISSING = "missing"
    UNREACHABLE = "unreachable"


class Drift(Struct, frozen=True):
    """One object that differs from the state."""

    address: str
    kind: DriftKind
    type: str
    before: Attributes | None = None
    """The recorded attributes."""
    after: Attributes | None = None
    """The real attributes; None if the object is missing or unreachable."""
    detail: str = ""


class OutputChange(Struct, frozen=True):
    """The planned change of an output value."""

    name: str
    action: Action
    before: Any = None
    after: Any = None
    sensitive: bool = False
