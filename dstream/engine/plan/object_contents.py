"""Object contents: how much data the objects hold that a plan destroys, asked of their providers."""

from __future__ import annotations

from collections.abc import Mapping
from queue import SimpleQueue

from msgspec.structs import replace

from dstream.consequences import UNITS, Consequence, Label
from dstream.diagnostics import DiagnosticsError
from dstream.engine.evaluate.redaction import prior_for_provider
from dstream.engine.plan.context import PlanContext
from dstream.plan import Change
from dstream.plugins import Answer, Request, ResourceSession
from dstream.plugins.assessment import CONSEQUENCES

_SECONDS = 30.0


def with_contents(context: PlanContext, changes: Mapping[str, Change]) -> dict[str, Change]:
    """Return changes, each that destroys data with how much of it, where its provider can tell.

    All requests are sent before the first answer is awaited. A failure leaves the change as it is: that it destroys
    data is shown all the same.
    """
    waiting: dict[str, SimpleQueue[Answer]] = {}
    if context.options.assesses and context.saved is None and context.operation.untrusted is None:
        for address, change in changes.items():
            if change.loses_data and (session := _session(context, address)) is not None:
                item = context.prior.objects[address]
                request = Request(
                    command="contents",
                    type=item.type,
                    key=item.key,
                    identity=item.identity,
                    prior=prior_for_provider(item.attributes, (), context.key),
                    private=item.private,
                    timeout=_SECONDS,
                )
                waiting[address] = SimpleQueue()
                session.submit(request, waiting[address].put)
    found = dict(changes)
    for address, answers in waiting.items():
        answer = answers.get()
        if answer.status == "ok" and answer.contents:
            found[address] = replace(changes[address], consequences=(_loss(answer.contents),))
    return found


def _session(context: PlanContext, address: str) -> ResourceSession | None:
    item = context.prior.objects.get(address)
    spec = None if item is None else context.prefetch.specs.get(item.provider)
    if spec is None or spec.unknown:
        return None
    try:
        if CONSEQUENCES not in context.pool.installed(spec).info.capabilities:
            return None
        session = context.pool.session(spec)
    except DiagnosticsError:  # It is reported where the object itself is concerned.
        return None
    return session if isinstance(session, ResourceSession) else None


def _loss(contents: Mapping[str, float]) -> Consequence:
    if not any(contents.values()):
        return Consequence("loss", Label.NON_BREAKING, "it holds no data now", numbers=contents)
    known = [unit for unit in UNITS if contents.get(unit)] or [unit for unit, value in contents.items() if value]
    return Consequence(
        "loss",
        Label.BREAKING,
        "the data in it is destroyed",
        numbers={unit: contents[unit] for unit in known},
        fix="deliver what it holds first, or keep it: lifecycle { prevent_destroy = true }",
    )
