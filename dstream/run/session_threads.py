"""SessionThreads: the threads of a session. What one of them raises becomes the reason for which the session ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

from dstream.run.end_reason import EndReason
from dstream.run.session_providers import Providers


class SessionThreads:
    """Started by name, joined together."""

    def __init__(self, flow: str, providers: Providers, reason: EndReason) -> None:
        """Start nothing yet; `flow` is the name of the flow."""
        self._flow, self._providers, self._reason = flow, providers, reason
        self._threads: dict[str, threading.Thread] = {}

    def start(self, name: str, run: Callable[[], None], then: Callable[[], None] = lambda: None) -> None:
        """Run `run` in a thread, and `then` when it has ended and its exception is recorded."""

        def guarded() -> None:
            try:
                run()
            except Exception as problem:  # noqa: BLE001 - it becomes the reason for the end of the session
                self._providers.take(f"The {name} of {self._flow}", problem, self._reason)
            finally:
                then()
                self._reason.notify()

        thread = threading.Thread(target=guarded, name=f"{self._flow} {name}", daemon=True)
        self._threads[name] = thread
        thread.start()

    def join(self, *names: str, seconds: float) -> None:
        """Wait for threads to end, for each at most so long."""
        for name in names:
            if name in self._threads:
                self._threads[name].join(seconds)
