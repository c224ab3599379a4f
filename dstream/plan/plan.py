"""Plan: everything that an apply would do, in the order of addresses, and its JSON form.

The JSON follows Terraform's plan representation (https://developer.hashicorp.com/terraform/internals/json-format)
as far as the same things exist here, so that tools for the one can be adapted to the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstream.diagnostics import Diagnostic
from dstream.lang import Unknown
from dstream.plan.action import Action
from dstream.plan.change import Attributes, Change, Drift, DriftKind, OutputChange, TaskNote

FORMAT_VERSION = "1.0"


@dataclass(frozen=True, slots=True)
class Plan:
    """What an apply would do, and what was found on the way."""

    changes: tuple[Change, ...] = ()
    drifts: tuple[Drift, ...] = ()
    outputs: tuple[OutputChange, ...] = ()
    tasks: tuple[TaskNote, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    destroy: bool = False
    lineage: str | None = None
    serial: int = 0
    pending: int = 0
    """Records of an unfinished operation that were laid over the state; such a plan is not applied."""

    @property
    def counts(self) -> dict[str, int]:
        """How many objects are added, changed, destroyed, deferred; a replacement adds one and destroys one."""
        found = Counter(change.action for change in self.changes)
        replaced = found[Action.REPLACE] + found[Action.CREATE_THEN_DELETE]
        return {
            "add": found[Action.CREATE] + replaced,
            "change": found[Action.UPDATE],
            "destroy": found[Action.DELETE] + replaced,
            "forget": found[Action.FORGET],
            "deferred": found[Action.DEFERRED],
            "move": sum(change.moved_from is not None for change in self.changes),
            "import": sum(change.importing is not None for change in self.changes),
        }

    @property
    def has_changes(self) -> bool:
        """Whether an apply would do anything that a user sees: objects, outputs, or a task not yet applied."""
        return (
            any(change.changes_state for change in self.changes)
            or any(change.action is not Action.NO_OP for change in self.outputs)
            or any(not note.applied for note in self.tasks)
        )

    @property
    def has_drift(self) -> bool:
        """Whether any object was found changed or missing."""
        return any(drift.kind is not DriftKind.UNREACHABLE for drift in self.drifts)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values; it holds no secret, since changes hold none."""
        return {
            "format_version": FORMAT_VERSION,
            "mode": "destroy" if self.destroy else "normal",
            "lineage": self.lineage,
            "serial": self.serial,
            "summary": self.counts,
            "resource_changes": [_change(change) for change in self.changes],
            "resource_drift": [drift_json(drift) for drift in self.drifts],
            "output_changes": {output.name: _output(output) for output in self.outputs},
            "tasks": [
                {
                    "address": note.address,
                    "applied": note.applied,
                    "removed": note.removed,
                    "streams": list(note.streams),
                    "notes": list(note.notes),
                }
                for note in self.tasks
            ],
            "diagnostics": [diagnostic.to_json() for diagnostic in self.diagnostics],
        }


def _change(change: Change) -> dict[str, Any]:
    return {
        "address": change.address,
        "previous_address": change.moved_from,
        "type": change.type,
        "key": change.key,
        "provider": change.provider,
        "change": {
            "actions": change.action.steps,
            "before": _shown(change.before),
            "after": known(change.after),
            "after_unknown": unknown_part(change.after) or {},
            "before_sensitive": sensitive_part(change.before) or {},
            "after_sensitive": sensitive_part(change.after) or {},
            "replace_paths": [[path] for path in change.replace_paths],
            "importing": None if change.importing is None else {"identity": change.importing},
        },
        "action_reason": str(change.reason) or None,
        "detail": change.detail or None,
        "loses_data": change.loses_data,
        "dependencies": list(change.dependencies),
    }


def drift_json(drift: Drift) -> dict[str, Any]:
    """Return one object that is not as recorded, as JSON values."""
    return {
        "address": drift.address,
        "type": drift.type,
        "kind": str(drift.kind),
        "change": {"before": _shown(drift.before), "after": _shown(drift.after)},
        "detail": drift.detail or None,
    }


def _output(output: OutputChange) -> dict[str, Any]:
    return {
        "actions": output.action.steps,
        "before": None if output.sensitive else output.before,
        "after": None if output.sensitive else known(output.after),
        "after_unknown": unknown_part(output.after) or False,
        "sensitive": output.sensitive,
    }


def is_fingerprint(value: Any) -> bool:
    """Tell whether a value stands for a sensitive one."""
    return isinstance(value, dict) and len(value) == 1 and "$hmac" in value


def known(value: Any) -> Any:
    """Return the value without its unknown and sensitive parts: absent from objects, null in lists."""
    if isinstance(value, Unknown) or is_fingerprint(value):
        return None
    if isinstance(value, Mapping):
        return {
            name: known(inner)
            for name, inner in value.items()
            if not isinstance(inner, Unknown) and not is_fingerprint(inner)
        }
    if isinstance(value, list | tuple):
        return [known(inner) for inner in value]
    return value


def _shown(value: Attributes | None) -> Any:
    return None if value is None else known(value)


def unknown_part(value: Any) -> Any:
    """Return true where the value is unknown, an object of such parts, or None where all is known."""
    return _part(value, lambda inner: isinstance(inner, Unknown))


def sensitive_part(value: Any) -> Any:
    """Return true where the value is sensitive, an object of such parts, or None where nothing is."""
    return _part(value, is_fingerprint)


def _part(value: Any, test: Any) -> Any:
    if test(value):
        return True
    if isinstance(value, Mapping):
        return {name: part for name, inner in value.items() if (part := _part(inner, test))} or None
    if isinstance(value, list | tuple):
        parts = [_part(inner, test) for inner in value]
        return [part or False for part in parts] if any(parts) else None
    return None
