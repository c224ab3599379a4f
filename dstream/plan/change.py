"""Change and Drift: what a plan does with one object, and what was found changed outside.

Attributes here are JSON values in which an `Unknown` stands for what is known after apply and a fingerprint,
`{"$hmac": TEXT}`, for every sensitive value: a change holds no secret, so neither does anything made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dstream.plan.action import Action

Attributes = Mapping[str, Any]


class Reason(StrEnum):
    """Why an action was chosen, where it is more than a difference of attributes; values are for the JSON form."""

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


@dataclass(frozen=True, slots=True)
class Change:
    """What a plan does with one object."""

    address: str
    action: Action
    provider: str
    """Name of the provider configuration: `provider.NAME` or the side of a task, `task.T.output`."""
    type: str
    key: str | None = None
    before: Attributes | None = None
    """Attributes as they really are; None where the object does not exist."""
    after: Attributes | None = None
    """Attributes as they will be; None where the object will not exist."""
    replace_paths: tuple[str, ...] = ()
    """The attributes that force a replacement."""
    reason: Reason = Reason.NONE
    detail: str = ""
    """A sentence on the reason, such as what a deferred object waits for."""
    holds_data: bool = False
    dependencies: tuple[str, ...] = ()
    moved_from: str | None = None
    """The earlier address of the object."""
    importing: Any = None
    """The identity of an object that exists and is taken over; None where none is."""

    @property
    def changes_state(self) -> bool:
        """Whether an apply would do anything about it, if only in the state."""
        return self.action is not Action.NO_OP or self.moved_from is not None or self.importing is not None

    @property
    def stays(self) -> bool:
        """Whether the object exists afterwards, and is managed."""
        return self.after is not None and self.action not in (Action.DELETE, Action.FORGET, Action.DEFERRED)

    @property
    def loses_data(self) -> bool:
        """Whether carrying this out destroys data."""
        return self.holds_data and self.action.destroys


class DriftKind(StrEnum):
    """How reality differs from what the state records."""

    CHANGED = "changed"
    MISSING = "missing"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Drift:
    """One object that is not as the state records it."""

    address: str
    kind: DriftKind
    type: str
    before: Attributes | None = None
    """The recorded attributes."""
    after: Attributes | None = None
    """The real attributes; None where the object is missing or could not be asked."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class OutputChange:
    """What a plan does with the value of an `output` block."""

    name: str
    action: Action
    before: Any = None
    after: Any = None
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class TaskNote:
    """What a plan says about a task beside its objects."""

    address: str
    applied: bool
    """Whether its configuration is what was last applied."""
    removed: bool = False
    """Whether it was applied and is to be no more."""
    streams: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
