"""Fingerprints: stand for sensitive values in state and plans.

Without the key, a fingerprint reveals only whether a value is the same as before. The key is in the state document:
fingerprints protect plans and logs, not against readers of the state, who can try values.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from dstream_state.codec import Json, dumps


def fingerprint(key: bytes, path: Sequence[str | int], value: Json) -> str:
    """Return HMAC-SHA-256 over (`path`, `value`) under `key` (`Snapshot.hmac_key`), 64 hexadecimal digits.

    `value` is JSON; objects with the same members in another order are the same value, and so are 1, 1.0 and
    1.00.
    """
    return hmac.new(key, dumps([list(path), canonical(value)]), hashlib.sha256).hexdigest()


def canonical(value: Json) -> Json:
    """Return `value` with sorted members and numbers in one form."""
    if isinstance(value, dict):
        return {name: canonical(value[name]) for name in sorted(value)}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    return _number(value)


def _number(value: Json) -> Json:
    from decimal import Decimal

    number = Decimal(str(value))
    return int(number) if number == number.to_integral_value() else number.normalize()
