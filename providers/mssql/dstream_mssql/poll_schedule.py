"""Pacing: when to look again. Twice as long after each look that found nothing, at once after one that did."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Pace:
    """Time between looks, from `shortest` to `longest` seconds."""

    shortest: float
    longest: float
    interval: float = field(default=0.0)
    due: float = 0.0
    """When to look again, on the clock of `now`."""

    def found(self, now: float, *, more: bool) -> None:
        """The look found something; with `more`, the next one is due at once."""
        self.interval = self.shortest
        self.due = now if more else now + self.interval

    def idle(self, now: float) -> None:
        """The look found nothing."""
        self.interval = min(max(self.interval * 2, self.shortest), self.longest)
        self.due = now + self.interval
