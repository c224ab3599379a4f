"""What python-hcl2's own grammar rejects, wrongly accepts, or silently gets wrong: each is right here."""

import pytest

from dstream.config import parse_expression, parse_text
from dstream.config.syntax.format import format_text
from dstream.diagnostics import DiagnosticsError
from dstream.lang import Scope, evaluate

REJECTED_BUT_VALID = [
    "a = length(x)-10",
    "a = 5 -33",
    "a = x[0] -1.5",
    "a = !!x",
    "a = --1",
    "a = !-x",
    'a = "${~ x ~}"',
    'a = "${\nx\n}"',
    'a = "${ /* c */ x }"',
    "a = (\n1\n- 2\n)",
    "a = (x\n.y)",
    "a = /* x */ 1",
    "a /* x */ = 1",
    "a = { x = /* c */ 1 }",
    "a = ns::f(1)",
    "été = größe",
    "a = <<_EOT\nx\n_EOT\n",
    "a = <<EOT\nx\nEOT   \n",
    "a = <<EOT\nx\n   EOT\t\n",
    'a = "$${"',
    'a = "$${x"',
    "\ufeffa = 1",
    "a = x[ * ]",
    "a = x[\n*\n]",
    "a = 1\na {\n}",
]

ACCEPTED_BUT_INVALID = [
    ("a = 1 b = 2", "1:7"),
    ("b {} a = 1", "1:6"),
    ("a = {x = 1 y = 2}", "1:12"),
    ("b\n{\n}", "1:1"),
    ("a = 1\n + 2", "2:2"),
    ('a = "x\ny"', "1:5"),
    ('a = "\\q"', "1:6"),
    ('a = "\\uu2022"', "1:6"),
    ('b "x${y}" {\n}', "1:3"),
    ("a = 1\na = 2", "2:1"),
    ("b {\n  a = 1\n  a = 2\n}", "3:3"),
    ('a = "%{ endif }"', "1:6"),
    ("a = <<EOT\n${\nEOT\n", "2:1"),
    ("a = <<EOT\n${ 1 2 }\nEOT\n", "2:6"),
    ("a = <<EOT\n%{ if x }\nEOT\n", "2:1"),
    ("a = x.0.1", "1:7"),
]

SILENTLY_WRONG = [
    ('"$${foo${bar}}"', "${fooB}"),
    ("<<EOT\n${bar}\nEOT\n", "B\n"),
    ("<<EOT\n%{ if true }x%{ endif }\nEOT\n", "x\n"),
    ("<<EOT\nlast\nEOT\n", "last\n"),
    ("<<EOT\nEOT\n", ""),
    ("<<-EOT\n\ta\n\t\tb\n\tEOT\n", "a\n\tb\n"),
    ("<<-EOT\n\u2003a\n\u2003\u2003b\nEOT\n", "a\n\u2003b\n"),
    ("<<-EOT\n    a\n  b\nEOT\n", "  a\nb\n"),
    ("12345678901234567890123456789012345678901", 12345678901234567890123456789012345678901),
]


@pytest.mark.parametrize("text", REJECTED_BUT_VALID)
def test_what_is_valid_is_accepted_and_survives_formatting(text):
    assert parse_text(text, "x").diagnostics == []
    assert parse_text(format_text(text, "x"), "x").diagnostics == []


@pytest.mark.parametrize(("text", "place"), ACCEPTED_BUT_INVALID)
def test_what_is_invalid_is_refused_in_its_place(text, place):
    first = parse_text(text, "x").diagnostics[0]
    assert first.subject is not None and first.detail
    assert f"{first.subject.start.line}:{first.subject.start.column}" == place
    with pytest.raises(DiagnosticsError):
        format_text(text, "x")


@pytest.mark.parametrize(("text", "value"), SILENTLY_WRONG)
def test_values_are_what_the_text_says(text, value):
    assert evaluate(parse_expression(text, "x"), Scope({"bar": "B"})) == value


@pytest.mark.parametrize("after", ["\n\n\n", "\n# c\n# d\n", " # c\n", "\n\n# c\nb = 2\n"])
def test_an_expression_ends_where_it_ends(after):
    expr = parse_text(f"a = x + y{after}", "x").body.attributes["a"].expr
    assert expr.text == "x + y"


@pytest.mark.parametrize(
    "text",
    [
        "x + y * z",
        "f(x, [1])",
        "x.y[0].*.z",
        "x[*].y[1]",
        '"a${x}b"',
        "{ a = 1 }",
        "[for k in x : k]",
        "-(x)",
        "c ? x : y",
    ],
)
def test_places_are_exact_in_texts_heredocs_and_behind_other_scripts(text):
    for before, after in (('"é😀${', '}"'), ("<<E\n é\t${", "}\nE\n"), ("(\n\n  ", "\n)"), ("[/* é */ ", "]")):
        source = f"{before}{text}{after}"
        found = {node.text for node in _nodes(parse_expression(source, "x"))}
        assert text in found, found
        for node in _nodes(parse_expression(source, "x")):
            start = node.range.start
            line = source.split("\n")[start.line - 1]
            assert source[start.offset :].startswith(line[start.column - 1 :][: node.end - node.start].split("\n")[0])


def _nodes(node):
    from dstream.lang.reference import children

    yield node
    for child in children(node):
        yield from _nodes(child)
