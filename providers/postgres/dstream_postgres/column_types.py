"""Column types: the type of a column to create, from what is known about its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dstream_sdk import Column

_JSON_TYPES = {"integer": "bigint", "number": "numeric", "boolean": "boolean", "object": "jsonb", "array": "jsonb"}
_FORMATS = {"date-time": "timestamptz", "date": "date", "uuid": "uuid"}
_LOGICAL = {
    "boolean": "boolean", "int16": "smallint", "int32": "integer", "int64": "bigint", "uint32": "bigint",
    "decimal": "numeric", "float32": "real", "float64": "double precision", "text": "text",
    "bytes": "bytea", "date": "date",
    "time": "time without time zone", "time_tz": "time with time zone", "timestamp": "timestamp without time zone",
    "timestamp_tz": "timestamp with time zone", "interval": "interval", "uuid": "uuid", "json": "jsonb",
}  # fmt: skip
_WIDER = ("smallint", "integer", "bigint", "numeric")


def declared_type(column: Column, known: Callable[[str], bool]) -> str:
    """The type for a column that the input describes. `known` says whether the target has a type of that name.

    A type of the source's own, such as an enumeration, is taken where the target has one of that name; else it is text.
    """
    source = column.source
    if column.type in ("json", "enum", "array", "other", "uint32", "interval") and source and known(source):
        return source
    if column.type == "array":
        return f"{_LOGICAL.get(column.items or '', 'text')}[]"
    plain = _LOGICAL.get(column.type, "text")
    if column.type == "decimal" and column.precision is not None:
        return f"numeric({column.precision},{column.scale or 0})"
    if column.type == "text" and column.length is not None:
        return (
            f"character({column.length})" if source.startswith("character(") else f"character varying({column.length})"
        )
    if column.type.startswith("time") and column.precision is not None:
        head, _, tail = plain.partition(" ")
        return f"{head}({min(column.precision, 6)}) {tail}"
    return plain


def widens(present: str, required: str) -> bool:
    """Whether `wanted` takes every value of `present`, both as PostgreSQL spells types."""
    if present == required:
        return False
    if required in _WIDER and present in _WIDER:
        return _WIDER.index(required) > _WIDER.index(present)
    (kind, sizes), (other, others) = _sizes(present), _sizes(required)
    if kind == "character varying":
        return other == "text" or (other == kind and (not others or (bool(sizes) and others[0] > sizes[0])))
    if kind == "numeric" and other == "numeric":
        if not sizes or not others:
            return bool(sizes)
        return others[1] >= sizes[1] and others[0] - others[1] >= sizes[0] - sizes[1]
    return kind == "real" and required == "double precision"


def _sizes(type_name: str) -> tuple[str, list[int]]:
    name, _, rest = type_name.partition("(")
    return name, [int(part) for part in rest.rstrip(")").split(",") if part.strip().isdigit()]


def json_schema_type(declared: Mapping[str, Any]) -> str:
    """The type for a property of a JSON Schema; text takes everything."""
    kinds = declared.get("type")
    kind = next((each for each in kinds if each != "null"), "") if isinstance(kinds, list) else str(kinds or "")
    return _FORMATS.get(str(declared.get("format"))) or _JSON_TYPES.get(kind, "text")


def guessed_type(token: bytes) -> str:
    """The type that one value suggests. A number is numeric: the next one may have a fraction or more digits."""
    if token in (b"true", b"false"):
        return "boolean"
    if token[:1] in (b"{", b"["):
        return "jsonb"
    return "numeric" if token[:1] in b"-0123456789" else "text"
