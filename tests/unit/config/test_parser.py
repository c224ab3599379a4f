"""Reading text: exact places, recovery, and what python-hcl2's own grammar gets wrong."""

import pytest

from dstream.config import parse_expression, parse_text
from dstream.config.syntax.tree import Node
from dstream.diagnostics import DiagnosticsError
from dstream.lang import Scope, evaluate

REJECTED_BY_THE_BASE_GRAMMAR = [
    "a = length(x)-10", "a = 5 -33", "a = x[0] -1.5", "a = !!x", "a = --1", "a = !-x", 'a = "${~ x ~}"',
    'a = "${ \n x }"', 'a = "${ /* c */ x }"', "a = (\n1\n- 2\n)", "a = (x\n.y)", "a = /* x */ 1", "a /* x */ = 1",
    "a = { x = /* c */ 1 }", "a = ns::f(1)", "é = ü", "a = <<_EOT\nx\n_EOT\n", "a = <<E\nx\nE  \n", 'a = "$${"',
    'a = "$${"\nb = "x"', "\ufeffa = 1", "a = x[ * ]", "a = 1\na {\n}",
]  # fmt: skip
ACCEPTED_BY_THE_BASE_GRAMMAR = [
    "a = 1 b = 2", "b {} a = 1", "a = {x = 1 y = 2}", "b\n{\n}", "a = 1\n + 2", 'a = "x\ny"', 'a = "\\q"',
    'a = "\\uu2022"', 'b "${x}" {}', "a = 1\na = 2", 'a = "%{ endif }"', "a = <<E\n${\nE\n", "a = x.0.1",
]  # fmt: skip


@pytest.mark.parametrize("text", REJECTED_BY_THE_BASE_GRAMMAR)
def test_valid_text_is_read(text):
    assert parse_text(text, "x").diagnostics == []


@pytest.mark.parametrize("text", ACCEPTED_BY_THE_BASE_GRAMMAR)
def test_invalid_text_is_refused(text):
    assert parse_text(text, "x").diagnostics != []


def value(text, **names):
    return evaluate(parse_expression(text, "x"), Scope(names))


def test_an_escaped_sequence_keeps_the_interpolation_inside():
    assert value('"$${foo${bar}}"', bar="X") == "${fooX}"


def test_places_count_characters_also_in_templates_and_heredocs():
    text = 'é = "ü😀${ä}"\nb = <<-E\n  ö ${f(x)}\nE\n'
    body = parse_text(text, "f.hcl").body
    inner = body.attributes["é"].expr.parts[1]
    assert (inner.range.start.line, inner.range.start.column, inner.range.start.offset) == (1, 10, 9)
    call = next(part for part in body.attributes["b"].expr.parts if type(part).__name__ == "Call")
    assert (str(call.range), call.range.end.column, call.text) == ("f.hcl:3:7", 11, "f(x)")


def test_every_node_knows_its_own_text():
    text = 'a = [for k, v in x.y[0] : "${k}-${f(v...)}" if !(k == -1 ? true : b.*.c)]\nb "l" {\n  c = { d = 1 }\n}\n'

    def walk(node):
        assert isinstance(node, Node)
        assert text[node.start : node.end] == node.text
        for name in node.__struct_fields__[3:]:
            part = getattr(node, name)
            for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else [part]:
                for one in inner if isinstance(inner, tuple) else [inner]:
                    if isinstance(one, Node):
                        assert node.start <= one.start <= one.end <= node.end
                        walk(one)

    walk(parse_text(text, "x").body)


def test_an_operation_ends_where_its_last_operand_ends():
    expr = parse_text("a = 1 + 2\n\n# c\n\nb = 3\n", "x").body.attributes["a"].expr
    assert expr.text == "1 + 2"


def test_independent_errors_are_reported_in_one_run():
    text = 'a = \nb = 1\nc = [1 2]\ntask "x" {\n  y = "abc\n}\nd = 2\ne = )\n'
    parsed = parse_text(text, "x")
    assert [d.subject.start.line for d in parsed.diagnostics] == [1, 3, 5, 8]
    assert parsed.body.attributes.keys() >= {"b", "d"}


def test_a_missing_brace_is_reported_where_it_is_missing():
    text = 'task "a" {\n  input {\n  }\n\ntask "b" {\n  x = 1\n}\n'
    (diagnostic,) = parse_text(text, "x").diagnostics
    assert str(diagnostic.subject) == "x:1:10"
    assert "On line 5" in diagnostic.detail


