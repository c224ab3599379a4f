"""Markers: JSON objects that stand for a value which is unknown or hidden, on the wire, in plans and in the state.

{"$unknown": true}            known only after apply
{"$withheld": true}           a secret that its receiver or sender does not show
{"$hmac": TEXT}               the fingerprint of a sensitive value, in plans and in a state without encryption
{"$secret": true}             a sensitive value that a saved plan leaves out
{"$expression": TEXT, ...}    the expression of a sensitive provider argument, in the state
{"$object": {...}}            an ordinary object with a name that starts with `$`, so that it is not a marker
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNKNOWN_MARKER = {"$unknown": True}
WITHHELD = {"$withheld": True}
SECRET = {"$secret": True}
_OBJECT, _FINGERPRINT, _EXPRESSION = "$object", "$hmac", "$expression"


def escaped(members: dict[str, Any]) -> dict[str, Any]:
    """Return the members of an object as JSON, inside of `$object` if one of their names starts with `$`."""
    return {_OBJECT: members} if any(name[:1] == "$" for name in members) else members


def unescaped(value: dict[str, Any]) -> dict[str, Any]:
    """Return the members of an object that `escaped` returned."""
    inner = value.get(_OBJECT) if len(value) == 1 else None
    return inner if isinstance(inner, dict) else value


def is_unknown(value: Any) -> bool:
    """Return whether a JSON value stands for one that is known only after apply."""
    return _is(value, "$unknown")


def is_withheld(value: Any) -> bool:
    """Return whether a JSON value stands for a secret that is not shown."""
    return _is(value, "$withheld")


def fingerprint_marker(text: str) -> dict[str, str]:
    """Return the marker of a fingerprint."""
    return {_FINGERPRINT: text}


def is_fingerprint(value: Any) -> bool:
    """Return whether a JSON value is the fingerprint of a sensitive value."""
    return _is(value, _FINGERPRINT)


def fingerprint_text(value: Mapping[str, Any]) -> str:
    """Return the text of a fingerprint."""
    return str(value[_FINGERPRINT])


def expression_marker(text: str, origins: list[str]) -> dict[str, Any]:
    """Return the marker for a sensitive argument: the text of its expression, and the origins of its secrets."""
    return {_EXPRESSION: text, "origins": origins}


def expression_text(value: Any) -> str | None:
    """Return the text of an expression marker, None for any other value."""
    return str(value[_EXPRESSION]) if isinstance(value, Mapping) and _EXPRESSION in value else None


def _is(value: Any, name: str) -> bool:
    return isinstance(value, dict) and len(value) == 1 and name in value
