"""Keywords of JSON Schema in the schemas of providers: each is checked, or refused by name."""

from decimal import Decimal
from typing import Any

import pytest

from dstream.engine.evaluate.json_schema import problems_of
from dstream.lang import Unknown
from dstream.plugins.schema import parse_schema
from dstream.plugins.schema_keywords import CHECKED, unsupported_keywords

EITHER = [{"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}, {"type": "null"}]
RULES: list[tuple[str, dict[str, Any], list[Any], list[Any]]] = [
    ("additionalProperties", {"additionalProperties": False}, [{}], [{"a": 1}]),
    ("allOf", {"allOf": [{"minimum": 1}, {"anyOf": [{"maximum": 3}]}]}, [2], [0, 4]),
    ("anyOf", {"anyOf": EITHER}, [{"a": 1}, None], [{"a": "x"}, {"b": 1}, 7]),
    ("const", {"const": 1}, [1, Decimal("1.0")], [2, True, "1"]),
    ("enum", {"enum": ["a", None, 1]}, ["a", 1], ["b", True, "1"]),
    ("exclusiveMaximum", {"exclusiveMaximum": 3}, [2], [3]),
    ("exclusiveMinimum", {"exclusiveMinimum": 3}, [4], [3]),
    ("items", {"items": {"type": "string"}}, [["a"], []], [[1]]),
    ("maxItems", {"maxItems": 1}, [[1]], [[1, 2]]),
    ("maxLength", {"maxLength": 2}, ["ab", "\u00e9\u00e9"], ["abc"]),
    ("maxProperties", {"maxProperties": 1}, [{"a": 1}], [{"a": 1, "b": 1}]),
    ("maximum", {"maximum": 3}, [3], [4]),
    ("minItems", {"minItems": 1}, [[1]], [[]]),
    ("minLength", {"minLength": 1}, ["a"], [""]),
    ("minProperties", {"minProperties": 1}, [{"a": 1}], [{}]),
    ("minimum", {"minimum": 3}, [3], [2]),
    ("multipleOf", {"multipleOf": Decimal("0.5")}, [1, Decimal("1.5")], [Decimal("0.7")]),
    ("not", {"not": {"enum": ["a"]}}, ["b"], ["a"]),
    ("oneOf", {"oneOf": [{"type": "integer"}, {"minimum": 2}]}, [1, Decimal("2.5")], [2, Decimal("1.5")]),
    ("pattern", {"pattern": "^a+$"}, ["aa"], ["b"]),
    ("properties", {"properties": {"a": {"type": "string"}}}, [{"a": "x"}, {"b": 1}], [{"a": 1}]),
    ("required", {"required": ["a"]}, [{"a": 1}], [{}]),
    ("type", {"type": ["string", "null"]}, ["a"], [1]),
    (
        "uniqueItems",
        {"uniqueItems": True},
        [[1, 2], [1, True], [1, "1"], [[1], [2]], [], [Unknown(), Unknown()]],
        [[1, 1], [1, Decimal("1.0")], [[1], [1]], [{"a": 1, "b": 2}, {"b": 2, "a": 1}], [None, None]],
    ),
]


@pytest.mark.parametrize(("keyword", "schema", "good", "bad"), RULES, ids=[rule[0] for rule in RULES])
def test_each_keyword_is_checked(keyword: str, schema: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if list(problems_of(schema, value, ("it",)))] == []
    assert [value for value in bad if not list(problems_of(schema, value, ("it",)))] == []
    assert not list(problems_of(schema, Unknown(), ("it",)))


def test_the_list_of_checked_keywords_is_the_one_that_is_tested() -> None:
    assert {rule[0] for rule in RULES} == CHECKED


def test_an_alternative_says_what_is_wrong_inside_of_it() -> None:
    assert list(problems_of({"anyOf": EITHER}, {"a": "x"}, ("it",))) == [
        (("it", "a"), "this is a text, and it takes a whole number")
    ]


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ({"patternProperties": {"^a": {}}}, "size.patternProperties"),
        ({"items": {"if": {}}}, "size.if"),
        ({"anyOf": [{"$ref": "#/x"}]}, "size.$ref"),
        ({"properties": {"inner": {"dependentRequired": {}}}}, "size.inner.dependentRequired"),
        ({"additionalProperties": {"contains": {}}}, "size.contains"),
    ],
)
def test_any_other_keyword_is_refused_by_name(part: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match="does not check") as refusal:
        parse_schema("rec", {"schema": {"properties": {"size": part}}})
    assert name in str(refusal.value)


def test_annotations_and_names_of_attributes_are_no_keywords() -> None:
    schema = {"$schema": "x", "properties": {"if": {"format": "date", "x-alias-of": "a", "deprecated": True}}}
    assert list(unsupported_keywords(schema)) == []
