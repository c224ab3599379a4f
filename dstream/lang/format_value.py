"""to_text: a value in the syntax of the language, as `dstream console` shows it."""

from __future__ import annotations

import re

from dstream.lang.convert import to_string
from dstream.lang.values import ListValue, MapValue, Sensitive, SetValue, Unknown, Value

_NAME = re.compile(r"[^\W\d][\w-]*")


def to_text(value: Value, indent: str = "") -> str:
    """Return a value as an expression; unknown and sensitive values as plans show them."""
    if isinstance(value, Unknown):
        return "(known after apply)"
    if isinstance(value, Sensitive):
        return "(sensitive value)"
    if value is None:
        return "null"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, SetValue):
        return f"toset({to_text(list(value), indent)})"
    if isinstance(value, ListValue | MapValue):
        plain: Value = list(value) if isinstance(value, list) else dict(value)
        return f"to{'list' if isinstance(value, list) else 'map'}({to_text(plain, indent)})"
    deeper = indent + "  "
    if isinstance(value, list | tuple):
        if not value:
            return "[]"
        lines = [f"{deeper}{to_text(item, deeper)},\n" for item in value]
        return f"[\n{''.join(lines)}{indent}]"
    if isinstance(value, dict):
        if not value:
            return "{}"
        lines = [f"{deeper}{_key(name)} = {to_text(inner, deeper)}\n" for name, inner in value.items()]
        return f"{{\n{''.join(lines)}{indent}}}"
    return to_string(value)


def quoted(text: str) -> str:
    """Return a text as a quoted string that parses to the same text."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(plain, escaped)
    text = text.replace("${", "$${").replace("%{", "%%{")
    text = "".join(
        c if c.isprintable() else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in text
    )
    return f'"{text}"'


def _key(name: str) -> str:
    return name if _NAME.fullmatch(name) and name != "for" else quoted(name)
