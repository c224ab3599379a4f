"""JSON Schema: what a schema does not allow in a value of a configuration, in words for its author. Pure.

Covers the keywords in `dstream.plugins.schema_keywords`; a schema with others is refused when a provider is probed.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from dstream.engine.evaluate.answer_types import is_of_type
from dstream.engine.evaluate.source_paths import Path
from dstream.lang import Unknown, to_text
from dstream.lang.patterns import compile_pattern
from dstream.lang.values import identity, same
from dstream.plan import has_unknown_part

_NAMES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def missing_names(schema: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names that `required`, or an alternative of `required`, demands and that have no value."""

    def given(name: str) -> bool:
        return values.get(name) is not None

    for name in schema.get("required", ()):
        if not given(name):
            yield name
    for part in schema.get("allOf", ()):
        yield from missing_names(part, values)
    choices = schema.get("anyOf", ())
    if choices and all(choice.keys() == {"required"} for choice in choices):
        sets = [tuple(choice["required"]) for choice in choices]
        if not any(all(given(name) for name in names) for names in sets):
            first, *others = (" and ".join(names) for names in sets)
            yield f"{first} (also accepted: {', '.join(others)})" if others else first


def problems_of(schema: Any, value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield what the schema does not allow in a clear value (Unknown inside), each with its path.

    Raises PatternError if a pattern of the schema is no regular expression.
    """
    if isinstance(value, Unknown) or not isinstance(schema, Mapping):
        return
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else list(types)
    if types and not any(is_of_type(value, type_) for type_ in types):
        takes = [_NAMES.get(type_, type_) for type_ in types if type_ != "null"]
        yield path, f"this is {_kind(value)}, and it takes {' or '.join(takes)}"
        return
    if "enum" in schema and not any(same(value, each) for each in schema["enum"]):
        shown = ", ".join(to_text(each) for each in schema["enum"] if each is not None)
        yield path, f"{to_text(value)} is none of {shown}"
    if "const" in schema and not same(value, schema["const"]):
        yield path, f"{to_text(value)} is not {to_text(schema['const'])}"
    if isinstance(value, str):
        if "pattern" in schema and compile_pattern(schema["pattern"]).search(value) is None:
            desired = _NAMES["integer"] if "integer" in types else f"a text like {schema['pattern']}"
            yield path, f"{to_text(value)} is not {desired}"
        if len(value) < schema.get("minLength", 0):
            yield path, "it may not be empty" if not value else "it is too short"
        if len(value) > schema.get("maxLength", len(value)):
            yield path, f"it is too long: at most {schema['maxLength']} characters"
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            yield path, f"{value} is less than {schema['minimum']}"
        if "maximum" in schema and value > schema["maximum"]:
            yield path, f"{value} is more than {schema['maximum']}"
        if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
            yield path, f"{value} is not more than {schema['exclusiveMinimum']}"
        if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
            yield path, f"{value} is not less than {schema['exclusiveMaximum']}"
        if "multipleOf" in schema and Decimal(value) % Decimal(str(schema["multipleOf"])) != 0:
            yield path, f"{value} is not a multiple of {schema['multipleOf']}"
    elif isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield path, "it may not be empty" if not value else f"it needs at least {schema['minItems']} items"
        if len(value) > schema.get("maxItems", len(value)):
            yield path, f"it takes at most {schema['maxItems']} items"
        if schema.get("uniqueItems"):
            yield from _duplicates(value, path)
        for index, item in enumerate(value):
            yield from problems_of(schema.get("items", {}), item, (*path, index))
    elif isinstance(value, Mapping):
        yield from _object_problems(schema, value, path)
    yield from alternatives_of(schema, value, path)


def alternatives_of(schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield what `allOf`, `anyOf`, `oneOf` and `not` do not allow; what only demands names is for `missing_names`."""
    for part in schema.get("allOf", ()):
        if not _demands_names(part):
            yield from problems_of(part, value, path)
    for keyword in ("anyOf", "oneOf"):
        choices = schema.get(keyword, ())
        if not choices or (keyword == "anyOf" and _demands_names({"anyOf": choices})):
            continue
        found = [list(problems_of(choice, value, path)) for choice in choices]
        fitting = sum(not each for each in found)
        if not fitting:
            # An error within the alternative of this type is more specific than the error that none matches.
            inside = [each for each in found if all(where != path for where, _ in each)]
            yield from (
                inside[0] if len(inside) == 1 else [(path, "it fits none of the alternatives that the schema has")]
            )
        elif fitting > 1 and keyword == "oneOf" and not has_unknown_part(value):
            yield path, f"it fits {fitting} alternatives of the schema, and may fit only one"
    if "not" in schema and not has_unknown_part(value) and not any(problems_of(schema["not"], value, path)):
        yield path, "the schema excludes this value"


def _demands_names(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema has nothing but `required`, and alternatives of it."""
    choices = schema.get("anyOf", ())
    return (
        schema.keys() <= {"required", "anyOf", "allOf"}
        and all(choice.keys() == {"required"} for choice in choices)
        and all(map(_demands_names, schema.get("allOf", ())))
    )


def _object_problems(schema: Mapping[str, Any], value: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    properties = schema.get("properties", {})
    rest = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in properties:
            if item is not None:
                yield from problems_of(properties[name], item, (*path, name))
        elif rest is False:
            import difflib

            near = difflib.get_close_matches(name, list(properties), n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(sorted(properties))}"
            yield (*path, name), f"there is no such argument; {hint}"
        elif isinstance(rest, Mapping):
            yield from problems_of(rest, item, (*path, name))
    for names in missing_names(schema, value):
        yield path, f"it needs {names}"
    if len(value) < schema.get("minProperties", 0):
        yield path, f"it needs at least {schema['minProperties']} members"
    if len(value) > schema.get("maxProperties", len(value)):
        yield path, f"it takes at most {schema['maxProperties']} members"


def _duplicates(items: list[Any], path: Path) -> Iterator[tuple[Path, str]]:
    """Yield each item that is equal to an earlier one; one with an unknown part is not known to be."""
    first: dict[Hashable, int] = {}
    for index, item in enumerate(items):
        key = identity(item)
        if key is not None and first.setdefault(key, index) != index:
            yield (*path, index), f"it is equal to item {first[key]}, and each item may be given only once"


def _kind(value: Any) -> str:
    for type_ in ("boolean", "integer", "number", "string", "array", "object"):
        if is_of_type(value, type_):
            return _NAMES[type_]
    return "something else"
