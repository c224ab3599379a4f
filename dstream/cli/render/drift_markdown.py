"""A drift report as Markdown for a comment or an issue: deterministic, and within GitHub's size limit."""

from __future__ import annotations

from collections.abc import Iterator

from dstream.cli.render.drift import pending_lines, rule_notes, summary
from dstream.cli.render.fences import code, fenced
from dstream.cli.render.paint import Paint
from dstream.cli.render.plan import drift_lines
from dstream.cli.render.terminal import one_line
from dstream.diagnostics import Diagnostic
from dstream.engine.commands.drift import DriftReport
from dstream.plan import DriftKind

LIMIT = 60_000
"""Characters; a comment on GitHub may have 65,536."""
_ROOM = 300
"""Characters reserved for the note about omitted entries."""
_TITLES = {
    DriftKind.MISSING: "Missing",
    DriftKind.CHANGED: "Changed outside",
    DriftKind.UNREACHABLE: "Unreachable",
}


def report_markdown(report: DriftReport) -> str:
    """Return the report, missing objects first; entries that do not fit are counted at the end."""
    text, cut = f"### {summary(report)}\n", 0
    for part in _parts(report):
        if len(text) + len(part) > LIMIT - _ROOM:
            cut += 1
        else:
            text += part
    return text + (f"\n_{cut} entries are not shown; run `dstream drift` to see all._\n" if cut else "")


def _parts(report: DriftReport) -> Iterator[str]:
    if report.unfinished:
        yield f"\nAn apply is in progress or was interrupted: {report.unfinished} pending records assumed complete.\n"
    for kind, title in _TITLES.items():
        found = report.of(kind)
        if found:
            yield f"\n#### {title}: {len(found)}\n"
        for drift in found:
            body = "\n".join(map(one_line, drift_lines(drift, Paint(enabled=False)))).rstrip()
            yield f"\n{fenced(body)}\n"
    yield from _listed("Pending in the configuration", list(pending_lines(report.pending)), strip="pending: ")
    expected = [
        f"{each.address}: {', '.join(each.attributes)} "
        f"({'; '.join(f'{rule.owner}, until {rule.expires}' for rule in each.rules)})"
        for each in report.expected
    ]
    yield from _listed("Expected by ignore rules", expected)
    yield from _listed("Ignore rules to review", list(rule_notes(report)))
    yield from _listed("No provider available", [f"{address}: {why}" for address, why in report.unchecked.items()])
    yield from _listed(
        "Pending changes could not be determined", [_diagnostic_line(each) for each in report.diagnostics]
    )
    yield from _listed("Warnings", [_diagnostic_line(each) for each in report.warnings])


def _diagnostic_line(diagnostic: Diagnostic) -> str:
    return f"{diagnostic.title}: {diagnostic.detail}" if diagnostic.detail else diagnostic.title


def _listed(title: str, lines: list[str], strip: str = "") -> Iterator[str]:
    if lines:
        yield f"\n#### {title}: {len(lines)}\n\n"
    for line in lines:
        yield f"- {code(line.removeprefix(strip))}\n"
