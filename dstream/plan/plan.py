"""Plan: all changes of an apply, ordered by address, and its JSON form.

The JSON follows Terraform's plan representation (https://developer.hashicorp.com/terraform/internals/json-format) where
both have the same concept, so that tools can be adapted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict

from dstream import __version__
from dstream.addresses import DerivedAddress, ResourceAddress, parse_address
from dstream.consequences import Consequence, label_counts
from dstream.diagnostics import Diagnostic
from dstream.lang import Unknown
from dstream.lang.confinement import Withheld
from dstream.lang.markers import is_fingerprint
from dstream.plan.action import Action
from dstream.plan.change import Attributes, Change, Drift, DriftKind, OutputChange
from dstream.plan.policy_check import PolicyCheck
from dstream.plan.task_change import TaskChange, task_counts

FORMAT_VERSION = "1.0"


class Plan(Struct, frozen=True):
    """The changes of an apply, and the drift and diagnostics found while planning."""

    changes: tuple[Change, ...] = ()
    drifts: tuple[Drift, ...] = ()
    outputs: tuple[OutputChange, ...] = ()
    tasks: tuple[TaskChange, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    destroy: bool = False
    refresh_only: bool = False
    """Whether it only updates the state to match the real objects."""
    lineage: str | None = None
    serial: int = 0
    pending: int = 0
    """The number of records of an unfinished operation in the prior state; such a plan cannot be applied."""
    workspace: str = "default"
    variables: Mapping[str, Any] = field(default_factory=dict)
    """The values of variables, with fingerprints for sensitive ones."""
    made_at: str = ""
    left_out: tuple[Withheld, ...] | None = None
    """What the plan of a configuration that is not trusted leaves out; None for one that is trusted."""
    policies: tuple[PolicyCheck, ...] = ()
    """The policies that it was held against; the diagnostics have what they do not allow."""

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of objects to add, change, destroy and defer; a replacement adds one and destroys one."""
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
        """Whether an apply would change objects, outputs, or apply a task."""
        if self.refresh_only:
            return self.has_drift or any(change.action is not Action.NO_OP for change in self.outputs)
        return (
            any(change.changes_state for change in self.changes)
            or any(change.action is not Action.NO_OP for change in self.outputs)
            or any(not task.applied for task in self.tasks)
        )

    @property
    def allowed(self) -> bool:
        """Whether no mandatory policy forbids to apply it."""
        return all(check.met or check.advisory for check in self.policies)

    @property
    def consequences(self) -> list[tuple[str, Consequence]]:
        """What happens to the data, with the address: of changed objects, and of tasks that the plan shows."""
        of_objects = [(change.shown_address, each) for change in self.changes for each in change.consequences]
        shown = (task for task in self.tasks if task.worth_showing)
        return of_objects + [(task.address, each) for task in shown for each in task.consequences]

    @property
    def mode(self) -> str:
        """The kind of the plan in the JSON form."""
        return "refresh-only" if self.refresh_only else "destroy" if self.destroy else "normal"

    @property
    def has_drift(self) -> bool:
        """Whether any object is changed or missing."""
        return any(drift.kind is not DriftKind.UNREACHABLE for drift in self.drifts)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values, without secrets."""
        return {
            "format_version": FORMAT_VERSION,
            "dstream_version": __version__,
            "timestamp": self.made_at or None,
            "mode": self.mode,
            "workspace": self.workspace,
            "variables": {name: _variable(self.variables[name]) for name in sorted(self.variables)},
            "lineage": self.lineage,
            "serial": self.serial,
            "pending": self.pending,
            "applyable": self.has_changes and self.left_out is None and self.allowed,
            "complete": not self.counts["deferred"] and not self.left_out,
            "errored": False,
            "summary": {
                **self.counts,
                "tasks": task_counts(self.tasks),
                "consequences": label_counts(each for _, each in self.consequences),
            },
            "planned_values": {
                "outputs": {output.name: _planned_output(output) for output in self.outputs if _stays(output)},
                "root_module": {"resources": [_planned(change) for change in self.changes if change.stays]},
            },
            "resource_changes": [_change(change) for change in self.changes],
            "resource_drift": [drift_json(drift) for drift in self.drifts],
            "output_changes": {output.name: _output(output) for output in self.outputs},
            "tasks": [
                {
                    "address": task.address,
                    "applied": task.applied,
                    "removed": task.removed,
                    "streams": list(task.streams),
                    "notes": list(task.notes),
                }
                for task in self.tasks
            ],
            "task_changes": [_task_change(task) for task in self.tasks],
            "diagnostics": [diagnostic.to_json() for diagnostic in self.diagnostics],
            "policies": [asdict(check) for check in self.policies],
            **({} if self.left_out is None else {"untrusted": True, "left_out": list(map(asdict, self.left_out))}),
        }


def no_plan_json(diagnostics: Iterable[Diagnostic]) -> dict[str, Any]:
    """Return the JSON values that replace a plan that could not be made."""
    return {
        "format_version": FORMAT_VERSION,
        "dstream_version": __version__,
        "applyable": False,
        "complete": False,
        "errored": True,
        "diagnostics": [diagnostic.to_json() for diagnostic in diagnostics],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "address": change.address,
        "previous_address": change.moved_from,
        **_named(change),
        "key": change.key,
        "provider": change.provider,
        "change": {
            "actions": change.action.steps,
            **_both_sides(change.before, change.after),
            "after_unknown": unknown_part(change.after) or {},
            "replace_paths": [[path] for path in change.replace_paths],
            "importing": None if change.importing is None else {"identity": change.importing},
        },
        "action_reason": str(change.reason) or None,
        "detail": change.detail or None,
        "loses_data": change.loses_data,
        "consequences": [each.to_json() for each in change.consequences],
        "dependencies": list(change.dependencies),
    }


def _task_change(task: TaskChange) -> dict[str, Any]:
    return {
        "address": task.address,
        "previous_address": task.moved_from,
        "change": {
            "actions": task.action.steps,
            **_both_sides(task.before, task.after),
            "after_unknown": unknown_part(task.after) or {},
        },
        "streams": {
            "all": list(task.streams),
            "new": list(task.new_streams),
            "lost": list(task.lost_streams),
        },
        "notes": list(task.notes),
        "consequences": [each.to_json() for each in task.consequences],
        "unassessed": task.unassessed or None,
    }


def _named(change: Change) -> dict[str, Any]:
    """Return the parts of an address as in Terraform's form; the name of a task's object is its key."""
    address = parse_address(change.address.partition("#")[0])
    name, index, task = change.key or "", None, None
    if isinstance(address, ResourceAddress):
        name, index = address.name, address.key
    elif isinstance(address, DerivedAddress):
        task = str(address.task)
    return {
        "task": task,
        "mode": "managed",
        "type": change.type,
        "name": name,
        "index": index,
        "provider_name": change.provider,
    }


def _both_sides(before: Attributes | None, after: Attributes | None) -> dict[str, Any]:
    return {
        "before": _shown(before),
        "after": _shown(after),
        "before_sensitive": sensitive_part(before) or {},
        "after_sensitive": sensitive_part(after) or {},
        "sensitive_changes": [list(path) for path in sensitive_changes(before, after)],
    }


def _planned(change: Change) -> dict[str, Any]:
    """Return the planned values of one object."""
    return {
        "address": change.address,
        **_named(change),
        "values": _shown(change.after),
        "sensitive_values": sensitive_part(change.after) or {},
    }


def _planned_output(output: OutputChange) -> dict[str, Any]:
    return {"sensitive": output.sensitive, **({} if output.sensitive else {"value": known(output.after)})}


def _stays(output: OutputChange) -> bool:
    return output.action is not Action.DELETE


def _variable(value: Any) -> dict[str, Any]:
    return {"sensitive": True} if sensitive_part(value) else {"value": known(value)}


def drift_json(drift: Drift) -> dict[str, Any]:
    """Return a drift as JSON values."""
    return {
        "address": drift.address,
        "type": drift.type,
        "kind": str(drift.kind),
        "change": _both_sides(drift.before, drift.after),
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
    """Return true for an unknown value, a collection of such parts, or None if all is known."""
    return _part(value, lambda inner: isinstance(inner, Unknown))


def sensitive_part(value: Any) -> Any:
    """Return true for a sensitive value, a collection of such parts, or None if nothing is."""
    return _part(value, is_fingerprint)


def sensitive_changes(before: Any, after: Any, here: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the paths at which both sides are sensitive and differ, in order."""
    if is_fingerprint(before) and is_fingerprint(after):
        return [here] if before != after else []
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        shared: list[Any] = sorted(before.keys() & after.keys())
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple):
        shared = list(range(min(len(before), len(after))))
    else:
        return []
    return [path for step in shared for path in sensitive_changes(before[step], after[step], (*here, step))]


def _part(value: Any, test: Any) -> Any:
    if test(value):
        return True
    if isinstance(value, Mapping):
        return {name: part for name, inner in value.items() if (part := _part(inner, test))} or None
    if isinstance(value, list | tuple):
        parts = [_part(inner, test) for inner in value]
        return [part or False for part in parts] if any(parts) else None
    return None
