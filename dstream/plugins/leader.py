"""Leader: the process that leads the process group of a provider, and how it is signalled, found dead and reaped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import Protocol


class Leader(Protocol):
    """The process that leads the process group of a provider. Its pid stays taken until `reap`."""

    @property
    def pid(self) -> int:
        """The pid, which is also that of the group."""

    def exited(self) -> bool:
        """Return whether it has ended."""

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it has started, if there is any of that left."""

    def reap(self) -> int:
        """Return the exit code (negative: the signal) of the ended process, and let its pid go."""


class Child:
    """A process that this one has started."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        """Take a process that leads its own session."""
        self._popen = popen
        self.pid = popen.pid

    def exited(self) -> bool:
        """See `Leader`."""
        if not hasattr(os, "waitid"):
            return self._popen.poll() is not None
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def signal_group(self, number: signal.Signals) -> None:
        """See `Leader`."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def reap(self) -> int:
        """See `Leader`."""
        return self._popen.wait()
