"""Policy values: `plan` as the conditions of policies see it.

Values known only after apply are unknown, as they are anywhere in an expression. A sensitive value is the text
"(sensitive value)": a condition can tell that there is one, and neither compare nor show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from dstream.consequences import Consequence
from dstream.lang.markers import is_fingerprint
from dstream.plan import Action, Change, Plan, TaskChange

SENSITIVE = "(sensitive value)"


def plan_values(plan: Plan, now: datetime) -> dict[str, Any]:
    """Return the value of `plan`; `now` has the time zone that its `time` is given in."""
    return {
        "mode": plan.mode,
        "workspace": plan.workspace,
        "time": {
            "timestamp": now.isoformat(timespec="seconds"),
            "date": now.date().isoformat(),
            "weekday": _WEEKDAYS[now.weekday()],
            "hour": now.hour,
            "minute": now.minute,
        },
        "counts": plan.counts,
        "changes": [_change(change) for change in plan.changes],
        "tasks": [_task(task) for task in plan.tasks],
        "outputs": [{"name": output.name, "action": str(output.action)} for output in plan.outputs],
    }


_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _change(change: Change) -> dict[str, Any]:
    owner, _, rest = change.address.partition(".")
    return {
        "address": change.shown_address,
        "previous_address": change.moved_from,
        "task": f"{owner}.{rest.partition('.')[0]}" if owner == "task" else None,
        "type": change.type,
        "key": change.key,
        "provider": change.provider,
        "reason": str(change.reason),
        "loses_data": change.loses_data,
        **_both(change.action, change.before, change.after, change.consequences),
    }


def _task(task: TaskChange) -> dict[str, Any]:
    return {
        "address": task.address,
        "previous_address": task.moved_from,
        "streams": list(task.streams),
        **_both(task.action, task.before, task.after, task.consequences),
    }


def _both(
    action: Action,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    consequences: Iterable[Consequence],
) -> dict[str, Any]:
    return {
        "action": str(action),
        "actions": action.steps,
        "before": _clear(before),
        "after": _clear(after),
        "consequences": [each.to_json() for each in consequences],
    }


def _clear(value: Any) -> Any:
    """Return a value with a text in place of each fingerprint."""
    if is_fingerprint(value):
        return SENSITIVE
    if isinstance(value, Mapping):
        return {name: _clear(each) for name, each in value.items()}
    return [_clear(each) for each in value] if isinstance(value, list | tuple) else value
