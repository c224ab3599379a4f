"""Holder: the process that holds a lock, as shown to contenders; and how this process calls itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from dstream_state.clock import now


class Holder(Struct, frozen=True):
    """Who took a lock. `started` is the process's start time as the kernel counts it (see `processes`)."""

    id: str
    operation: str
    who: str
    host: str
    pid: int
    started: int | None
    since: str
    released: bool = False

    def describe(self) -> str:
        """Return the owner and the start time, as part of a sentence."""
        where = self.host.partition("/")[0]
        return f"{self.who} on {where} ({self.operation}, pid {self.pid}) since {self.since}, lock id {self.id}"

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        form: dict[str, Any] = {
            "id": self.id,
            "operation": self.operation,
            "who": self.who,
            "host": self.host,
        }
        form |= {"pid": self.pid, "started": self.started, "since": self.since}
        return form | {"released": True} if self.released else form

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> Holder:
        """Return what `to_json` stored."""
        return cls(
            form["id"],
            form["operation"],
            form["who"],
            form["host"],
            form["pid"],
            form.get("started"),
            form["since"],
            form.get("released", False),
        )


def unreleased(holder: Holder | None) -> Holder | None:
    """Return the holder unless it has released the lock; None also if no holder is recorded."""
    return None if holder is None or holder.released else holder


def this_holder(operation: str, lock_id: str) -> Holder:
    """Return the holder that this process is, for `operation` (the command's name)."""
    from dstream_state.processes import start_time, this_host

    return Holder(lock_id, operation, _user(), this_host(), os.getpid(), start_time(os.getpid()), now())


def _user() -> str:
    for name in ("LOGNAME", "USER", "USERNAME"):
        if value := os.environ.get(name):
            return value
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
