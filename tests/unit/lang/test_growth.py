"""Work that grows with the size of its input, not with its square: counted, not timed."""

import difflib

import pytest

from dstream.config import parse_expression
from dstream.diagnostics import DiagnosticsError
from dstream.lang import Scope, SetValue, evaluate, values
from dstream.lang.functions import collections, files
from dstream.lang.scope import Surroundings

MANY = 2_000


@pytest.mark.parametrize("text", ['try(o["x${i}"], 0)', 'can(o["x${i}"]) ? 1 : 0', 'false ? o["x${i}"] : 0'])
def test_errors_that_are_not_shown_look_for_no_similar_names(text, monkeypatch):
    monkeypatch.setattr(difflib, "get_close_matches", None)
    scope = Scope({"o": {f"k{index}": 1 for index in range(MANY)}})
    found = evaluate(parse_expression(f"[for i in range(100): {text}]", "x"), scope)
    assert found == [0] * 100


def test_an_error_that_is_shown_suggests_names_also_behind_try():
    with pytest.raises(DiagnosticsError) as caught:
        evaluate(parse_expression("try(o.nam, can(o.naem) ? o.nam : 1 + null)", "x"), Scope({"o": {"name": 1}}))
    assert "Did you mean name?" in caught.value.diagnostics[0].detail
    with pytest.raises(DiagnosticsError) as caught:
        evaluate(parse_expression("try(o.name, 1) == 1 ? o.nam : 1", "x"), Scope({"o": {"name": 1}}))
    assert "Did you mean name?" in caught.value.diagnostics[0].detail


@pytest.mark.parametrize(
    "text",
    ["toset(l)", "setsubtract(l, m)", "setintersection(l, m)", "setunion(l, m)", "distinct(l)", "matchkeys(l, l, m)"],
)
@pytest.mark.parametrize("make", [lambda index: f"a{index}", lambda index: {"a": index, "b": [index]}])
def test_sets_compare_no_element_with_each_other_one(text, make, monkeypatch):
    def refuse(left, right):
        raise AssertionError("compared one by one")

    monkeypatch.setattr(values, "same", refuse)
    monkeypatch.setattr(collections, "same", refuse)
    scope = Scope({"l": [make(index) for index in range(MANY)], "m": [make(index) for index in range(1, MANY)]})
    found = evaluate(parse_expression(text, "x"), scope)
    expected = {"setsubtract": 1, "setintersection": MANY - 1, "matchkeys": MANY - 1}.get(text.split("(")[0], MANY)
    assert len(found) == expected


def test_sets_with_unknown_parts_keep_each_of_them():
    unknown = values.Unknown()
    assert len(SetValue([{"a": unknown}, {"a": 1}, {"a": 1}, unknown, unknown])) == 4


def test_a_template_that_includes_itself_without_end_is_a_short_error(tmp_path):
    (tmp_path / "loop.tmpl").write_text('a ${templatefile("loop.tmpl", {})}')
    scope = Scope({}, surroundings=Surroundings(root=tmp_path))
    with pytest.raises(DiagnosticsError) as caught:
        evaluate(parse_expression('templatefile("loop.tmpl", {})', "x"), scope)
    assert len(caught.value.diagnostics[0].detail) < 2_000


@pytest.mark.parametrize("other", ["loop.tmpl", "back.tmpl"])
def test_templates_render_each_other_to_a_limited_depth(tmp_path, monkeypatch, other):
    (tmp_path / "loop.tmpl").write_text(f'a ${{templatefile("{other}", {{}})}}')
    (tmp_path / "back.tmpl").write_text('b ${templatefile("loop.tmpl", {})}')
    read, parsed = files.read, []
    monkeypatch.setattr(files, "read", lambda *given: parsed.append(given) or read(*given))
    scope = Scope({}, surroundings=Surroundings(root=tmp_path))
    assert evaluate(parse_expression('try(templatefile("loop.tmpl", {}), 1)', "x"), scope) == 1
    assert len(parsed) <= 1_100


@pytest.mark.parametrize("text", ['contains(l, "a1999")', 'index(l, "a1999") == 1999', '!contains(l, "none")'])
def test_a_string_is_searched_in_a_list_without_a_comparison_of_each_value(text, monkeypatch):
    monkeypatch.setattr(collections, "same", None)
    monkeypatch.setattr(collections, "equal", None)
    assert evaluate(parse_expression(text, "x"), Scope({"l": [f"a{index}" for index in range(MANY)]})) is True


def test_a_string_is_found_beside_sensitive_and_other_values():
    scope = Scope({"l": [1, values.Sensitive("a", {"var s"}), None, ["b"]]})
    found = evaluate(parse_expression('[contains(l, "a"), contains(l, "b"), contains(l, "1")]', "x"), scope)
    assert [each.value for each in found] == [True, False, False]


def test_a_set_of_objects_with_unknown_parts_compares_none_with_another(monkeypatch):
    monkeypatch.setattr(values, "same", None)
    items = [{"a": index % 500, "b": [values.Unknown()]} for index in range(MANY)]
    assert len(SetValue(items)) == 500
