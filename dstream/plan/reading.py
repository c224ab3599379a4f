"""Reading: parses the JSON form of a plan. Sensitive values become opaque fingerprints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dstream.consequences import Consequence
from dstream.diagnostics import Diagnostic, Position, Severity, SourceRange
from dstream.error_codes import FROM_PROVIDER
from dstream.lang import UNKNOWN
from dstream.lang.markers import fingerprint_marker
from dstream.plan.action import Action
from dstream.plan.change import Change, Drift, DriftKind, OutputChange, Reason
from dstream.plan.plan import FORMAT_VERSION, Plan
from dstream.plan.policy_check import PolicyCheck
from dstream.plan.task_change import TaskChange

_ACTIONS = {tuple(action.steps): action for action in Action}


def plan_from_json(form: Any) -> Plan:
    """Return the plan from the result of `to_json`; raise ValueError with a message if it is malformed."""
    if not isinstance(form, dict) or "format_version" not in form:
        raise ValueError("it is not a plan: it has no format_version")
    version = str(form["format_version"])
    if version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise ValueError(f"its format is {version}, and this dstream knows {FORMAT_VERSION}. Upgrade dstream")
    try:
        return _plan(form)
    except (KeyError, TypeError, AttributeError, IndexError) as problem:
        raise ValueError(f"it is damaged ({type(problem).__name__}: {problem})") from problem


def _plan(form: Mapping[str, Any]) -> Plan:
    return Plan(
        changes=tuple(map(_change, form["resource_changes"])),
        drifts=tuple(map(_drift, form["resource_drift"])),
        outputs=tuple(_output(name, each) for name, each in form["output_changes"].items()),
        tasks=_tasks(form),
        diagnostics=tuple(map(_diagnostic, form["diagnostics"])),
        destroy=form["mode"] == "destroy",
        refresh_only=form["mode"] == "refresh-only",
        lineage=form["lineage"],
        serial=form["serial"],
        pending=form["pending"],
        workspace=form["workspace"],
        variables={
            name: _secret("variable", name) if each.get("sensitive") else each.get("value")
            for name, each in form["variables"].items()
        },
        made_at=form["timestamp"] or "",
        policies=tuple(PolicyCheck(each["name"], each["advisory"], each["met"]) for each in form.get("policies", ())),
    )


def _change(form: Mapping[str, Any]) -> Change:
    change = form["change"]
    before, after = _sides(change)
    importing = change["importing"]
    return Change(
        address=form["address"],
        action=_ACTIONS[tuple(change["actions"])],
        provider=form["provider"],
        type=form["type"],
        key=form["key"],
        before=before,
        after=after,
        replace_paths=tuple(path[0] for path in change["replace_paths"]),
        reason=Reason(form["action_reason"] or ""),
        detail=form["detail"] or "",
        holds_data=form["loses_data"],
        dependencies=tuple(form["dependencies"]),
        moved_from=form["previous_address"],
        importing=None if importing is None else importing["identity"],
        consequences=_consequences(form),
    )


def _consequences(form: Mapping[str, Any]) -> tuple[Consequence, ...]:
    """Return the consequences of an object or a task; plans of earlier versions have none."""
    return tuple(map(Consequence.from_json, form.get("consequences", ())))


def _drift(form: Mapping[str, Any]) -> Drift:
    before, after = _sides(form["change"])
    return Drift(form["address"], DriftKind(form["kind"]), form["type"], before, after, form["detail"] or "")


def _sides(change: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return both sides with sensitive and unknown parts restored, so that equal parts compare equal."""
    changed = frozenset(map(tuple, change["sensitive_changes"]))
    before = _filled(change["before"], change["before_sensitive"], lambda path: _secret("same", path))
    after = _filled(
        change["after"],
        change["after_sensitive"],
        lambda path: _secret("changed" if path in changed else "same", path),
    )
    return before, _filled(after, change.get("after_unknown"), lambda _path: UNKNOWN)


def _secret(word: str, where: Any) -> dict[str, str]:
    return fingerprint_marker(f"{word} {where}")


def _filled(value: Any, part: Any, make: Any, here: tuple[str | int, ...] = ()) -> Any:
    """Return a value with the result of `make` at each path that `part` (see `sensitive_part`) marks."""
    if part is True:
        return make(here)
    if isinstance(part, Mapping) and part:
        found = dict(value) if value is not None else {}
        for name, inner in part.items():
            found[name] = _filled(found.get(name), inner, make, (*here, name))
        return found
    if isinstance(part, list):
        items = enumerate(zip(value, part, strict=True))
        return [_filled(item, inner, make, (*here, index)) for index, (item, inner) in items]
    return value


def _output(name: str, form: Mapping[str, Any]) -> OutputChange:
    sensitive = form["sensitive"]
    after = _filled(form["after"], form["after_unknown"], lambda _path: UNKNOWN)
    return OutputChange(name, _ACTIONS[tuple(form["actions"])], form["before"], after, sensitive)


def _tasks(form: Mapping[str, Any]) -> tuple[TaskChange, ...]:
    if "task_changes" in form:
        return tuple(map(_task_change, form["task_changes"]))
    return tuple(map(_task_without_settings, form["tasks"]))


def _task_change(form: Mapping[str, Any]) -> TaskChange:
    change, streams = form["change"], form["streams"]
    before, after = _sides(change)
    return TaskChange(
        address=form["address"],
        action=_ACTIONS[tuple(change["actions"])],
        before=before,
        after=after,
        moved_from=form["previous_address"],
        streams=tuple(streams["all"]),
        new_streams=tuple(streams["new"]),
        lost_streams=tuple(streams["lost"]),
        notes=tuple(form["notes"]),
        consequences=_consequences(form),
        unassessed=form.get("unassessed") or "",
    )


def _task_without_settings(form: Mapping[str, Any]) -> TaskChange:
    """Return a task of a plan from before plans had `task_changes`."""
    action = Action.DELETE if form["removed"] else Action.NO_OP if form["applied"] else Action.UPDATE
    return TaskChange(form["address"], action, streams=tuple(form["streams"]), notes=tuple(form["notes"]))


def _diagnostic(form: Mapping[str, Any]) -> Diagnostic:
    subject = None
    if "range" in form:
        place = form["range"]
        start, end = (Position(p["byte"], p["line"], p["column"]) for p in (place["start"], place["end"]))
        subject = SourceRange(place["filename"], start, end)
    code = FROM_PROVIDER if form.get("code") == FROM_PROVIDER else None
    return Diagnostic(Severity(form["severity"]), form["summary"], form["detail"], subject, form.get("address"), code)
