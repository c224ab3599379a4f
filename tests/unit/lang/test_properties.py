"""Properties: printing and parsing, formatting, and agreement with plain Python, on generated input."""

import unicodedata
from decimal import Decimal, localcontext

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dstream.config import parse_expression, parse_text
from dstream.config.syntax.format import format_text
from dstream.config.syntax.tree import Node
from dstream.lang import Scope, evaluate, from_json_value, to_json_value, to_text
from dstream.lang.functions.encoding import json_text

FAST = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12).map(
    lambda text: unicodedata.normalize("NFC", text)
)
numbers = st.one_of(
    st.integers(-(10**30), 10**30),
    st.decimals(allow_nan=False, allow_infinity=False, places=5, min_value=-(10**9), max_value=10**9).map(
        lambda number: int(number) if number == number.to_integral_value() else number.normalize()
    ),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
names = st.sampled_from(["a", "b", "x-y", "été", "_z", "local"])


def expressions():
    """Return source texts of expressions of every kind."""
    atoms = st.one_of(
        names, st.sampled_from(["1", "1.5", "true", "null", '""', '"a\\n$${b"', "[]", "{}"]), texts.map(to_text)
    )

    def larger(inner):
        two, three = st.tuples(inner, inner), st.tuples(inner, inner, inner)
        operators = st.sampled_from(["+", "-", "*", "/", "%", "==", "!=", "<", ">", "<=", ">=", "&&", "||"])
        return st.one_of(
            st.tuples(inner, operators, inner).map(" ".join),
            inner.map(lambda e: f"({e})"),
            inner.map(lambda e: f"-({e})"),
            inner.map(lambda e: f"!({e})"),
            three.map(lambda e: f"({e[0]}) ? {e[1]} : {e[2]}"),
            two.map(lambda e: f"[{e[0]}, {e[1]}]"),
            two.map(lambda e: f"{{ k = {e[0]}, ({e[1]}) = 1 }}"),
            two.map(lambda e: f"f({e[0]}, {e[1]}...)"),
            two.map(lambda e: f"({e[0]})[{e[1]}].a[*].b"),
            three.map(lambda e: f"[for k, v in {e[0]} : {e[1]} if {e[2]}]"),
            three.map(lambda e: f"{{ for v in {e[0]} : {e[1]} => {e[2]}... }}"),
            two.map(lambda e: f'"x${{{e[0]}}}y%{{ if {e[1]} }}z%{{ endif }}"'),
        )

    return st.recursive(atoms, larger, max_leaves=10)


def shape(node):
    """Return what a tree says, without where it says it."""
    if isinstance(node, Node):
        kept = [
            name
            for name in node.__struct_fields__
            if name not in ("source", "start", "end", "name_start", "name_end", "header_end")
        ]
        if type(node).__name__ == "SplatItem":
            return "SplatItem"
        return (type(node).__name__, *(shape(getattr(node, name)) for name in kept))
    if isinstance(node, dict):
        return {name: shape(inner) for name, inner in node.items()}
    if isinstance(node, list | tuple):
        return [shape(inner) for inner in node]
    return node


@FAST
@given(values)
def test_a_printed_value_is_read_back(value):
    assert evaluate(parse_expression(to_text(value), "x"), Scope()) == value


@FAST
@given(values)
def test_values_survive_json(value):
    assert from_json_value(to_json_value(value)) == value
    found = evaluate(parse_expression("jsondecode(text)", "x"), Scope({"text": json_text(value)}))
    assert found == value


@FAST
@given(st.lists(expressions(), min_size=1, max_size=4))
def test_formatting_keeps_the_meaning_and_is_done_once(sources):
    text = "".join(f"a{index}   =  {source}  # c\n" for index, source in enumerate(sources))
    text += f"b x {{\n{text}\n      c {{\n      }}\n}}\n"
    before = parse_text(text, "x")
    assert before.diagnostics == []
    once = format_text(text, "x")
    assert format_text(once, "x") == once
    assert shape(parse_text(once, "x").body) == shape(before.body)


@FAST
@given(st.lists(st.tuples(st.sampled_from("+-*"), numbers), min_size=1, max_size=6), numbers)
def test_arithmetic_agrees_with_python(steps, first):
    source, wanted = to_text(first), Decimal(first)
    with localcontext() as context:
        context.prec = 400
        for operator, number in steps:
            source = f"({source}) {operator} ({to_text(number)})"
            other = Decimal(number)
            wanted = wanted + other if operator == "+" else wanted - other if operator == "-" else wanted * other
        found = Decimal(evaluate(parse_expression(source, "x"), Scope()))
        # Whole numbers are exact at any size, others to at least 100 digits.
        assert abs(found - wanted) <= abs(wanted) * Decimal(10) ** -100


@FAST
@given(st.lists(st.integers(-50, 50), max_size=8), st.integers(-60, 60))
def test_collections_agree_with_python(items, pivot):
    scope = Scope({"items": items, "pivot": pivot})

    def value(text):
        return evaluate(parse_expression(text, "x"), scope)

    assert value("[for i, v in items : v * 2 + i if v > pivot]") == [
        v * 2 + i for i, v in enumerate(items) if v > pivot
    ]
    assert list(value("toset(items)")) == sorted(set(items))
    assert value("contains(items, pivot)") == (pivot in items)
    assert value("reverse(items)") == items[::-1]
    assert value("distinct(items)") == list(dict.fromkeys(items))
    assert value("sum(concat([0], items))") == sum(items)
    groups = value('{ for v in items : v > pivot ? "more" : "less" => v... }')
    assert groups.get("more", []) == [v for v in items if v > pivot]


@FAST
@given(texts, texts)
def test_strings_agree_with_python(one, two):
    scope = Scope({"one": one, "two": two})

    def value(text):
        return evaluate(parse_expression(text, "x"), scope)

    assert value('"${one}-${two}"') == f"{one}-{two}"
    assert value("one == two") == (one == two)
    assert value("startswith(one, two)") == one.startswith(two)
    assert value("base64decode(base64encode(one))") == one
    assert value("urldecode(urlencode(one))") == one
    assert value('join("", split(two, one))') == ("".join(one.split(two)) if two else one)
