"""SessionEnd: how a session ended, decided from its reason, from how both providers exited and what was passed on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from dstream.diagnostics import Diagnostic, error, warning
from dstream.plugins.errors import with_tail
from dstream.run.ack_reader import AckReader
from dstream.run.checkpoint_tracker import CheckpointTracker
from dstream.run.committer import Committer
from dstream.run.driver import Driver
from dstream.run.end_reason import EndReason, Failure
from dstream.run.provider_handle import ProviderHandle
from dstream.run.pump import Pump
from dstream.run.run_context import RunContext
from dstream.run.session_providers import Providers

Kind = Literal["ended", "stopped", "failed", "lost"]


class SessionEnd(Struct, frozen=True):
    """How a session ended; see `Failure` for what `failure` holds."""

    kind: Kind
    diagnostics: tuple[Diagnostic, ...] = ()
    records: int = 0
    bytes: int = 0
    stored: int = 0
    dead_letters: int = 0
    text_lines: int = 0
    position: Mapping[str, Any] | None = None
    """The checkpoint that the next session would start behind."""
    failure: Failure = field(default_factory=Failure)


def session_end(
    context: RunContext, reason: EndReason, driver: Driver, committer: Committer, *, stop_requested: bool
) -> SessionEnd:
    """Return how a session ended that is brought down; `asked`: its input was asked to end."""
    pump, failure = driver.pump, reason.failure or Failure()
    kind, diagnostics = _kind(context, reason, stop_requested=stop_requested), failure.diagnostics
    if kind == "lost":
        diagnostics = (_lost(context, reason),)
    elif failure.side is not None:
        diagnostics = tuple(with_tail(each, failure.side.tail) for each in diagnostics)
    records = pump.records if pump is not None else 0
    return SessionEnd(
        kind,
        diagnostics,
        records,
        pump.bytes if pump is not None else 0,
        committer.stored_records if context.flow.acks else records,
        committer.dead_letters,
        pump.text_lines if pump is not None else 0,
        committer.position,
        failure,
    )


def _kind(context: RunContext, reason: EndReason, *, stop_requested: bool) -> Kind:
    if reason.lost is not None:
        return "lost"
    if context.stop.requested:
        return "stopped"
    if reason.failure is not None and reason.failure.diagnostics:
        return "failed"
    return "stopped" if stop_requested and not context.options.until_idle else "ended"


def _lost(context: RunContext, reason: EndReason) -> Diagnostic:
    from dstream_state import LeaseLost

    why = reason.lost.detail if isinstance(reason.lost, LeaseLost) else str(reason.lost)
    what = (
        f"{context.flow.name} was stopped immediately: {why} Another runner may have it now; what was not stored is "
        "delivered again."
    )
    return error("Lease of the task lost", what)


def failure_at_end(
    context: RunContext,
    providers: Providers,
    driver: Driver,
    reader: AckReader,
    tracker: CheckpointTracker,
    *,
    stop_requested: bool,
) -> Failure | None:
    """Return what was wrong with a session in which both sides have closed their pipes, or None."""
    output, pump, acks = providers.output, driver.pump, context.flow.acks
    if pump is None or not (driver.input_ended or pump.ended):
        when = " in the middle of a line" if reader.rest else ""
        when += " before it was ready." if pump is None else " while the input was still writing."
        return Failure((output.ended("Unexpected end of output", when),), output, final=output.version < 2)
    if pump.dropped:
        what = f"{pump.dropped} bytes of an unfinished line from {providers.input.program} were dropped."
        context.reporter.problem(context.flow, warning("Unfinished line dropped", what))
    early = _input_ended_early(providers.input, driver, pump, acks=acks, stop_requested=stop_requested)
    if early is not None:
        return early
    if output.code != 0 and not (stop_requested and acks and not pump.ended):
        return Failure((output.ended("Output failure", "."),), output, final=output.version < 2)
    if acks and pump.ended and not tracker.all_acknowledged:
        what = f"The output {output.program} ended without acknowledging the last checkpoint."
        return Failure((error("Provider protocol violation", what),), output)
    return None


def _input_ended_early(
    side: ProviderHandle, driver: Driver, pump: Pump, *, acks: bool, stop_requested: bool
) -> Failure | None:
    if not driver.input_ready.is_set():
        rest = " in the middle of a line" if pump.dropped else ""
        return Failure((side.ended("Unexpected provider exit", f"{rest} before it was ready."),), side)
    if acks and not pump.ended and not stop_requested:
        return Failure((side.ended("Unexpected end of input", " without having written its end line."),), side)
    if not acks and side.code != 0 and not stop_requested and not pump.full:
        return Failure((side.ended("Unexpected end of input", "."),), side, final=side.version < 2)
    return None
