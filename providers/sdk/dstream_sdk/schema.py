"""Schema: the JSON Schema (2020-12) of a dataclass, for `lint` and for documentation.

The schema accepts what `settings.decode` accepts: camelCase and declared aliases (marked `x-alias-of`), numbers and
booleans written as strings. `x-sensitive` marks values that are never shown.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from dstream_sdk.durations import Duration
from dstream_sdk.settings import NUMBER, WHOLE, About, about, field_types, required, spellings

_BOOLEAN_TEXT = ("true", "false", "True", "False")


def make_schema(config: type[Any], *, strict: bool = False) -> dict[str, Any]:
    """Return the JSON Schema of the dataclass `config`; `{"type": "object"}` for `dict`.

    `strict` leaves out the leniency (aliases, numbers as strings): the form for attributes of resources, which the host
    computes, rather than for settings, which people write.
    """
    if not dataclasses.is_dataclass(config):
        return {"type": "object"}
    properties: dict[str, Any] = {}
    needed: list[str] = []
    choices: list[dict[str, Any]] = []
    kinds = field_types(config)
    for field in dataclasses.fields(config):
        if not field.init:
            continue
        note = about(field)
        body = _describe(kinds[field.name], note, strict)
        if not strict and not required(field):
            body = _or_null(body)
        if note.description:
            body["description"] = note.description
        if note.sensitive:
            body["x-sensitive"] = True
        default = _default(field)
        if default is not dataclasses.MISSING and default is not None:
            body["default"] = default
        properties[field.name] = body
        others = [] if strict else spellings(field)[1:]
        for spelling in others:
            plain = {key: value for key, value in body.items() if key not in ("default", "description")}
            properties[spelling] = plain | {"x-alias-of": field.name}
        if required(field) and others:
            choices.append({"anyOf": [{"required": [name]} for name in (field.name, *others)]})
        elif required(field):
            needed.append(field.name)
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if needed:
        schema["required"] = needed
    if choices:
        schema["allOf"] = choices
    return schema


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    else:
        return dataclasses.MISSING
    if dataclasses.is_dataclass(default) and not isinstance(default, type):
        return dataclasses.asdict(default)
    if isinstance(default, set | frozenset):
        return sorted(default)
    if isinstance(default, Duration):
        return default.text
    return list(default) if isinstance(default, tuple) else default


def _describe(kind: Any, note: About, strict: bool) -> dict[str, Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union or origin is types.UnionType:
        choices = [_describe(each, note, strict) for each in arguments if each is not type(None)]
        if len(choices) < len(arguments):
            choices.append({"type": "null"})
        return {"anyOf": choices}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (list, tuple) or kind in (list, tuple):
        items = _describe(arguments[0], About(), strict) if arguments else {}
        return {"type": "array", "items": items}
    if origin in (set, frozenset) or kind in (set, frozenset):
        items = _describe(arguments[0], About(), strict) if arguments else {}
        # In a configuration an item that is given twice does no harm.
        return {"type": "array", "items": items, **({"uniqueItems": True} if strict else {})}
    if origin is dict or kind is dict:
        return {
            "type": "object",
            "additionalProperties": _describe(arguments[1], About(), strict) if arguments else True,
        }
    if dataclasses.is_dataclass(kind):
        nested = make_schema(typing.cast("type[Any]", kind), strict=strict)
        if strict:
            return nested
        # A block written in HCL arrives as a list of one.
        return {"anyOf": [nested, {"type": "array", "items": nested, "minItems": 1, "maxItems": 1}]}
    return _scalar(kind, note, strict)


def _or_null(body: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that also accepts null, which is the same as not giving a setting."""
    if "enum" in body:
        return body | {"enum": [*body["enum"], None]}
    if "type" in body:
        kinds = body["type"] if isinstance(body["type"], list) else [body["type"]]
        return body | {"type": [*kinds, "null"]}
    if "anyOf" in body and {"type": "null"} not in body["anyOf"]:
        return body | {"anyOf": [*body["anyOf"], {"type": "null"}]}
    return body


def _scalar(kind: Any, note: About, strict: bool) -> dict[str, Any]:
    if kind is bool:
        return {"type": "boolean"} if strict else {"enum": [True, False, *_BOOLEAN_TEXT]}
    if kind is str or kind is Duration:
        return {"type": "string"} if strict else {"type": ["string", "number", "boolean"]}
    if kind is int or kind is float or getattr(kind, "__name__", "") == "Decimal":
        body: dict[str, Any] = {"type": "integer" if kind is int else "number"}
        if not strict:
            pattern = WHOLE if kind is int else NUMBER
            body = {"type": [body["type"], "string"], "pattern": pattern}
        if note.minimum is not None:
            body["minimum"] = note.minimum
        if note.maximum is not None:
            body["maximum"] = note.maximum
        return body
    return {}
