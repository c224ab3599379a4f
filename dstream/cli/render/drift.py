"""A drift report as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dstream.cli.render.paint import Paint
from dstream.cli.render.plan import drift_lines
from dstream.engine.drift import DriftReport
from dstream.plan import DriftKind
from dstream.plan.plan import drift_json as one_json


def report_lines(report: DriftReport, paint: Paint) -> Iterator[str]:
    """Yield the lines of a report: each object that is not as recorded, and the counts."""
    if report.pending:
        yield f"An apply is under way or was cut off: {report.pending} records are taken as done."
        yield ""
    for drift in report.drifts:
        yield from drift_lines(drift, paint)
    for address in report.unasked:
        yield paint(f"  # {address} cannot be asked: its provider speaks version 1", "dim")
    changed, missing = len(report.of(DriftKind.CHANGED)), len(report.of(DriftKind.MISSING))
    unreachable = len(report.of(DriftKind.UNREACHABLE))
    if not report.drifts:
        yield paint("No drift.", "bold", "green") + f" {report.asked} objects are as they were applied."
        return
    parts = [f"{changed} changed", f"{missing} missing"]
    if unreachable:
        parts.append(f"{unreachable} could not be asked")
    yield paint("Drift:", "bold", "yellow") + f" {', '.join(parts)}, of {report.asked} objects."
    if changed or missing:
        yield "`dstream plan` shows what apply would do about it."


def drift_json(report: DriftReport) -> dict[str, Any]:
    """Return the report as JSON values."""
    return {
        "format_version": "1.0",
        "summary": {
            "asked": report.asked,
            "changed": len(report.of(DriftKind.CHANGED)),
            "missing": len(report.of(DriftKind.MISSING)),
            "unreachable": len(report.of(DriftKind.UNREACHABLE)),
        },
        "resource_drift": [one_json(drift) for drift in report.drifts],
        "unasked": list(report.unasked),
    }
