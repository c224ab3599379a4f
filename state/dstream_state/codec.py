"""JSON text as the state writes it: compact, exact about numbers, quick for large documents.

Numbers that are not integers are `Decimal` on both sides: a float would change them. Everything else is what
the standard `json` module makes of it.
"""

from __future__ import annotations

import json
import os
import re
from decimal import Decimal
from typing import Any

from dstream_state.errors import StateDamaged

Json = Any
"""A JSON value: None, bool, int, Decimal (or float), str, list of Json, dict from str to Json."""

_MARK = f"decimal-{os.urandom(12).hex()}:"
_MARKED = re.compile(f'"{_MARK}([^"]*)"')
_COMPACT = (",", ":")


def dumps(value: Json) -> bytes:
    """Return `value` as one line of ASCII JSON. A Decimal keeps its digits.

    NaN and infinity raise ValueError.
    """
    decimals = False

    def number(item: object) -> str:
        nonlocal decimals
        if not isinstance(item, Decimal):
            raise TypeError(f"{type(item).__name__} is not a JSON value")
        if not item.is_finite():
            raise ValueError(f"{item} is not a JSON number")
        decimals = True
        return f"{_MARK}{item}"

    text = json.dumps(value, separators=_COMPACT, allow_nan=False, default=number)
    if decimals:
        text = _MARKED.sub(r"\1", text)
    return text.encode("ascii")


def loads(data: bytes, what: str) -> Json:
    """Return the value that `data` spells; raise StateDamaged, naming `what`, if it is not JSON."""
    try:
        return json.loads(data, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise StateDamaged(what, str(error)) from error
