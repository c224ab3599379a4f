"""Repeating requests to Azure: which answers pass by themselves, and how long to wait before the next try.

The official clients repeat by themselves, but not always what we need, nor as often as it is safe; theirs is off.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

RETRY_SECONDS = 40.0
CONNECT_SECONDS = 10.0
UNREACHED_SECONDS = 10.0
"""For how long a connection is tried to whom nothing was ever heard from: its name may be wrong."""
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that pass by themselves."""

_LONGEST_PAUSE = 5.0
_LONGEST_WISH = 30.0
_SPREAD = random.Random()  # noqa: S311 - spreads retries, guards nothing


class Pauses:
    """The pauses between the tries of one request: spread, twice as long each time, within a limit altogether."""

    def __init__(self, seconds: float, first: float) -> None:
        """Allow for `seconds` from now on, beginning with a pause of about `first` seconds."""
        self._until, self._next = time.monotonic() + seconds, first

    def wait(self, at_least: float = 0.0) -> bool:
        """Wait until the next try is due and return True; return False immediately if no time is left for it."""
        wait = max(at_least, self._next * _SPREAD.uniform(0.5, 1.5))
        if time.monotonic() + wait > self._until:
            return False
        time.sleep(wait)
        self._next = min(self._next * 2, _LONGEST_PAUSE)
        return True


def retry_after(headers: Mapping[str, str]) -> float:
    """Return how many seconds the service asks to wait, by the headers of its answer; 0 where it does not say."""
    text = headers.get("retry-after", "")
    return min(float(text), _LONGEST_WISH) if text.isdigit() else 0.0
