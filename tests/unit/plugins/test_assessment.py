"""What a provider reports of the data is checked where it is read, bounded, and cleared of secrets."""

from decimal import Decimal

import pytest

from dstream.diagnostics import Severity
from dstream.plugins import Binary, ProviderInfo, ProviderSource
from dstream.plugins.assessment import MOST
from dstream.plugins.conformance import planning
from dstream.plugins.conformance.result import check
from dstream.plugins.derivation import Derivation, PlanAnswer
from dstream.plugins.redact import Redactor
from dstream.plugins.request import parse_answer

BINARY = Binary(("p",), ProviderSource("path", "p"), "")
GOOD = {"kind": "resume", "label": "non-breaking", "summary": "continues"}


def ended(**members: object) -> Derivation:
    found = PlanAnswer("p", Redactor(["hunter-22"])).add({"status": "done", **members})
    assert found is not None
    return found


def test_an_answer_without_them_and_unknown_members_and_kinds_are_accepted() -> None:
    assert ended().assessment.consequences == ended(consequences=None, findings=[]).assessment.consequences == ()
    (found,) = ended(consequences=[{**GOOD, "kind": "tide", "since": 3}]).assessment.consequences
    assert (found.kind, found.numbers, found.stream) == ("tide", {}, None)


def test_numbers_are_whole_where_they_can_be() -> None:
    (found,) = ended(
        consequences=[{**GOOD, "numbers": {"hours": Decimal("1.50"), "rows": Decimal("3.0"), "moons": 2}}]
    ).assessment.consequences
    assert found.numbers == {"hours": 1.5, "rows": 3, "moons": 2}
    assert isinstance(found.numbers["rows"], int)


def test_secrets_are_redacted_everywhere() -> None:
    text = "with hunter-22"
    found = ended(
        consequences=[{**GOOD, "summary": text, "detail": text, "fix": text, "stream": text}],
        findings=[{"severity": "error", "summary": text, "detail": text, "fix": text, "path": text}],
    ).assessment
    assert "hunter" not in repr(found)
    assert found.findings[0].severity is Severity.ERROR


@pytest.mark.parametrize(
    "members",
    [
        {"consequences": {}},
        {"consequences": [7]},
        {"consequences": [{**GOOD, "label": "mild"}]},
        {"consequences": [{**GOOD, "summary": ""}]},
        {"consequences": [{**GOOD, "summary": "x" * 1001}]},
        {"consequences": [{**GOOD, "detail": "x" * 4001}]},
        {"consequences": [{**GOOD, "kind": "x" * 41}]},
        {"consequences": [{"kind": "resume", "label": "breaking"}]},
        {"consequences": [GOOD] * (MOST + 1)},
        {"consequences": [{**GOOD, "numbers": {"rows": -1}}]},
        {"consequences": [{**GOOD, "numbers": {"rows": "3"}}]},
        {"consequences": [{**GOOD, "numbers": {"rows": True}}]},
        {"consequences": [{**GOOD, "numbers": {"rows": 10**18}}]},
        {"consequences": [{**GOOD, "numbers": {str(n): n for n in range(9)}}]},
        {"consequences": [{**GOOD, "stream": 3}]},
        {"findings": [{"severity": "fatal", "summary": "x"}]},
        {"findings": [{"severity": "error"}]},
    ],
    ids=lambda members: f"{next(iter(members))} {str(members)[-24:]}",
)
def test_what_is_malformed_is_not_part_of_an_answer(members: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        ended(**members)


@pytest.mark.parametrize(
    ("lines", "end", "why"),
    [
        ([], {"consequences": [GOOD], "findings": []}, None),
        ([{"resource": {}}], {}, "other objects"),
        ([], {"consequences": [{**GOOD, "label": "mild"}]}, "not well formed"),
        ([], {"findings": [{"summary": "x"}]}, "not well formed"),
    ],
    ids=["good", "objects", "label", "severity"],
)
def test_the_kit_names_a_provider_whose_report_is_malformed_or_changes_its_plan(
    monkeypatch: pytest.MonkeyPatch, lines: list[object], end: dict[str, object], why: str | None
) -> None:
    def planned(_binary: object, _config: object, _role: str, assess: object = None) -> object:
        return ([], {"status": "done"}) if assess is None else (lines, {"status": "done", **end})

    monkeypatch.setattr(planning, "plan", planned)
    info = ProviderInfo(2, "p", "1", frozenset({"input"}), frozenset({"consequences"}))
    result = check("R19", lambda: planning.check_assessment(BINARY, info, {}, "input"), "input")
    assert (result.outcome, why is None or why in result.detail) == ("failed" if why else "passed", True)
    older = ProviderInfo(2, "p", "1", frozenset({"input"}))
    assert check("R19", lambda: planning.check_assessment(BINARY, older, {}, "input"), "input").outcome == "skipped"


@pytest.mark.parametrize("contents", [{"rows": -1}, {"rows": None}, {str(n): n for n in range(9)}])
def test_contents_that_are_malformed_break_the_protocol(contents: dict[str, object]) -> None:
    answer = parse_answer({"status": "ok", "contents": contents}, Redactor(), "p")
    assert not answer.understood
    assert parse_answer({"status": "ok", "contents": {"rows": 2}}, Redactor(), "p").contents == {"rows": 2}
