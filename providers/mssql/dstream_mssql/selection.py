"""Selection: the tables that a configuration selects, and their keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dstream_mssql.names import Pattern, Table, parse_patterns, parse_table
from dstream_mssql.settings import InputSettings
from dstream_sdk import InvalidError


def patterns_of(config: InputSettings) -> tuple[Pattern, ...]:
    """Return the patterns of `tables`. Raises InvalidError."""
    return parse_list(config.tables, "tables")


def parse_list(texts: list[str], name: str) -> tuple[Pattern, ...]:
    """Parse the patterns of a setting. Raises InvalidError."""
    try:
        return parse_patterns(texts)
    except ValueError as problem:
        raise InvalidError("Invalid setting", f"config.{name}: {problem}", path=f"config.{name}") from None


def keys_of(config: InputSettings) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Return the configured keys by folded table name. Raises InvalidError."""
    try:
        found: dict[Table, Any] = {parse_table(name): tuple(columns) for name, columns in config.keys.items()}
    except ValueError as problem:
        raise InvalidError("Invalid setting", f"config.keys: {problem}", path="config.keys") from None
    patterns = patterns_of(config)
    for table in found:
        if patterns and not any(pattern.matches(table) for pattern in patterns):
            raise InvalidError("Invalid setting", f"config.keys: {table.full} is not in `tables`", path="config.keys")
    return {table.folded: columns for table, columns in found.items()}
