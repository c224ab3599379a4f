"""The watchdog: a small shell that ends the providers' process groups when the host has exited, for whatever reason.

It waits on a pipe whose other end only the host has open, so it detects every exit, crash or kill of the host. Unlike
the parent-death signal of Linux it ends process groups, with everything that a provider has started.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading

_SCRIPT = """
trap '' HUP INT TERM
groups=
while read -r sign group; do
  case $sign in
    +) groups="$groups $group" ;;
    -) left=; for each in $groups; do [ "$each" = "$group" ] || left="$left $each"; done; groups=$left ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
"""


class Watchdog:
    """One per host process, started with its first provider."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._lock = threading.Lock()
        self._pipe: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, group: int) -> None:
        """End `group` together with this process."""
        self._tell(f"+ {group}\n")

    def remove(self, group: int) -> None:
        """Forget `group`, which has ended."""
        self._tell(f"- {group}\n")

    def _tell(self, line: str) -> None:
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            if self._pipe is not None:
                with contextlib.suppress(OSError):
                    os.write(self._pipe, line.encode())

    def _start(self) -> None:
        """Start the shell; a system without one has the parent-death signal alone."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        read, write = os.pipe()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT],
                stdin=read,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                start_new_session=True,
            )
            self._pipe = write
        except OSError:
            os.close(write)
        finally:
            os.close(read)
