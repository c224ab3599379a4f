"""Trees: a generated tree that is written down is what the parser reads back, with its precedence and its places."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dstream.config import parse_expression
from dstream.config.syntax.parser import allow_depth
from tests.unit.lang.test_properties import shape

allow_depth()  # once, before hypothesis looks at the limit of recursion

LEVELS = [("||",), ("&&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%")]
STRENGTH = {operator: strength for strength, level in enumerate(LEVELS, 1) for operator in level}
names = st.sampled_from(["x", "local", "été", "a-b", "_1", "if_", "forum"])
texts = st.sampled_from(["", "a b", "é\n", 'q"', "$", "${", "%{x}", "\\"])
# `{{` would start one of Go's templates.
WRITTEN = {"é\n": "é\\n", 'q"': 'q\\"', "${": "$${", "%{x}": "%%{x}", "\\": "\\\\"}


def strength(tree):
    """How tightly a tree holds together: a conditional least, a term most."""
    return STRENGTH[tree[1]] if tree[0] == "Binary" else {"Conditional": 0, "Unary": 7}.get(tree[0], 8)


def at_least(tree, least):
    return tree if strength(tree) >= least else ("Parentheses", tree)


def unless_text(tree):
    """A text in a text is one text: the parser puts them together."""
    return ("Parentheses", tree) if tree[0] == "Literal" and isinstance(tree[1], str) else tree


def trees():
    """Return trees as `shape` gives them, with parentheses where precedence asks for them."""
    leaves = st.one_of(
        names.map(lambda name: ("Variable", name)),
        st.sampled_from([0, 12, True, False, None]).map(lambda value: ("Literal", value)),
        texts.map(lambda text: ("Literal", text)),
    )

    def larger(inner):
        pair, triple = st.tuples(inner, inner), st.tuples(inner, inner, inner)
        operators = st.sampled_from(sorted(STRENGTH))
        some = st.lists(inner, max_size=3)
        return st.one_of(
            st.tuples(operators, pair).map(
                lambda it: (
                    "Binary",
                    it[0],
                    at_least(it[1][0], STRENGTH[it[0]]),
                    at_least(it[1][1], STRENGTH[it[0]] + 1),
                )
            ),
            st.tuples(st.sampled_from("-!"), inner).map(lambda it: ("Unary", it[0], at_least(it[1], 7))),
            triple.map(lambda it: ("Conditional", at_least(it[0], 1), it[1], it[2])),
            some.map(lambda items: ("TupleExpr", items)),
            some.map(lambda items: ("ObjectExpr", [[("Literal", f"k{i}"), item] for i, item in enumerate(items)])),
            st.tuples(inner, names).map(lambda it: ("GetAttr", term(it[0]), it[1])),
            pair.map(lambda it: ("Index", term(it[0]), it[1])),
            st.tuples(some, st.booleans()).map(lambda it: ("Call", "ns::f", it[0], it[1] and bool(it[0]))),
            triple.map(lambda it: ("For", "k", "v", it[0], None, it[1], it[2], False)),
            triple.map(lambda it: ("For", None, "v", it[0], it[1], it[2], None, True)),
            inner.map(lambda it: ("TemplateWrap", it)),
            inner.map(lambda it: ("Template", [("Literal", "a "), unless_text(it), ("Literal", " b")])),
            triple.map(lambda it: ("Template", [("TemplateIf", it[0], ("Template", [it[1]]), ("Template", [it[2]]))])),
        )

    return st.recursive(leaves, larger, max_leaves=12)


def term(tree):
    return tree if tree[0] in ("Variable", "GetAttr", "Index", "Call", "TupleExpr") else ("Parentheses", tree)


def written(tree):
    """Write a tree down."""
    kind, *parts = tree
    match kind:
        case "Variable":
            return parts[0]
        case "Literal":
            if isinstance(parts[0], str):
                return f'"{WRITTEN.get(parts[0], parts[0])}"'
            return {True: "true", False: "false", None: "null"}.get(parts[0], str(parts[0])) if parts[0] != 0 else "0"
        case "Parentheses":
            return f"( {written(parts[0])})"
        case "Binary":
            return f"{written(parts[1])} {parts[0]} {written(parts[2])}"
        case "Unary":
            return f"{parts[0]}{written(parts[1])}"
        case "Conditional":
            return f"{written(parts[0])} ? {written(parts[1])} : {written(parts[2])}"
        case "TupleExpr":
            return f"[{', '.join(map(written, parts[0]))}]"
        case "ObjectExpr":
            return "{\n" + "".join(f"{key[1]} = {written(value)}\n" for key, value in parts[0]) + "}"
        case "GetAttr":
            return f"{written(parts[0])}.{parts[1]}"
        case "Index":
            return f"{written(parts[0])}[{written(parts[1])}]"
        case "Call":
            return f"{parts[0]}({', '.join(map(written, parts[1]))}{'...' if parts[2] else ''})"
        case "For":
            return _for(*parts)
        case "TemplateWrap":
            return f'"${{{written(parts[0])}}}"'
    return f'"{"".join(map(_template, parts[0]))}"'


def _for(key_name, value_name, collection, key, value, condition, grouping):
    intro = f"for {key_name + ', ' if key_name else ''}{value_name} in {written(collection)} :"
    end = f" if {written(condition)}" if condition else ""
    if key is None:
        return f"[{intro} {written(value)}{end}]"
    return f"{{{intro} {written(key)} => {written(value)}{'...' if grouping else ''}{end}}}"


def _template(part):
    if part[0] == "TemplateIf":
        yes, no = part[2][1][0], part[3][1][0]
        return f"%{{ if {written(part[1])} }}${{{written(yes)}}}%{{ else }}${{{written(no)}}}%{{ endif }}"
    return part[1] if part[0] == "Literal" and part[1] in ("a ", " b") else f"${{{written(part)}}}"


@settings(max_examples=3 * settings().max_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees())
def test_a_tree_that_is_written_down_is_read_back(tree):
    text = written(tree)
    found = parse_expression(text, "x")
    assert shape(found) == tree, text
    assert found.text == text


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        ("1 + 2 * 3", "1 + (2 * 3)"), ("1 - 2 - 3", "(1 - 2) - 3"), ("a && b || c && d", "(a && b) || (c && d)"),
        ("a == b && c != d", "(a == b) && (c != d)"), ("a < b == c > d", "(a < b) == (c > d)"),
        ("a + b < c * d", "(a + b) < (c * d)"), ("-a + b", "(-a) + b"), ("!a && b", "(!a) && b"),
        ("-a.b[0]", "-(a.b[0])"), ("a ? b : c ? d : e", "a ? b : (c ? d : e)"), ("a || b ? c : d", "(a || b) ? c : d"),
        ("a % b / c", "(a % b) / c"), ("a != b == c", "(a != b) == c"),
    ],
)  # fmt: skip
def test_precedence_is_that_of_the_specification(text, grouped):
    def plain(tree):
        if isinstance(tree, tuple) and tree[0] == "Parentheses":
            return plain(tree[1])
        return type(tree)(map(plain, tree)) if isinstance(tree, list | tuple) else tree

    assert plain(shape(parse_expression(text, "x"))) == plain(shape(parse_expression(grouped, "x")))
