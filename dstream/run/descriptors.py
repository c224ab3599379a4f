"""Descriptors: a run of many flows needs more open files than a process may have by default."""

from __future__ import annotations

import contextlib

_EACH, _OTHERS = 16, 128
"""Descriptors for a flow (six pipes, two of the pump, two locks, files that are being written), and for all else."""


def allow_descriptors(flows: int) -> None:
    """Raise the limit of open files as far as `flows` need it and the system permits; the limit is never lowered."""
    try:
        import resource
    except ImportError:
        return
    needed = flows * _EACH + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
