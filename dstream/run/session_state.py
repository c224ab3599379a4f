"""The situation of one session: what its threads share, and how the first thing that goes wrong becomes its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.plugins.errors import excerpt
from dstream.plugins.wire import complaints
from dstream.run.checkpoint_tracker import Ledger, ProtocolBroken
from dstream.run.committer import Settler
from dstream.run.failpoints import fault
from dstream.run.flow import Flow, RunOptions
from dstream.run.provider_handle import Side
from dstream.run.pump import Pump
from dstream.run.reporter import Reporter
from dstream.stopping import Stop

if TYPE_CHECKING:
    from dstream_state import TaskLease


class Situation:
    """Base of what acts in a session."""

    def __init__(
        self,
        flow: Flow,
        lease: TaskLease,
        options: RunOptions,
        reporter: Reporter,
        stop: Stop,
        *,
        number: int = 1,
        max_records: int | None = None,
        skip: int = 0,
        careful: int = 0,
    ) -> None:
        """Prepare a session that starts behind the checkpoint of `lease`.

        The first `careful` records go to the output one checkpoint at a time.
        """
        self.flow, self.lease, self.options, self.reporter, self.stop = flow, lease, options, reporter, stop
        self._number, self._max_records, self._skip, self._careful = number, max_records, skip, careful
        inherit = lease.inherit_fds
        self.input = Side("input", flow.input, inherit, lambda line: reporter.log(flow, "input", line))
        self.output = Side("output", flow.output, inherit, lambda line: reporter.log(flow, "output", line))
        stored = lease.checkpoint
        self.position: Mapping[str, Any] | None = stored.position if stored is not None else None
        self.ledger = self.make_ledger()
        self.settler: Settler | None = None
        self.pump: Pump | None = None
        self._changed = threading.Condition()
        self._problems: list[Diagnostic] = []
        self._blamed: Side | None = None
        self._final = False
        self._counts = True
        self._retry_after = 0.0
        self._lost: Exception | None = None
        self._discovered: list[Mapping[str, Any]] = []
        self._output_ready = threading.Event()
        self._input_ready = threading.Event()
        self._pumped = threading.Event()
        self._input_done = False
        self._output_rest = b""
        self._output_done_at: float | None = None
        self._output_silent = threading.Event()
        self._terminated_at: float | None = None
        self._threads: list[threading.Thread] = []
        self._started = time.monotonic()
        self._last_ack = self._started
        self._reported_at, self._reported = self._started, (0, 0)
        self._stored_records = 0

    def make_ledger(self) -> Ledger:
        """Return the ledger of this session."""
        return Ledger()

    def _thread(self, name: str, target: Any) -> None:
        def guarded() -> None:
            try:
                target()
            except ProtocolBroken as problem:
                self._broken(problem)
            except DiagnosticsError as problem:
                self._fail(*problem.diagnostics, final=True)
            except Exception as problem:  # noqa: BLE001 - the watching thread decides what becomes of it
                self._failed_with(name, problem)
            finally:
                self._notify()

        thread = threading.Thread(target=guarded, name=f"{self.flow.name} {name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _failed_with(self, name: str, problem: Exception) -> None:
        from dstream_state import LeaseLost, StateError

        if isinstance(problem, LeaseLost):
            self._lost = self._lost or problem
            self._kill()
        elif isinstance(problem, StateError):
            self._fail(error(problem.summary, problem.detail))
        else:
            what = f"The {name} of {self.flow.name} failed: {type(problem).__name__}: {problem}"
            self._fail(error("Run failed", what))

    def _notify(self) -> None:
        # Called in signal handlers too, so it must not wait for a lock that the interrupted code may hold.
        if self._changed.acquire(blocking=False):
            self._changed.notify_all()
            self._changed.release()

    def lease_lost(self) -> None:
        """Kill first, explain later: somebody else may be running the task already."""
        self._kill()
        fault("during_lease_loss")
        from dstream_state import LeaseLost

        self._lost = self._lost or LeaseLost("the lease of the task was lost.")
        self._notify()

    def _kill(self) -> None:
        self.input.kill()
        self.output.kill()

    def _fail(
        self,
        *diagnostics: Diagnostic,
        side: Side | None = None,
        final: bool = False,
        counts: bool = True,
    ) -> None:
        """Note why the session ends, unless there is a reason already.

        `side` is whose fault it is: when it has ended, the end of its stderr is added. See `SessionEnd` for the rest.
        """
        with self._changed:
            if not self._problems:
                self._problems, self._blamed = list(diagnostics), side
                self._final, self._counts = final, counts
            self._changed.notify_all()
        self._output_ready.set()

    def _broken(self, problem: ProtocolBroken) -> None:
        side = self.input if problem.side == "input" else self.output
        what = f"The {side.name} {side.program} {side.redactor.text(problem.text)}"
        self._fail(error("Provider broke the protocol", what), side=side, final=True)

    def _said_no(self, side: Side, form: Mapping[str, Any], final: frozenset[str]) -> NoReturn:
        """End the session for the errors that a provider tells; `final` are the classes that end the run.

        What is retriable is tried again for as long as it takes.
        """
        found = complaints(form, side.redactor, side.program)
        classes = {each.error_class for each in found}
        retriable = "retriable" in classes
        self._retry_after = max(each.retry_after or 0.0 for each in found)
        self._fail(
            *(each.diagnostic for each in found), final=bool(classes & final) and not retriable, counts=not retriable
        )
        raise BrokenPipeError  # ends the calling thread; the reason is recorded

    def _cannot_go_on(self, side: Side, form: Mapping[str, Any]) -> NoReturn:
        """Take the last line of a provider that cannot go on.

        What is fatal may be the very next record, or what the next start looks at: that is tried, as after a death.
        """
        self._said_no(side, form, final=_LASTING)

    def _answered(self, side: Side, form: Mapping[str, Any] | None, line: bytes) -> None:
        """Check the answer of a version 2 provider to its opening line."""
        if form is not None and form.get("status") == "error":
            self._said_no(side, form, final=_LASTING | {"fatal"})
        if form is None or form.get("status") != "ready":
            what = f"answered its opening line with something else: {excerpt(line, side.redactor)}"
            raise ProtocolBroken(side.name, what)


_LASTING = frozenset({"invalid", "denied", "conflict"})
"""Classes of errors that another session would meet again."""


def status_of(form: Mapping[str, Any] | None) -> str | None:
    """Return the status word of a version 1 answer in lower case, or None if the line is none."""
    if form is None:
        return None
    lowered = {name.lower(): value for name, value in form.items()}
    if "data" in lowered or not isinstance(lowered.get("status"), str):
        return None
    word = str(lowered["status"]).lower()
    return word if word in ("ready", "error") else None


def refusal(form: Mapping[str, Any], side: Side) -> Diagnostic:
    """Return the error of a version 1 provider that will not run."""
    lowered = {name.lower(): value for name, value in form.items()}
    text = side.redactor.text(str(lowered.get("message") or lowered.get("error") or "it gave no reason"))
    return error("Provider reported an error", f"The {side.name} {side.program} refused to run: {text}")
