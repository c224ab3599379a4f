"""Process records: the provider processes that the next operation has to end if this one is killed."""

from __future__ import annotations

import threading

from dstream_state import Held, ProcessStarted
from dstream_state.processes import this_host


class ProcessRecords:
    """Records processes from the moment that they may change things.

    Until then nothing is written, so that an apply that changes nothing leaves the state as it is.
    """

    def __init__(self, held: Held) -> None:
        """Record under the lock `held`."""
        self._held = held
        self._early: list[ProcessStarted] = []
        self._recording = False
        self._lock = threading.Lock()

    def started(self, pid: int, started: int | None) -> None:
        """Register a process, from any thread, before it receives input."""
        process = ProcessStarted(pid, started, this_host())
        with self._lock:
            if not self._recording:
                self._early.append(process)
                return
        self._held.append([process])

    def record(self) -> None:
        """Write the processes registered so far, and from now on each one when it starts."""
        with self._lock:
            early, self._early, self._recording = self._early, [], True
        if early:
            self._held.append(early)
