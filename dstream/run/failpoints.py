"""Fault points of the host: named places where a test can kill it.

`DSTREAM_FAULT=name` kills this process with SIGKILL when it passes `fault("name")` for the first time,
`DSTREAM_FAULT=name:K` at the K-th passage. The host has `after_ack_before_store`, `after_store_before_commit`
and `during_lease_loss`; providers read the same variable and have points of their own.
"""

from __future__ import annotations

import os
import signal
import threading

_lock = threading.Lock()
_passed: dict[str, int] = {}


def fault(name: str) -> None:
    """Die here if the environment says so."""
    selected, _, count = os.environ.get("DSTREAM_FAULT", "").partition(":")
    if selected != name:
        return
    with _lock:
        _passed[name] = _passed.get(name, 0) + 1
        due = _passed[name] == (int(count) if count.isdigit() else 1)
    if due:
        os.kill(os.getpid(), signal.SIGKILL)
