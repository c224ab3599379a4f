"""Hooks: what an operation reports while it runs. The command line renders it; tests record it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from dstream_state import Holder

Ahead = Callable[[], list[str]]
"""Returns the addresses of what may start next."""


class RefreshProgress(Struct):
    """How many requests for the refresh were sent and answered. Written by the refresh, read from any thread."""

    sent: int = 0
    answered: int = 0


class Observer(Protocol):
    """Receives events in the order in which they become durable, from the thread of the operation."""

    def waiting(self, holder: Holder | None) -> None:
        """Another process holds the lock; the operation waits for it."""

    def stopping(self, flow: str, holder: Holder) -> None:
        """The runner of a task that will change is stopped."""

    def recovering(self, count: int) -> None:
        """An interrupted operation left this many pending changes."""

    def recovered(self, address: str, outcome: str) -> None:
        """The outcome of such a change, as a phrase."""

    def begun(self, count: int, ahead: Ahead) -> None:
        """The plan is approved, and carried out in `count` steps. `ahead` may be called from any thread."""

    def started(self, address: str, step: str) -> None:
        """A step (create, update, destroy, forget) is recorded as intended and begins."""

    def done(self, address: str, step: str, seconds: float) -> None:
        """A step is done and recorded."""

    def retrying(self, address: str, seconds: float, why: str) -> None:
        """A step failed, and is retried after `seconds`."""

    def failed(self, address: str, step: str) -> None:
        """A step failed; its diagnostics come with the outcome."""

    def skipped(self, address: str, because: str) -> None:
        """A step was skipped because another failed."""
