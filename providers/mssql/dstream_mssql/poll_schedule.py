"""Poll schedule: when to poll next. The interval doubles after each poll without changes, and resets after a change."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class PollSchedule:
    """Poll intervals between `shortest` and `longest` seconds."""

    shortest: float
    longest: float
    interval: float = field(default=0.0)
    due: float = 0.0
    """The time of the next poll, on the same clock as `now`."""

    def found(self, now: float, *, more: bool) -> None:
        """Record a poll that found changes. With `more`, the next poll is due immediately."""
        self.interval = self.shortest
        self.due = now if more else now + self.interval

    def idle(self, now: float) -> None:
        """Record a poll that found nothing."""
        self.interval = min(max(self.interval * 2, self.shortest), self.longest)
        self.due = now + self.interval
