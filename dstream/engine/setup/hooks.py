"""Hooks: what an operation reports while it runs. The command line renders it; tests record it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dstream_state import Holder

Ahead = Callable[[], list[str]]
"""Returns the addresses of what may start next."""


@dataclass(slots=True)
class RefreshProgress:
    """How many requests for the refresh were sent and answered. Written by the refresh, read from any thread."""

    sent: int = 0
    answered: int = 0


class Observer(Protocol):
    """Told of events, in the order in which they become durable; from the thread of the operation."""

    def waiting(self, holder: Holder | None) -> None:
        """The lock is somebody else's; the operation waits for it."""

    def stopping(self, flow: str, holder: Holder) -> None:
        """Who runs a task that is to be changed is asked to end."""

    def recovering(self, count: int) -> None:
        """An earlier operation was cut off and left this many changes without a result."""

    def recovered(self, address: str, outcome: str) -> None:
        """What became of such a change, as a phrase."""

    def begun(self, count: int, ahead: Ahead) -> None:
        """The plan is approved and is carried out now, in so many steps. `ahead` may be called from any thread."""

    def started(self, address: str, step: str) -> None:
        """A step (create, update, destroy, forget) is recorded as intended and begins."""

    def done(self, address: str, step: str, seconds: float) -> None:
        """A step is done and recorded."""

    def retrying(self, address: str, seconds: float, why: str) -> None:
        """A step failed for now and is tried again after so many seconds."""

    def failed(self, address: str, step: str) -> None:
        """A step failed; its diagnostics come with the outcome."""

    def skipped(self, address: str, because: str) -> None:
        """A step was not tried, because another failed."""
