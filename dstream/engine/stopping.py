"""Stop: how a person interrupts an operation. Once: nothing new is started; twice: processes are ended at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether, and how urgently, the operation is to end."""

    def __init__(self) -> None:
        """Start with nobody having asked."""
        self.requested = False
        self.at_once = False
        self._actions: list[Callable[[], None]] = []

    def on_second(self, action: Callable[[], None]) -> None:
        """Call `action` when the operation is to end at once."""
        self._actions.append(action)

    def request(self) -> None:
        """Ask to end; the second time, at once."""
        if not self.requested:
            self.requested = True
            return
        self.at_once = True
        for action in self._actions:
            action()


@contextmanager
def stopping_on_signals(say: Callable[[str], None]) -> Iterator[Stop]:
    """Yield a Stop that Ctrl-C and SIGTERM request; `say` tells the user what will happen."""
    stop = Stop()

    def handle(number: int, frame: FrameType | None) -> None:
        stop.request()
        say(
            "Stopping at once: providers are ended; the next apply finds out what became of their changes."
            if stop.at_once
            else "Stopping: no new changes are started, running ones are finished and recorded. Again: at once."
        )

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
