"""Events of an apply as JSON lines on the standard output; docs/events.md describes them.

Names and members follow Terraform's machine-readable output where both have the same concept, so that existing tools
can be adapted.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from dstream import __version__
from dstream.cli.render.paint import say
from dstream.diagnostics import Severity
from dstream_state.codec import dumps

if TYPE_CHECKING:
    from dstream.diagnostics import Diagnostic
    from dstream.engine.apply.apply import Outcome
    from dstream.engine.setup.hooks import Ahead
    from dstream.plan import Plan
    from dstream_state import Holder

UI_VERSION = "1.0"
_ACTIONS = {"create": "create", "update": "update", "destroy": "delete", "forget": "forget"}


class Events:
    """Writes one JSON object per line for each event, without secrets. Thread-safe."""

    def __init__(self) -> None:
        """Write nothing yet."""
        self._lock = threading.Lock()

    def waiting(self, holder: Holder | None) -> None:
        """See `Observer`."""
        form = None if holder is None else {**holder.to_json(), "text": holder.describe()}
        self._emit("lock_waiting", "Waiting for the lock", holder=form)

    def stopping(self, flow: str, holder: Holder) -> None:
        """See `Observer`."""
        self._emit("task_stopping", f"Stopping the run of {flow}", flow=flow, holder=holder.to_json())

    def recovering(self, count: int) -> None:
        """See `Observer`."""
        self._emit("recovery_start", f"Resolving {count} changes of an interrupted operation", count=count)

    def recovered(self, address: str, outcome: str) -> None:
        """See `Observer`."""
        self._emit("recovery_complete", f"{address}: {outcome}", address=address, outcome=outcome)

    def planned(self, plan: Plan) -> None:
        """Write the plan."""
        self._emit("plan", "Plan", plan=plan.to_json())

    def begun(self, count: int, _ahead: Ahead) -> None:
        """See `Observer`."""
        self._emit("apply_begin", f"{count} steps follow", steps=count)

    def started(self, address: str, step: str) -> None:
        """See `Observer`."""
        self._hook("apply_start", address, step)

    def done(self, address: str, step: str, seconds: float) -> None:
        """See `Observer`."""
        self._hook("apply_complete", address, step, elapsed_seconds=round(seconds, 3))

    def still(self, address: str, step: str, seconds: float) -> None:
        """Report that a step is still in progress."""
        self._hook("apply_progress", address, step, elapsed_seconds=round(seconds, 3))

    def retrying(self, address: str, seconds: float, why: str) -> None:
        """See `Observer`."""
        self._emit("apply_retry", f"{address}: {why}", address=address, retry_after_seconds=seconds, reason=why)

    def failed(self, address: str, step: str) -> None:
        """See `Observer`."""
        self._hook("apply_errored", address, step, level="error")

    def skipped(self, address: str, because: str) -> None:
        """See `Observer`."""
        self._emit("apply_skipped", f"{address}: skipped", address=address, because=because)

    def outcome(self, outcome: Outcome, seconds: float) -> None:
        """Write the outcome of the apply."""
        status = "error" if outcome.failed else "ok" if outcome.approved else "refused"
        self._outcome(status, outcome.diagnostics, seconds, outcome.counts)

    def broken(self, diagnostics: Iterable[Diagnostic], seconds: float) -> None:
        """Write the diagnostics of a failed operation."""
        self._outcome("error", diagnostics, seconds, {})

    def _outcome(self, status: str, diagnostics: Iterable[Diagnostic], seconds: float, counts: dict[str, int]) -> None:
        found = list(diagnostics)
        for each in found:
            failed = each.severity is Severity.ERROR
            title, level = ("Error", "error") if failed else ("Warning", "warn")
            self._emit("diagnostic", f"{title}: {each.title}", level=level, diagnostic=each.to_json())
        self._emit(
            "outcome",
            f"Ended: {status}",
            level="error" if status == "error" else "info",
            status=status,
            summary=counts,
            elapsed_seconds=round(seconds, 3),
            diagnostics=[diagnostic.to_json() for diagnostic in found],
        )

    def _hook(self, type_: str, address: str, step: str, *, level: str = "info", **more: Any) -> None:
        hook = {"resource": {"addr": address}, "action": _ACTIONS[step], **more}
        self._emit(type_, f"{address}: {type_.replace('_', ' ')}", level=level, hook=hook)

    def _emit(self, type_: str, message: str, *, level: str = "info", **members: Any) -> None:
        text = _line(type_, message, level, members)
        with self._lock:
            say(text)


@cache
def version() -> None:
    """Write the first line, which has the version of the format."""
    say(_line("version", f"dstream {__version__}", "info", {"dstream": __version__, "ui": UI_VERSION}))


def _line(type_: str, message: str, level: str, members: dict[str, Any]) -> str:
    form = {
        "@level": level,
        "@message": message,
        "@timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "type": type_,
        **members,
    }
    return dumps(form).decode()
