"""EndReason: why a session ends. Any of its threads may find the reason; the first one counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from dstream.diagnostics import Diagnostic

if TYPE_CHECKING:
    from dstream.run.provider_handle import ProviderHandle

_LOOK = 0.25
_GIVE_UP = 0.05


class Failure(Struct, frozen=True):
    """Why a session failed."""

    diagnostics: tuple[Diagnostic, ...] = ()
    side: ProviderHandle | None = None
    """The provider at fault: when it has ended, the end of its stderr is added."""
    final: bool = False
    """Whether another session would fail for the same reason."""
    counts: bool = True
    """Whether the session was an attempt at the data; several that fail at one checkpoint block the task."""
    retry_after: float = 0.0
    """Seconds to wait before the next session, as the provider asks for."""
    too_many_dead_letters: bool = False
    discovered: tuple[Mapping[str, Any], ...] = ()
    """Streams that the output met without having been given them: it needs objects before it can continue."""


class SessionOver(Exception):
    """The session is over. Ends the thread that raises it; its failure is the reason, unless there is one already."""

    def __init__(self, failure: Failure) -> None:
        """End the session with `failure`."""
        super().__init__("; ".join(each.summary for each in failure.diagnostics))
        self.failure = failure


class EndReason:
    """Thread-safe. `notify` may be called in a signal handler."""

    def __init__(self) -> None:
        """Start without a reason."""
        self._changed = threading.Condition()
        self.failure: Failure | None = None
        self.lost: Exception | None = None
        """Set when the lease of the task was lost."""

    @property
    def over(self) -> bool:
        """Whether there is a reason."""
        return self.failure is not None or self.lost is not None

    def fail(self, failure: Failure) -> None:
        """End the session with a failure, unless it has failed already."""
        with self._changed:
            if self.failure is None:
                self.failure = failure
            self._changed.notify_all()

    def lose(self, problem: Exception) -> None:
        """End the session because the lease was lost."""
        self.lost = self.lost or problem
        self.notify()

    def notify(self) -> None:
        """Wake up the threads that wait.

        Waits for their lock for a moment only: in a signal handler, this thread may hold it. They look then without.
        """
        if self._changed.acquire(timeout=_GIVE_UP):
            self._changed.notify_all()
            self._changed.release()

    def wait(self, seconds: float) -> None:
        """Wait for a notification, at most for `seconds`."""
        with self._changed:
            self._changed.wait(seconds)

    def wait_until(self, condition: Callable[[], bool]) -> bool:
        """Wait until `condition` holds or the session is over; return whether the session continues."""
        while not (self.over or condition()):
            self.wait(_LOOK)
        return not self.over
