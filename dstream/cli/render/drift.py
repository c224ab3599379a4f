"""A drift report as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dstream.cli.render.paint import Paint
from dstream.cli.render.plan import drift_lines
from dstream.diagnostics import Diagnostic
from dstream.engine.commands.drift import DriftReport, PendingChanges
from dstream.engine.commands.drift_ignore import IgnoreRule
from dstream.plan import DriftKind
from dstream.plan.plan import drift_json as one_json

FORMAT_VERSION = "1.1"


def report_lines(report: DriftReport, paint: Paint) -> Iterator[str]:
    """Yield the lines of a report: drift, expected drift, pending changes, and the counts."""
    if report.unfinished:
        yield f"An apply is in progress or was interrupted: {report.unfinished} pending records are assumed complete."
        yield ""
    for drift in report.drifts:
        yield from drift_lines(drift, paint)
    for address, why in report.unchecked.items():
        yield paint(f"  # {address} is unreachable: {why}", "dim")
    for expected in report.expected:
        until = "; ".join(f"{rule.owner}, until {rule.expires}" for rule in expected.rules)
        yield paint(f"  # {expected.address}: expected changes of {', '.join(expected.attributes)} ({until})", "dim")
    for line in rule_notes(report):
        yield paint(f"  ! {line}", "yellow")
    for line in pending_lines(report.pending):
        yield f"  {line}"
    if report.unchecked or report.expected or report.expired or report.unused or report.pending:
        yield ""
    verdict = summary(report)
    title, _, rest = verdict.partition(":" if report.drifts else ".")
    yield paint(title + (":" if report.drifts else "."), "bold", "yellow" if report.drifts else "green") + rest
    if report.of(DriftKind.CHANGED) or report.of(DriftKind.MISSING):
        yield "Run `dstream plan` to see the actions that apply would perform."


def rule_notes(report: DriftReport) -> Iterator[str]:
    """Yield the lines about ignore rules."""
    for rule in report.expired:
        yield f"{_place(rule)} expired on {rule.expires} and is no longer applied; owner: {rule.owner}"
    for rule in report.unused:
        yield f"{_place(rule)} matches no recorded object; owner: {rule.owner}"


def _place(rule: IgnoreRule) -> str:
    return f"The ignore rule for {', '.join(rule.addresses)} ({rule.range})"


def pending_lines(pending: PendingChanges) -> Iterator[str]:
    """Yield a line for each change in the configuration that is not applied yet."""
    for change in pending.changes:
        moved = f" (moved from {change.moved_from})" if change.moved_from else ""
        yield f"pending: {change.action.symbol} {change.address}{moved}"
    for output in pending.outputs:
        yield f"pending: {output.action.symbol} output.{output.name}"
    for task in pending.tasks:
        yield f"pending: {task.action.symbol} {task.address}"


def summary(report: DriftReport) -> str:
    """Return the number of objects in each class, as one line."""
    counts = {
        "changed": len(report.of(DriftKind.CHANGED)),
        "missing": len(report.of(DriftKind.MISSING)),
        "unreachable": len(report.of(DriftKind.UNREACHABLE)),
        "expected": len(report.expected),
        "pending in the configuration": len(report.pending),
    }
    parts = [f"{count} {name}" for name, count in counts.items() if count or name in ("changed", "missing")]
    objects = "1 object" if report.checked == 1 else f"{report.checked} objects"
    if report.drifts:
        return f"Drift: {', '.join(parts)}, of {objects}."
    other = "".join(f", {part}" for part in parts[2:])
    return f"No drift. {objects} {'is' if report.checked == 1 else 'are'} as applied{other}."


def no_report_json(found: Iterable[Diagnostic]) -> dict[str, Any]:
    """Return the JSON values that replace a report that could not be made."""
    diagnostics = [each.to_json() for each in found]
    return {"format_version": FORMAT_VERSION, "exit_code": 1, "errored": True, "diagnostics": diagnostics}


def drift_json(report: DriftReport) -> dict[str, Any]:
    """Return the report as JSON values."""
    pending = report.pending
    return {
        "format_version": FORMAT_VERSION,
        "summary": {
            "asked": report.checked,
            "changed": len(report.of(DriftKind.CHANGED)),
            "missing": len(report.of(DriftKind.MISSING)),
            "unreachable": len(report.of(DriftKind.UNREACHABLE)),
            "expected": len(report.expected),
            "pending": len(pending),
            "expired_rules": len(report.expired),
        },
        "exit_code": report.exit_code,
        "resource_drift": [one_json(drift) for drift in report.drifts],
        "unasked": list(report.unchecked),
        "expected": [
            {
                "address": each.address,
                "attributes": list(each.attributes),
                "rules": [rule.to_json() for rule in each.rules],
            }
            for each in report.expected
        ],
        "expired_rules": [rule.to_json() for rule in report.expired],
        "unused_rules": [rule.to_json() for rule in report.unused],
        "pending": {
            "resources": [
                {"address": change.address, "type": change.type, "actions": change.action.steps}
                for change in pending.changes
            ],
            "outputs": [{"name": output.name, "actions": output.action.steps} for output in pending.outputs],
            "tasks": [{"address": task.address, "removed": task.removed} for task in pending.tasks],
        },
        "unfinished_records": report.unfinished,
        "diagnostics": [diagnostic.to_json() for diagnostic in (*report.diagnostics, *report.warnings)],
    }
