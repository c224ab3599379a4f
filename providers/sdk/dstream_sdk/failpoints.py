"""Fault points: named places where a test can kill a provider.

`DSTREAM_FAULT=name` kills the process with SIGKILL when it passes `fault("name")` for the first time,
`DSTREAM_FAULT=name:K` at the K-th passage. The SDK itself has `after_sink_before_ack` (an output, when its data is
durable and not yet acknowledged) and `mid_line` (an input, after half of a line was written); providers add their own,
such as `mid_snapshot`.
"""

from __future__ import annotations

import os
import signal


def _armed() -> tuple[str, int]:
    name, _, count = os.environ.get("DSTREAM_FAULT", "").partition(":")
    return name, int(count) if count.isdigit() else 1


_NAME, _COUNT = _armed()
_passed = 0


def armed(name: str) -> bool:
    """Return whether `DSTREAM_FAULT` names this fault point."""
    return name == _NAME


def due(name: str) -> bool:
    """Count a passage of `name`; return whether it is the one at which the process has to die."""
    global _passed
    if name != _NAME:
        return False
    _passed += 1
    return _passed == _COUNT


def die() -> None:
    """Kill this process as a crash would: nothing is flushed, no handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)


def fault(name: str) -> None:
    """Die here if `DSTREAM_FAULT` says so."""
    if name == _NAME and due(name):
        die()
