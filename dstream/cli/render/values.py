"""Values as HCL literals, with placeholders for unknown and sensitive values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from dstream.lang import Unknown
from dstream.lang.markers import is_fingerprint

UNKNOWN = "(known after apply)"
SENSITIVE = "(sensitive value)"
SENSITIVE_CHANGED = "(sensitive value, changed)"
_quoted = json.JSONEncoder(ensure_ascii=False).encode
_LONGEST_NUMBER = 100
"""Digits of a number that is written without an exponent."""
_BARE = re.compile(r"[^\W\d][\w-]*")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@lru_cache(4096)  # a large plan has a few names, each many times
def attribute_name(name: str) -> str:
    """Return a name for the left side of `=`: bare where HCL allows it, otherwise quoted."""
    return name if _BARE.fullmatch(name) else quoted(name)


def quoted(text: str) -> str:
    """Return the text as a quoted HCL string; templates and control characters are escaped."""
    escaped = _quoted(text).replace("${", "$${").replace("%{", "%%{")
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", escaped)


def scalar(value: Any) -> str | None:
    """Return a value that fits on one line, or None for a collection that has items."""
    if isinstance(value, Unknown):
        return UNKNOWN
    if is_fingerprint(value):
        return SENSITIVE
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f") if abs(value.adjusted()) < _LONGEST_NUMBER else str(value)
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        return None if value else "{}"
    return None if value else "[]"


def literal_lines(value: Any, indent: str) -> list[str]:
    """Return a value as lines; the first has no indent, since it follows a name, the others start with `indent`."""
    line = scalar(value)
    if line is not None:
        return [line]
    deeper = indent + "    "
    lines: list[str] = []
    if isinstance(value, Mapping):
        lines.append("{")
        width = max(len(attribute_name(name)) for name in value)
        for name in sorted(value):
            first, *rest = literal_lines(value[name], deeper)
            lines.append(f"{deeper}{attribute_name(name):<{width}} = {first}")
            lines.extend(rest)
        lines.append(indent + "}")
        return lines
    lines.append("[")
    for item in value:
        first, *rest = literal_lines(item, deeper)
        inner = [deeper + first, *rest]
        inner[-1] += ","
        lines.extend(inner)
    lines.append(indent + "]")
    return lines


def literal(value: Any) -> str:
    """Return a value as HCL text, over several lines if it is a collection."""
    return "\n".join(literal_lines(value, ""))
