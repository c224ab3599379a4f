"""HCL as its specification has it, functions as Terraform documents them: hundreds of cases."""

from __future__ import annotations

import json

import pytest

from dstream.config import load_text, parse_expression, parse_text
from dstream.diagnostics import DiagnosticsError
from dstream.lang import Module, Scope, evaluate, strip_sensitive, to_json_value
from dstream_state.codec import to_text
from tests.conformance.cases import cases

EXPRESSIONS = cases("expressions.txt", "functions_*.txt")
LAYOUT = cases("layout.txt")
BODIES = cases("bodies.txt")


def as_json(value):
    # Through JSON text, so that numbers compare by their value.
    return json.loads(to_text(to_json_value(strip_sensitive(value))))


def by_name(case):
    return case.name


@pytest.mark.parametrize("case", EXPRESSIONS, ids=by_name)
def test_an_expression_gives_its_value_or_its_error(case):
    if case.place is not None:
        with pytest.raises(DiagnosticsError) as caught:
            evaluate(parse_expression(case.text, "case"), Scope())
        subject = caught.value.diagnostics[0].subject
        assert f"{subject.start.line}:{subject.start.column}" == case.place
        assert all(diagnostic.detail for diagnostic in caught.value.diagnostics)
    else:
        assert as_json(evaluate(parse_expression(case.text, "case"), Scope())) == json.loads(case.value)


@pytest.mark.parametrize("case", LAYOUT, ids=by_name)
def test_an_expression_over_several_lines_gives_its_value(case):
    config = load_text(f"locals {{\n  x = {case.text}\n}}\n")
    value = evaluate(config.locals["x"].expr, Module(config, env={}).scope())
    assert as_json(value) == json.loads(case.value)


@pytest.mark.parametrize("case", BODIES, ids=by_name)
def test_a_body_is_valid_or_has_its_first_error_in_its_place(case):
    diagnostics = parse_text(case.text, "case").diagnostics
    if case.place is None:
        assert diagnostics == []
    else:
        start = diagnostics[0].subject.start
        assert f"{start.line}:{start.column}" == case.place


def test_there_are_enough_cases():
    assert len(EXPRESSIONS) + len(LAYOUT) + len(BODIES) >= 1000
