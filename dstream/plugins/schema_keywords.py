"""Schema keywords: the part of JSON Schema that schemas of providers may use.

A keyword that is not checked would be ignored without a word; so a schema that has another one is refused. Annotations,
`x-` members, and members of the names of properties say nothing about values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_MAPS = ("properties",)
_LISTS = ("anyOf", "oneOf", "allOf")
_SCHEMAS = ("items", "additionalProperties", "not")
_LIMITS = (
    "type", "required", "enum", "const", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties",
)  # fmt: skip
CHECKED = frozenset({*_MAPS, *_LISTS, *_SCHEMAS, *_LIMITS})
"""The keywords that dstream checks."""
_ANNOTATIONS = frozenset({
    "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "format", "$schema", "$id",
    "$comment", "contentEncoding", "contentMediaType",
})  # fmt: skip


def unsupported_keywords(schema: Any, place: str = "") -> Iterator[str]:
    """Yield each keyword that dstream does not check, with its place, such as `size.patternProperties`."""
    if not isinstance(schema, Mapping):
        return
    for keyword, value in schema.items():
        if keyword in _MAPS and isinstance(value, Mapping):
            for name, part in value.items():
                yield from unsupported_keywords(part, f"{place}{name}.")
        elif keyword in _LISTS and isinstance(value, list | tuple):
            for part in value:
                yield from unsupported_keywords(part, place)
        elif keyword in _SCHEMAS:
            yield from unsupported_keywords(value, place)
        elif keyword not in CHECKED and keyword not in _ANNOTATIONS and not keyword.startswith("x-"):
            yield f"{place}{keyword}"


def require_supported(schema: Any, what: str) -> None:
    """Raise ValueError with the keywords of a schema that dstream does not check."""
    found = sorted(set(unsupported_keywords(schema)))
    if found:
        raise ValueError(
            f"{what} uses keywords of JSON Schema that dstream does not check: {', '.join(found)}. It checks: "
            f"{', '.join(sorted(CHECKED))}"
        )
