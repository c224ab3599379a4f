"""Replay: give dead letters to their output again, in a session of their own beside the task's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.commands.plan import current_state
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.runs.flows import make_flows
from dstream.engine.setup.operation import Operation
from dstream.plugins.dead_letter_delivery import deliver
from dstream.plugins.wire import decode
from dstream.run import Flow
from dstream_state import DeadLetter


class ReplayOutcome(Struct, frozen=True):
    """How many dead letters the output took, and how many it refused again."""

    delivered: int
    refused: int


def replay(operation: Operation, task: str, keys: Sequence[str] = ()) -> ReplayOutcome:
    """Deliver the dead letters of a task, all or those whose keys start with one of `keys`.

    What the output confirms is forgotten; what it refuses again stays. Raises DiagnosticsError where the output fails
    before it confirms: then everything stays, and some of it may have been delivered.
    """
    snapshot, _ = current_state(operation)
    with ProviderPool(operation) as pool:
        flows = make_flows(operation, task, snapshot, pool, unapplied=True)
    delivered = refused = 0
    for flow in flows:
        store = operation.backend.task(flow.name)
        chosen = [key for key in store.dead_letters.list() if not keys or key.startswith(tuple(keys))]
        letters = [store.dead_letters.read(key) for key in chosen]
        if not letters:
            continue
        rejected = _deliver(flow, letters)
        taken = [letter.key for letter in letters if _value(letter) not in rejected]
        store.dead_letters.remove(taken)
        delivered += len(taken)
        refused += len(letters) - len(taken)
    return ReplayOutcome(delivered, refused)


def _deliver(flow: Flow, letters: Sequence[DeadLetter]) -> tuple[Any, ...]:
    """Return the envelopes that the output refused again."""
    answer = deliver(
        flow.output.binary,
        flow.output.info,
        [letter.envelope for letter in letters],
        task=flow.task,
        config_json=flow.output.config_json,
        streams=flow.streams,
        redact=flow.output.secrets,
    )
    if not answer.confirmed:
        raise DiagnosticsError(
            error("Unconfirmed replay", f"{flow.output.binary.name} ended without confirming. {answer.tail}".strip())
        )
    return answer.refused


def _value(letter: DeadLetter) -> Any:
    """Return an envelope as a JSON value, or as text where it is none: as the wire carries refused ones."""
    try:
        return decode(letter.envelope)
    except ValueError:
        return letter.envelope.decode("utf-8", "replace").rstrip("\n")
