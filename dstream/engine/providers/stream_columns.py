"""Stream columns: the columns that a stream declares, as the state keeps them: a text for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST_COLUMNS = 20_000
"""The columns of one task that the state keeps. With more of them, it keeps none."""


def stream_columns(stream: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns of a stream by name, as `decimal(12,2)`, with `?` behind those that may be null."""
    return {
        str(each["name"]): _text(each)
        for each in stream.get("columns", ())
        if isinstance(each, dict) and "name" in each
    }


def _text(column: Mapping[str, Any]) -> str:
    kind = str(column.get("type", "other"))
    if kind == "array":
        kind = f"array of {column.get('items', 'other')}"
    elif kind == "other" and column.get("source"):
        kind = str(column["source"])
    elif kind == "enum":
        kind = f"enum {', '.join(map(str, column.get('values') or ()))}"
    sizes = (
        [column.get("length")] if column.get("length") is not None else [column.get("precision"), column.get("scale")]
    )
    known = ",".join(str(size) for size in sizes if size is not None)
    shown = f"{kind}({known})" if known and not kind.endswith(")") else kind
    return shown if column.get("nullable") is False else f"{shown}?"
