"""Providers: the two provider processes of a session, and what an exception of its threads says about them."""

from __future__ import annotations

from msgspec import Struct

from dstream.diagnostics import DiagnosticsError, error
from dstream.run.checkpoint_tracker import ProtocolBroken
from dstream.run.end_reason import EndReason, Failure, SessionOver
from dstream.run.flow import Endpoint, SideName
from dstream.run.provider_handle import ProviderHandle
from dstream.run.run_context import RunContext
from dstream.run.run_failure import run_failure


class Providers(Struct, frozen=True):
    """The two sides of a session."""

    input: ProviderHandle
    output: ProviderHandle

    @classmethod
    def of(cls, context: RunContext) -> Providers:
        """Return both sides, not started yet."""
        flow = context.flow
        return cls(_side(context, "input", flow.input), _side(context, "output", flow.output))

    def kill(self) -> None:
        """End both immediately."""
        self.input.kill()
        self.output.kill()

    def record(self, context: RunContext) -> None:
        """Note the running processes under the lease, so that the next run ends those that are left over."""
        from dstream_state import ProcessStarted
        from dstream_state.processes import this_host

        running = [side.process for side in (self.input, self.output) if side.running]
        context.lease.record_processes([ProcessStarted(each.pid, each.started, this_host()) for each in running])

    def take(self, what: str, problem: Exception, reason: EndReason) -> None:
        """End the session for an exception; `what` names the part of the session that raised it."""
        from dstream_state import LeaseLost, StateError

        if isinstance(problem, SessionOver):
            reason.fail(problem.failure)
        elif isinstance(problem, LeaseLost):
            self.kill()
            reason.lose(problem)
        elif isinstance(problem, ProtocolBroken):
            side = self.input if problem.side == "input" else self.output
            detail = f"The {side.name} {side.program} {side.redactor.text(problem.text)}"
            reason.fail(Failure((error("Provider protocol violation", detail),), side, final=True))
        elif isinstance(problem, DiagnosticsError):
            reason.fail(Failure(tuple(problem.diagnostics), final=True))
        elif isinstance(problem, StateError):
            reason.fail(Failure((error(problem.summary, problem.detail),)))
        else:
            reason.fail(Failure((run_failure(what, problem),)))


def _side(context: RunContext, name: SideName, endpoint: Endpoint) -> ProviderHandle:
    flow, reporter, inherit = context.flow, context.reporter, context.lease.inherit_fds
    return ProviderHandle(
        name,
        endpoint,
        lambda: context.begin(name, endpoint, inherit),
        lambda line: reporter.log(flow, name, line),
    )
