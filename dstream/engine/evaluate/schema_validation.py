"""Schema validation: checks arguments of a configuration against the schema of its provider.

Covers the part of JSON Schema (https://json-schema.org/draft/2020-12) that provider schemas use: type, properties,
required, additionalProperties, items, enum, pattern, minimum, maximum, minLength, minItems, anyOf and allOf of
`required`, and `x-alias-of`. Unknown values pass.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

from dstream.config import Body, ResourceBlock
from dstream.diagnostics import Diagnostic, SourceRange, error, warning
from dstream.engine.evaluate.coercion import converted
from dstream.engine.evaluate.desired import split_sensitive
from dstream.engine.evaluate.source_paths import Path, name_range, value_range
from dstream.engine.setup.block_graph import provider_of
from dstream.lang import Unknown, to_text
from dstream.lang.patterns import PatternError, compile_pattern
from dstream.plugins import ProviderInfo, ResourceSchema

_FIRST_NAME = re.compile(r"[.\[]")
_NAMES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def check_resource(
    schema: ResourceSchema, values: Mapping[str, Any], sensitive: Collection[Path], block: ResourceBlock
) -> list[Diagnostic]:
    """Return the errors in the attributes of one instance of a block; see `check_arguments`."""
    needed = [name for name in schema.schema.get("required", ()) if name not in schema.computed]
    form = {**schema.schema, "required": needed}
    address = f"{block.type}.{block.name}"
    provider = provider_of(block)
    found = check_arguments(form, values, sensitive, block.body, block.type, provider=provider, address=address)
    return [*found, *_ignored_names(form, block, address)]


def _ignored_names(schema: Mapping[str, Any], block: ResourceBlock, address: str) -> Iterator[Diagnostic]:
    """Yield an error for each name in `ignore_changes` that no attribute has."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    if block.lifecycle.ignore_changes == "all" or schema.get("additionalProperties") is not False:
        return
    for text in block.lifecycle.ignore_changes:
        name = _FIRST_NAME.split(text, 1)[0]
        if name not in properties:
            yield _unknown_name(name, properties, block.range, f"ignore_changes of {block.type}", address)


def check_settings(config: Any, body: Body | None, info: ProviderInfo, *, address: str) -> list[Diagnostic]:
    """Return the errors in the configuration of a provider; see `check_arguments`."""
    if info.config_schema is None or body is None:
        return []
    values, sensitive = split_sensitive(converted(info.config_schema, config))
    what = f"The provider {info.name}"
    return check_arguments(info.config_schema, values, sensitive, body, what, provider=info.name, address=address)


def check_arguments(
    schema: Mapping[str, Any],
    values: Mapping[str, Any],
    sensitive: Collection[Path],
    body: Body,
    what: str,
    *,
    provider: str,
    address: str,
) -> list[Diagnostic]:
    """Return the errors in clear values (Unknown inside) by the schema, each with its range in `body`.

    A value at a path of `sensitive` is not shown. Deprecated names cause a warning. A pattern in the schema that is not
    a regular expression is an error of `provider`.
    """
    found: list[Diagnostic] = []
    properties: Mapping[str, Any] = schema.get("properties", {})
    closed = schema.get("additionalProperties") is False
    for name, value in values.items():
        part = properties.get(name)
        if part is None:
            if closed:
                found.append(_unknown_name(name, properties, name_range(body, name), what, address))
            continue
        if value is None:
            continue
        try:
            problems = list(_problems(part, value, (name,)))
        except PatternError as wrong:
            detail = (
                f"{provider}: the schema of {name} has a pattern that is not a regular expression of RE2 "
                f"(https://github.com/google/re2/wiki/Syntax): {wrong}. Report this to the authors of the provider."
            )
            found.append(
                error("Provider describes itself wrongly", detail, value_range(body, (name,)), address=address)
            )
            continue
        for path, problem in problems:
            if any(path[: len(secret)] == secret for secret in sensitive):
                problem = "the value is sensitive, so it is not shown; it is not what this argument takes"
            detail = f"{_written(path)}: {problem}."
            found.append(error("Wrong argument", detail, value_range(body, path), address=address))
        if part.get("deprecated") or ("x-alias-of" in part and name != name.lower()):
            newer = part.get("x-alias-of")
            detail = (
                f"{name} is an older name. Write {newer}." if newer else f"{name} will be removed in a later version."
            )
            found.append(warning("Deprecated name", detail, name_range(body, name), address=address))
    found.extend(
        error("Missing argument", f"{what} needs {names}.", body.range, address=address)
        for names in _missing(schema, values)
    )
    return found


