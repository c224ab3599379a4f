"""Origins: selects the transactions to deliver among those that another replication wrote into the source.

PostgreSQL marks what a replication has written with the name of its origin. A pair of tasks that copy two databases
into each other would otherwise carry each change back and forth without end.
"""

from __future__ import annotations

import re

from dstream_sdk import log

OWN = re.compile(r"dstream([_@].*)?", re.DOTALL)
"""The names of the origins that the outputs of dstream use (`origin.origin_name`)."""


class OriginFilter:
    """Decides by the setting `origin`: any, none (only changes without an origin), or others (not dstream's own)."""

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self.dropped: dict[str, int] = {}
        """How many transactions were left out, by the name of their origin."""

    def drops(self, origin: str) -> bool:
        """Whether a transaction of this origin is left out; it is counted, and the first one of an origin is logged."""
        if self._mode == "any" or (self._mode == "others" and not OWN.fullmatch(origin)):
            return False
        count = self.dropped[origin] = self.dropped.get(origin, 0) + 1
        if count == 1:
            log(f'changes with the replication origin {origin!r} are left out; origin = "any" delivers them')
        return True

    def report(self) -> None:
        """Log how much was left out in this session."""
        for origin, count in self.dropped.items():
            log(f"left out {count} transactions with the replication origin {origin!r}")
