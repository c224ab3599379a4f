"""Bounded JSON: the reader for what registries, indexes, credential helpers and other programs write.

A text that is too long or too deep, repeats a name in an object, or has a number or a character that JSON in UTF-8
does not have, is an error. So a reader that walks the value cannot be exhausted, and two readers see the same value.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NoReturn

MAX_DEPTH = 64
"""How deep objects and lists may be nested. Manifests have 5 levels, tokens 2, docker's configuration 4."""
MAX_BYTES = 32 << 20
_LONGEST_INTEGER = 4000
"""Digits. What Python reads otherwise depends on the process: a configuration may have longer numbers."""


class InvalidJson(ValueError):
    """A text is not JSON, or exceeds a limit."""


def parse_json(text: bytes | str, *, limit: int = MAX_BYTES) -> Any:
    """Return the value of a JSON text of at most `limit` bytes; raise InvalidJson that says what is wrong with it."""
    if len(text) > limit:
        raise InvalidJson(f"it has more than {limit} bytes")
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        value = _DECODER.decode(decoded)
    except RecursionError:
        raise InvalidJson(f"it is nested more than {MAX_DEPTH} levels deep") from None
    except UnicodeDecodeError:
        raise InvalidJson("it is not UTF-8") from None
    except ValueError as problem:
        raise InvalidJson(str(problem)) from None
    if is_too_deep(value):
        raise InvalidJson(f"it is nested more than {MAX_DEPTH} levels deep")
    if "\\u" in decoded:
        _check_characters(value)
    return value


def parse_object(text: bytes | str, *, limit: int = MAX_BYTES) -> dict[str, Any]:
    """Return the JSON object in a text; raise InvalidJson as `parse_json`, and for any other value."""
    value = parse_json(text, limit=limit)
    if not isinstance(value, dict):
        raise InvalidJson("it is not a JSON object")
    return value


def is_integer(value: object) -> bool:
    """Return whether a JSON value is an integer: `true` and `2.0` are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_too_deep(value: object) -> bool:
    """Return whether a JSON value is nested more than MAX_DEPTH levels deep."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return False
    return True


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise InvalidJson(f"it has the name {twice[:100]!r} twice in one object")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidJson(f"the number {text[:40]} is out of range")
    return value


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise InvalidJson(f"the number {text[:40]}... is out of range")
    return int(text)


def _refuse(constant: str) -> NoReturn:
    raise InvalidJson(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_integer, parse_float=_finite, parse_constant=_refuse)


def _inside(value: object) -> list[object]:
    """Return the objects and lists directly in a value."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for each in items if isinstance(each, dict | list)]


def _check_characters(value: Any) -> None:
    """Raise InvalidJson for half of a surrogate pair, which no text in UTF-8 can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidJson("it has half of a surrogate pair, which is not a character") from None
