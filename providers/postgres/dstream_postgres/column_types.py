"""Column types: what a created column is, by what is known about its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_JSON_TYPES = {"integer": "bigint", "number": "numeric", "boolean": "boolean", "object": "jsonb", "array": "jsonb"}
_FORMATS = {"date-time": "timestamptz", "date": "date", "uuid": "uuid"}


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
