"""JSON numbers with all digits: read as Decimal, and written from Decimal.

The standard encoder has no way to write a number as given text, so a Decimal becomes a marked string first, and the
mark and the quotes are taken off the result. The mark is random in each process, so that no data contains it.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

MARK = f"number-{os.urandom(8).hex()}:"
_MARKED = re.compile(f'"{MARK}([^"]*)"')


def marked(value: object) -> str:
    """Return the marked string of a finite Decimal; TypeError for what JSON does not have. For `default=`."""
    # The type is known by its name: decimal takes 3 ms to import, and who has a Decimal has imported it.
    if type(value).__name__ == "Decimal":
        text = str(value)
        if text[-1:].isdigit() and not text.lstrip("-").startswith(("NaN", "sNaN")):
            return MARK + text
        raise ValueError(f"Out of range decimal values are not JSON compliant: {text}")
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def unmark(text: str) -> str:
    """Return JSON text with its marked strings as numbers."""
    return _MARKED.sub(r"\1", text) if MARK in text else text


def loads(text: bytes | str, *, constants: bool = False) -> Any:
    """Return the value of JSON text from an untrusted source, fractions as Decimal.

    Raises ValueError for text that is not JSON and for a number or a nesting depth that exceeds what Python
    represents. `constants` accepts NaN, Infinity and -Infinity, which JSON does not have.
    """
    from decimal import Decimal

    try:
        return json.loads(text, parse_float=Decimal, parse_constant=None if constants else _refused)
    except ArithmeticError:
        raise ValueError("a number has an exponent that is too large") from None
    except RecursionError:
        raise ValueError("the nesting is too deep") from None


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def show(value: Any) -> str:
    """Return JSON text for messages: one line, spaces after `,` and `:`, non-ASCII letters unescaped."""
    return unmark(json.dumps(value, ensure_ascii=False, default=marked))
