"""Bodies, references, inlining and JSON."""

from decimal import Decimal

import pytest

from dstream.config import load_text, parse_expression, parse_text
from dstream.diagnostics import DiagnosticsError
from dstream.lang import (
    Module,
    Scope,
    Sensitive,
    SetValue,
    Unknown,
    evaluate,
    evaluate_body,
    from_json_value,
    inline_locals,
    references,
    to_json_value,
)
from dstream.lang.jsonvalue import write_json
from dstream_state.codec import from_text, to_text


def body(text, **names):
    return evaluate_body(parse_text(text, "x").body, Scope(names))


def test_nested_blocks_become_lists_of_objects():
    assert body("a = 1\nb {\n  c = 2\n}\nb {\n}\nd {\n  e { f = 3 }\n}\n") == {
        "a": 1, "b": [{"c": 2}, {}], "d": [{"e": [{"f": 3}]}],
    }  # fmt: skip


def test_dynamic_blocks_are_expanded():
    text = 'dynamic "t" {\n  for_each = x\n  content {\n    n = t.value\n    k = t.key\n  }\n}\nt {\n  n = 0\n}\n'
    assert body(text, x=["a", "b"])["t"] == [{"k": 0, "n": "a"}, {"k": 1, "n": "b"}, {"n": 0}]
    assert body(text, x={"q": 1})["t"][0] == {"k": "q", "n": 1}
    assert body(text, x=SetValue(["s"]))["t"][0] == {"k": "s", "n": "s"}
    renamed = 'dynamic "t" {\n  for_each = x\n  iterator = i\n  content {\n    n = i.value\n  }\n}\n'
    assert body(renamed, x=[1])["t"] == [{"n": 1}]
    assert isinstance(body(text, x=Unknown())["t"], Unknown)
    assert isinstance(body(renamed, x=Sensitive([1], {"var x"}))["t"], Sensitive)


@pytest.mark.parametrize(
    "text",
    ['dynamic "t" {\n}\n', 'dynamic "t" {\n  for_each = 5\n  content {\n  }\n}\n', "a = 1\na {\n}\n", 'b "l" {\n}\n'],
)
def test_a_wrong_block_is_explained(text):
    with pytest.raises(DiagnosticsError) as caught:
        body(text)
    assert caught.value.diagnostics[0].detail


def test_all_wrong_arguments_are_reported():
    with pytest.raises(DiagnosticsError) as caught:
        body("a = nope\nb = 1 + null\nc {\n  d = nosuch()\n}\n")
    assert [d.subject.start.line for d in caught.value.diagnostics] == [1, 2, 4]


def test_settings_may_be_an_expression():
    config = load_text(
        'task "t" {\n  input {\n    provider = "a"\n    config = merge({ a = 1 }, { b = 2 })\n  }\n  output {\n'
        '    provider = "b"\n  }\n}\n'
    )
    assert evaluate_body(config.tasks["t"].input.config, Scope()) == {"a": 1, "b": 2}


def shown(text):
    return [str(reference) for reference in references(parse_expression(text, "x"))]


def test_references_are_the_static_parts_of_names():
    assert shown("local.tables") == ["local.tables"]
    assert shown('a.b["c"].d + e[0].f') == ["a.b.c.d", "e[0].f"]
    assert shown("a.b[each.key].c") == ["a.b", "each.key"]
    assert shown('[for x in local.l : "${x.y}${z.q}" if x != w]') == ["local.l", "z.q", "w"]
    assert shown("a.b[*].c") == ["a.b"]
    assert shown("{ x = y, (z) = f(v...) }") == ["y", "z", "v"]
    assert shown('"%{ for a in b }${a}${c}%{ endfor }"') == ["b", "c"]


def test_references_of_a_body_leave_out_iterators():
    parsed = parse_text('a = x.y\ndynamic "t" {\n  for_each = l.m\n  content {\n    n = t.value + o.p\n  }\n}\n', "x")
    assert [str(r) for r in references(parsed.body)] == ["x.y", "l.m", "o.p"]


def test_locals_are_inlined_so_that_the_text_means_the_same():
    text = (
        'locals {\n  a = 1 + 2\n  b = "${local.a}-{{ env "X" }}"\n  c = local.a * local.a\n'
        "  d = [for x in [local.b] : x]\n"
        "  e = <<-E\n    ${local.a}\n  E\n  f = upper(local.e)\n}\n"
    )
    config = load_text(text)
    module = Module(config, env={"X": "x"})
    for name, attribute in config.locals.items():
        inlined = inline_locals(attribute.expr, config)
        assert "local." not in inlined
        assert evaluate(parse_expression(inlined, "y"), Scope(surroundings=module.surroundings)) == evaluate(
            attribute.expr, module.scope()
        ), name


def test_values_become_json_and_come_back():
    value = {"a": [1, Decimal("1.5"), None, True], "$b": {"c": "d"}, "e": Unknown()}
    plain = to_json_value(value)
    assert plain == {"$object": {"a": [1, Decimal("1.5"), None, True], "$b": {"c": "d"}, "e": {"$unknown": True}}}
    assert from_json_value(from_text(to_text(plain))) == value
    assert to_json_value(Sensitive(SetValue(["b", "a"]))) == ["a", "b"]


def test_numbers_keep_all_their_digits_in_json():
    for text in ("0.1234567890123456789012345", "12345678901234567890123456789", "1.1"):
        value = evaluate(parse_expression(text, "x"), Scope())
        assert write_json(to_json_value(value)) == text
        assert evaluate(parse_expression(write_json(to_json_value(value)), "x"), Scope()) == value


def test_an_object_that_looks_like_a_marker_is_told_from_one():
    value = {"$unknown": True}
    assert from_json_value(to_json_value(value)) == value
