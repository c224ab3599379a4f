"""Stop: a request to end, made once (graceful) or twice (immediate), by a signal or any thread."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class Stop:
    """Shared by all flows of a run. Thread-safe; `request` may be called in a signal handler."""

    def __init__(self) -> None:
        """Start without a request."""
        self._count = 0
        self._listeners: list[Callable[[], None]] = []
        self._event = threading.Event()
        self.idle = False
        """Whether no change is in progress, so that a signal ends the operation by KeyboardInterrupt."""

    @property
    def requested(self) -> bool:
        """Whether a stop was requested."""
        return self._count > 0

    @property
    def at_once(self) -> bool:
        """Whether to kill instead of waiting."""
        return self._count > 1

    def request(self) -> None:
        """Request a graceful stop; the second call requests an immediate one."""
        self._count += 1
        self._event.set()
        for listener in tuple(self._listeners):
            listener()

    def wait(self, seconds: float) -> bool:
        """Sleep until a stop is requested, at most `seconds`; return whether it is requested."""
        return self._event.wait(seconds)

    @contextlib.contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call `listener` at each request while the block runs."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)


@contextlib.contextmanager
def on_signals(stop: Stop) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into requests while the block runs; only the main thread may enter it."""

    def take(*_: object) -> None:
        if stop.idle:
            raise KeyboardInterrupt
        stop.request()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, take) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
