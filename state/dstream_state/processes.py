"""Processes that a holder of the lock left behind: identified by start time, and ended before recovery continues.

A process is named by host, pid and start time; a pid alone is used again by others. The name of the host
includes the boot and the pid namespace, so that a container never takes another container's pid 7 for its
own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from functools import cache
from pathlib import Path

_PROC = Path("/proc/self/stat").exists()


@cache
def this_host() -> str:
    """Return `hostname`, or `hostname/boot-namespace` where the system tells both."""
    name = os.uname().nodename
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        namespace = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        return name
    return f"{name}/{boot}-{namespace}"


def start_time(pid: int) -> int | None:
    """Return when `pid` started, in clock ticks since boot; None if it has ended.

    Without /proc (macOS), in seconds since 1970, as `ps` reports it.
    """
    if not _PROC:
        return _started_by_ps(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def alive(pid: int, started: int | None) -> bool:
    """Return whether the process that had `pid` when it was recorded still runs."""
    current = start_time(pid)
    return current is not None and (started is None or current == started)


def send(pid: int, started: int | None, number: signal.Signals) -> bool:
    """Send a signal to the process that had `pid` when it was recorded; return whether it still runs and got it.

    A process with unknown start time is left alone: `pid` may be another process's by now, or be made up.
    """
    if started is None or not alive(pid, started):
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
        return True
    return False


def end(pid: int, started: int | None, *, patience: float = 5.0) -> bool:
    """Kill the process, and its group if it leads one; return whether it has ended.

    Does nothing to a process that merely has the same pid. A process with unknown start time is left alone.
    """
    if not alive(pid, started):
        return True
    if started is None or pid == os.getpid():
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + patience
    while alive(pid, started) and time.monotonic() < until:
        time.sleep(0.01)
    return not alive(pid, started)


def _started_by_ps(pid: int) -> int | None:
    import calendar
    import subprocess

    command = ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"LC_ALL": "C", "TZ": "UTC"})
    state, _, moment = done.stdout.strip().partition(" ")
    if not moment or state.startswith("Z"):
        return None
    return calendar.timegm(time.strptime(" ".join(moment.split()), "%a %b %d %H:%M:%S %Y"))
