"""What an expression gives, as JSON that OpenTofu and dstream are both brought to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

UNKNOWN = {"$": "unknown"}
_DIGITS = Context(prec=150, Emin=-999_999, Emax=999_999)


@dataclass(frozen=True)
class Fact:
    """The value of an expression, or that it is an error."""

    error: bool = False
    value: Any = None
    """JSON with Decimal or int for numbers, and UNKNOWN for parts that are not known."""
    type: Any = None
    """As OpenTofu writes types: `"string"`, `["list", "number"]`; None if a part of the value is unknown."""
    sensitive: tuple[str, ...] = ()
    """The paths of the sensitive parts, such as `.a[0]`; `.` is the value itself."""

    def text(self) -> str:
        """Return it as JSON in one line."""
        if self.error:
            return '{"error":true}'
        form = {"value": self.value}
        if self.type is not None:
            form["type"] = self.type
        if self.sensitive:
            form["sensitive"] = self.sensitive
        text = json.dumps(_spelled(form), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return text.replace(f'"{_NUMBER}', "").replace(f'{_NUMBER}"', "")


_NUMBER = "\ue000"
"""A character of no meaning, which stands around the digits of a number until it is written without quotes."""


def _spelled(value: Any) -> Any:
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        return f"{_NUMBER}{digits(value)}{_NUMBER}"
    if isinstance(value, dict):
        return {name: _spelled(inner) for name, inner in value.items()}
    return [_spelled(inner) for inner in value] if isinstance(value, list | tuple) else value


def digits(value: Decimal | int) -> str:
    """Return a number with 150 digits at most: those that both programs compute."""
    found = _DIGITS.plus(Decimal(value)).normalize(_DIGITS)
    return format(found, "f") if found else "0"


def read(text: str) -> Fact:
    """Return the fact that `text` wrote."""
    form = json.loads(text, parse_float=Decimal)
    return Fact(bool(form.get("error")), form.get("value"), form.get("type"), tuple(form.get("sensitive", ())))
