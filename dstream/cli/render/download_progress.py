"""Download progress: one line that changes on a terminal, elsewhere one line for each finished download."""

from __future__ import annotations

import sys
import threading

from dstream.cli.render.paint import on_terminal, say
from dstream.cli.render.terminal import control, one_line, put

_MIB = 1024 * 1024


class DownloadProgress:
    """Prints the progress of downloads; called from any thread."""

    def __init__(self) -> None:
        """Start with no download."""
        self._terminal = on_terminal(sys.stderr)
        self._lock = threading.Lock()
        self._shown = -1

    def __call__(self, what: str, done: int, size: int) -> None:
        """Report that `done` of `size` bytes of `what` are downloaded."""
        percent = 100 * done // size if size else 100
        with self._lock:
            if self._terminal and percent != self._shown:
                self._shown = percent
                text = control("[G") + f"  {one_line(what)}: {done / _MIB:.1f} of {size / _MIB:.1f} MiB ({percent} %)"
                put(text + ("\n" if done >= size else ""), sys.stderr)
            elif not self._terminal and done >= size:
                say(f"  {what}: {size / _MIB:.1f} MiB", stream=sys.stderr)
