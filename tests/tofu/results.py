"""Results: what one step shows, in one form for OpenTofu and dstream."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Event:
    """The start or the end of an action on one object; `action` is create, update or delete."""

    kind: str
    action: str
    address: str


@dataclass
class Result:
    """What a step shows. Ids are replaced by `<id>`, since each program makes its own."""

    refused: list[str] = field(default_factory=list)
    """Why the plan is refused, empty if it is not."""
    plan: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The changes by address."""
    outputs: dict[str, list[str]] = field(default_factory=dict)
    """The actions on output values that change."""
    failed: list[str] = field(default_factory=list)
    """Why the apply fails."""
    events: list[Event] = field(default_factory=list)
    state: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The objects afterwards by address."""
    kept: dict[str, str] = field(default_factory=dict)
    """The addresses that objects had before the step, by their address afterwards."""
    again_refused: list[str] = field(default_factory=list)
    again: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The next plan."""


def anonymous(value: Any) -> Any:
    """Return a value without generated ids, and without nulls in objects."""
    if isinstance(value, str):
        return _UUID.sub("<id>", value)
    if isinstance(value, dict):
        return {name: anonymous(inner) for name, inner in value.items() if inner is not None}
    return [anonymous(inner) for inner in value] if isinstance(value, list | tuple) else value


def kept(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """Return where the objects of a state were before; both have ids by address."""
    old = {id_: address for address, id_ in before.items()}
    return {address: old[id_] for address, id_ in sorted(after.items()) if id_ in old}


def change(form: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of `resource_changes`, which both programs write alike, as far as it is compared."""
    inner = form["change"]
    unknown = inner.get("after_unknown") or {}
    importing = inner.get("importing") or {}
    found = {
        "actions": "-".join(inner["actions"]),
        "reason": form.get("action_reason"),
        "replace_paths": sorted(str(path[0]) for path in inner.get("replace_paths") or []),
        "previous": form.get("previous_address"),
        "importing": importing.get("id") or (importing.get("identity") or {}).get("id"),
        "after": anonymous(inner.get("after")),
        "unknown": sorted(name for name, value in unknown.items() if _marked(value)),
    }
    return {name: value for name, value in found.items() if value or value == {}}


def _marked(unknown: Any) -> bool:
    """Whether a part of a value is marked as unknown."""
    if isinstance(unknown, dict):
        return any(map(_marked, unknown.values()))
    return any(map(_marked, unknown)) if isinstance(unknown, list) else bool(unknown)


def changes(forms: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the changes by address; those that do nothing are left out."""
    found = {}
    for form in forms:
        entry = change(form)
        if entry["actions"] != "no-op" or "previous" in entry or "importing" in entry:
            deposed = "#deposed" if form.get("deposed") else ""
            found[form["address"] + deposed] = entry
    return found
