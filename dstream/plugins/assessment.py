"""Assessment: the members `consequences` and `findings` of an answer to `plan`, checked and bounded."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, ValidationError, convert, field

from dstream.consequences import Consequence, Finding, Label, as_number
from dstream.diagnostics import Severity
from dstream.plugins.redact import Redactor

CONSEQUENCES = "consequences"
"""The capability of a provider that reports what happens to the data."""
MOST = 1000
"""The most consequences, and the most findings, of one answer."""
_MOST_NUMBERS = 8

_Word = Annotated[str, Meta(min_length=1, max_length=40)]
_Line = Annotated[str, Meta(min_length=1, max_length=1000)]
_Text = Annotated[str, Meta(max_length=4000)]
_Name = Annotated[str, Meta(max_length=1000)]


class _ConsequenceForm(Struct, frozen=True):
    kind: _Word
    label: Literal["breaking", "non-breaking", "forward-only"]
    summary: _Line
    detail: _Text = ""
    stream: _Name | None = None
    numbers: dict[_Word, Any] = field(default_factory=dict)
    fix: _Text = ""


class _FindingForm(Struct, frozen=True):
    severity: Literal["error", "warning"]
    summary: _Line
    detail: _Text = ""
    path: _Name | None = None
    fix: _Text = ""


class _Form(Struct, frozen=True):
    consequences: Annotated[list[_ConsequenceForm], Meta(max_length=MOST)] = field(default_factory=list)
    findings: Annotated[list[_FindingForm], Meta(max_length=MOST)] = field(default_factory=list)


class Assessment(Struct, frozen=True):
    """What one side of a task reports of the data and of its server."""

    consequences: tuple[Consequence, ...] = ()
    findings: tuple[Finding, ...] = ()


def assessment(form: Mapping[str, Any], redactor: Redactor) -> Assessment:
    """Return the assessment in an answer, without secrets; raise ValueError if it is not well formed."""
    try:
        found = convert({name: form[name] for name in (CONSEQUENCES, "findings") if form.get(name) is not None}, _Form)
    except ValidationError as problem:
        raise ValueError(redactor.text(str(problem))) from None
    clean = redactor.text
    return Assessment(
        tuple(
            Consequence(
                clean(each.kind),
                Label(each.label),
                clean(each.summary),
                clean(each.detail),
                None if each.stream is None else clean(each.stream),
                numbers=numbers_of(each.numbers),
                fix=clean(each.fix),
            )
            for each in found.consequences
        ),
        tuple(_finding(each, redactor) for each in found.findings),
    )


def _finding(form: _FindingForm, redactor: Redactor) -> Finding:
    summary, detail, fix = map(redactor.text, (form.summary, form.detail, form.fix))
    severity = Severity.ERROR if form.severity == "error" else Severity.WARNING
    return Finding(severity, summary, detail, None if form.path is None else redactor.text(form.path), fix)


def numbers_of(form: Mapping[str, Any]) -> dict[str, float]:
    """Return numbers by unit; raise ValueError unless they are few, finite and not negative."""
    if len(form) > _MOST_NUMBERS:
        raise ValueError(f"numbers has more than {_MOST_NUMBERS} members")
    for name, value in form.items():
        number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        if not number or not 0 <= value < 1e18:
            raise ValueError(f"numbers.{name[:40]} is a number from 0")
    return {str(name): as_number(value) for name, value in form.items()}