def _written(path: Path) -> str:
    first, *rest = path
    return str(first) + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest)


def _unknown_name(
    name: str, properties: Mapping[str, Any], subject: SourceRange, what: str, address: str
) -> Diagnostic:
    near = difflib.get_close_matches(name, list(properties), n=1)
    known = sorted(each for each, part in properties.items() if "x-alias-of" not in part)
    hint = f"Did you mean {near[0]}?" if near else f"It takes: {', '.join(known) or 'nothing'}."
    return error("Unknown argument", f"{what} does not take {name}. {hint}", subject, address=address)


def _missing(schema: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    def given(name: str) -> bool:
        return values.get(name) is not None

    for name in schema.get("required", ()):
        if not given(name):
            yield name
    for part in schema.get("allOf", ()):
        yield from _missing(part, values)
    choices = schema.get("anyOf", ())
    if choices and all("required" in choice for choice in choices):
        sets = [tuple(choice["required"]) for choice in choices]
        if not any(all(given(name) for name in names) for names in sets):
            first, *others = (" and ".join(names) for names in sets)
            yield f"{first} (also accepted: {', '.join(others)})" if others else first


def _problems(schema: Mapping[str, Any], value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, Unknown) or not isinstance(schema, Mapping):
        return
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else list(types)
    if types and not any(_is(value, type_) for type_ in types):
        takes = [_NAMES.get(type_, type_) for type_ in types if type_ != "null"]
        yield path, f"this is {_kind(value)}, and it takes {' or '.join(takes)}"
        return
    if "enum" in schema and value not in schema["enum"]:
        shown = ", ".join(to_text(each) for each in schema["enum"] if each is not None)
        yield path, f"{to_text(value)} is none of {shown}"
    if isinstance(value, str):
        if "pattern" in schema and compile_pattern(schema["pattern"]).search(value) is None:
            desired = _NAMES["integer"] if "integer" in types else f"a text like {schema['pattern']}"
            yield path, f"{to_text(value)} is not {desired}"
        if len(value) < schema.get("minLength", 0):
            yield path, "it may not be empty" if not value else "it is too short"
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            yield path, f"{value} is less than {schema['minimum']}"
        if "maximum" in schema and value > schema["maximum"]:
            yield path, f"{value} is more than {schema['maximum']}"
    elif isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield path, "it may not be empty" if not value else f"it needs at least {schema['minItems']} items"
        for index, item in enumerate(value):
            yield from _problems(schema.get("items", {}), item, (*path, index))
    elif isinstance(value, Mapping):
        yield from _object_problems(schema, value, path)


def _object_problems(schema: Mapping[str, Any], value: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    properties = schema.get("properties", {})
    rest = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in properties:
            if item is not None:
                yield from _problems(properties[name], item, (*path, name))
        elif rest is False:
            near = difflib.get_close_matches(name, list(properties), n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(sorted(properties))}"
            yield (*path, name), f"there is no such argument; {hint}"
        elif isinstance(rest, Mapping):
            yield from _problems(rest, item, (*path, name))
    for names in _missing(schema, value):
        yield path, f"it needs {names}"


def _is(value: Any, type_: str) -> bool:
    match type_:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return not isinstance(value, bool) and isinstance(value, int | Decimal) and value == int(value)
        case "number":
            return not isinstance(value, bool) and isinstance(value, int | Decimal | float)
        case "array":
            return isinstance(value, list | tuple)
        case "object":
            return isinstance(value, Mapping)
        case "null":
            return value is None
    return True


def _kind(value: Any) -> str:
    for type_ in ("boolean", "integer", "number", "string", "array", "object"):
        if _is(value, type_):
            return _NAMES[type_]
    return "something else"