@pytest.mark.parametrize(
    ("text", "summary", "says"),
    [
        ("a = { b = 1; c = 2 }", "Invalid character", "with commas"),
        ("b { a = 1; c = 2 }", "Invalid character", "a line of its own"),
        ('a = "x\r\ny"', "Unterminated string", "closing quotation mark"),
        ("b {\n ]\n}", "Wrong closing bracket", "closed by }"),
        ("b {\n , a = 1\n}", "Argument or block expected", "Expected an argument"),
        (", a = 1", "Argument or block expected", "Expected an argument"),
        ("a = 1e5.5", "Invalid number", "one decimal point"),
        ("a = 1e99999999999999999999", "Number out of range", "digits"),
        ("a = 'x'", "Invalid character", "double quotes"),
        ('a = "x', "Unterminated string", "closing quotation mark"),
        ("a = <<E\nx\n", "Unterminated heredoc", "closing marker E"),
        ("a = /* x", "Unterminated comment", "*/"),
        ("a: 1", "Invalid argument", "name = value"),
        ("a = 1 +\nb = 2", "Missing value", "parentheses"),
        ("a = f(1 2)", "Missing comma", "arguments"),
        ("a = [1 2]", "Missing comma", "list"),
        ("a = {b = 1 c = 2}", "Missing separator", "line break"),
        ("a\n{\n}", "Argument or block expected", "same line"),
        ("a = b = c", "Unexpected =", "=="),
        ("a = x.0.1", "Invalid index", "[0][1]"),
        ("}", "Unexpected closing bracket", "has no opening bracket"),
        ("a = (1]", "Wrong closing bracket", "closed by )"),
        ("a = x & y", "Invalid character", "&&"),
        ("a = 1\na = 2", "Argument set twice", "line 1"),
        ('a = "{{ nope }}"', "Unsupported template", "env"),
        ('a = "{{ "" | default "five" }}"', "Unsupported template", "env"),
        ('a = "{{ "a\\"b" | upper }}"', "Unsupported template", "env"),
        ('a = "{{ "é" | upper }}"', "Unsupported template", "env"),
        ('a = "{{ env "X }}"', "Unsupported template", "env"),
        ("a = 1.5.5", "Invalid number", "one decimal point"),
        ("a = 1e999999", "Number out of range", "digits"),
    ],
)
def test_a_mistake_is_explained(text, summary, says):
    diagnostic = parse_text(text, "x").diagnostics[0]
    assert diagnostic.summary == summary
    assert says in diagnostic.detail
    assert diagnostic.subject is not None


def test_a_thousand_nested_lists_and_a_megabyte_of_heredoc_are_read():
    deep = parse_text("a = " + "[" * 1000 + "]" * 1000, "x")
    assert deep.diagnostics == []
    long = parse_text("a = <<E\n" + ("x ${1}" + "y" * 94 + "\n") * 10_000 + "E\n", "x")
    assert len(evaluate(long.body.attributes["a"].expr, Scope())) == 980_000


def test_too_deep_nesting_is_an_error_not_a_crash():
    assert parse_text("a = " + "[" * 100_000, "x").diagnostics[0].summary == "Nested too deeply"
    assert value("-" * 10_000 + "1") == 1
    assert value("+".join(["1"] * 10_000)) == 10_000


def test_a_lone_expression_takes_all_of_the_text():
    with pytest.raises(DiagnosticsError):
        parse_expression("1 2", "x")


@pytest.mark.parametrize("line", ["a = \n", "a {\n", 'a = "x\n', "a = <<E\n", "a = 1 @\n", "}\n", "a = [\n", "a = 1\n"])
def test_a_text_full_of_errors_is_read_in_no_time(line):
    assert 1 <= len(parse_text(line * 500, "x").diagnostics) < 500


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ('locals {\n  b = {\n}\n\noutput "o" {\n  value = [1, 2\n}\n', ["1:8", "7:1"]),
        ('resource "a" "b" {\n  tags = { a = 1\n  size = 4\n}\noutput "q" { value = * }\n', ["1:18", "5:22"]),
        ('a = "${\nb = 1\nc = 2 3\n', ["1:6", "3:7"]),
        ("a = \"x\nb = 2 3\nc = 'y'\n", ["1:5", "2:7", "3:5"]),
        ('output "y" { value = 1 sensitive = true }\nz = [1 2]\n', ["1:24", "2:8"]),
    ],
)
def test_what_is_wrong_in_several_places_is_said_at_once(text, places):
    found = parse_text(text, "x").diagnostics
    assert [f"{d.subject.start.line}:{d.subject.start.column}" for d in found] == places


def test_a_missing_bracket_is_looked_for_by_the_indentation():
    text = 'task "t" {\n  input {\n    x = 1\n  output {\n  }\n}\nlocals {\n}\n'
    [found] = parse_text(text, "x").diagnostics
    assert (found.subject.start.line, found.summary) == (1, "Missing closing bracket")
    assert "on line 2 that should be closed before output on line 4" in found.detail


@pytest.mark.parametrize("text", ['"{{ " == "}}"', '[for x in ["a"] : "{{ "if x == "}}"]', '"{{ "', '["{{ ", "x }}"]'])
def test_braces_at_the_end_of_a_string_are_text(text: str):
    assert parse_text(f"a = {text}\n", "x").diagnostics == []
