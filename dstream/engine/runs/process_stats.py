"""Looking at what runs: the memory of processes, and the containers that a runner has started."""

from __future__ import annotations

from pathlib import Path

from dstream_state import Holder
from dstream_state.processes import this_host


def memory_of(pid: int) -> int | None:
    """Return the resident memory of a process in bytes; None where /proc does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), None)


def containers_of(holder: Holder) -> tuple[str, ...]:
    """Return the containers that a runner on this machine has started: id, image, memory and name."""
    if holder.host != this_host():
        return ()
    from dstream.diagnostics import DiagnosticsError
    from dstream.plugins.container import find_engine, running_of

    try:
        return running_of(find_engine(), holder.pid, holder.started)
    except DiagnosticsError:
        return ()
