"""JSON with exact numbers: as the state is written, and as everything on the host's side of the wire is.

Numbers that are not integers are `Decimal` on both sides: a float would change them. The standard encoder cannot write
a number as given text, so a Decimal becomes a marked string first, and the mark and the quotes are removed from the
result. The mark is random in each process, so that no data contains it. Everything else is what `json` makes of it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn

from dstream_state.errors import StateDamaged

Json = Any
"""A JSON value: None, bool, int, Decimal (or float), str, list of Json, dict from str to Json."""

_MARK = f"decimal-{os.urandom(12).hex()}:"
_MARKED = re.compile(f'"{_MARK}([^"]*)"')


def to_text(value: Json, *, ascii_only: bool = True, sort: bool = False, spell: Callable[[Decimal], str] = str) -> str:
    """Return `value` as JSON on one line without spaces; `sort` sorts the members of objects, `spell` writes a Decimal.

    NaN and infinity raise ValueError, values that JSON does not have TypeError.
    """
    decimals = False

    def number(item: object) -> str:
        nonlocal decimals
        if not isinstance(item, Decimal):
            raise TypeError(f"{type(item).__name__} is not a JSON value")
        if not item.is_finite():
            raise ValueError(f"{item} is not a JSON number")
        decimals = True
        return f"{_MARK}{spell(item)}"

    text = json.dumps(
        value, separators=(",", ":"), allow_nan=False, default=number, ensure_ascii=ascii_only, sort_keys=sort
    )
    return _MARKED.sub(r"\1", text) if decimals else text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_LONGEST_NUMBER = 200_000
"""Digits of a number without its exponent: `numeric` of PostgreSQL has up to 147,455. `1e999999999` would fill any
memory."""


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if abs(number.adjusted()) > _LONGEST_NUMBER:
        raise ValueError(f"the number {text[:40]} has an exponent out of range")
    return number


_decoder = json.JSONDecoder(parse_float=_number, parse_constant=_refuse)


def from_text(text: str) -> Json:
    """Return the value of a JSON text; raise ValueError for anything else, NaN and infinity included."""
    try:
        return _decoder.decode(text)
    except ArithmeticError:
        raise ValueError("a number in it has an exponent out of range") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def dumps(value: Json) -> bytes:
    """Return `value` as one line of ASCII JSON; see `to_text`."""
    return to_text(value).encode("ascii")


def loads(data: bytes, what: str) -> Json:
    """Return the value of JSON in UTF-8; raise StateDamaged, naming `what`, if it is not JSON."""
    try:
        return from_text(data.decode("utf-8-sig"))
    except ValueError as error:
        raise StateDamaged(what, str(error)) from error
