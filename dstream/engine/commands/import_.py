"""Import: records one existing object in the state, and changes nothing else."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.apply.apply_state import locked_state
from dstream.engine.apply.recovery import recover_interrupted
from dstream.engine.evaluate.targeting import block_of_text, read_address
from dstream.engine.plan.errors import no_import_target
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.plan.planner import make_plan
from dstream.engine.setup.hooks import Observer
from dstream.engine.setup.operation import Operation
from dstream.stopping import Stop
from dstream_state import Put, PutProvider


def import_object(operation: Operation, address: str, identity: Any, lock_timeout: float, observer: Observer) -> None:
    """Record an object under an address of the configuration; raise DiagnosticsError if it cannot be imported."""
    name = str(read_address(address))
    with locked_state(operation, "import", lock_timeout, observer, Stop()) as state:
        recover_interrupted(state)
        held, pool = state.held, state.pool
        snapshot = held.current()
        known = snapshot.resources.get(name)
        if known is not None and known.status in ("unresolved", "pending"):
            # This is what it was looked for by hand for: what is named is taken in its place.
            rest = {address: item for address, item in snapshot.resources.items() if address != name}
            snapshot = replace(snapshot, resources=rest)
        elif known is not None:
            raise DiagnosticsError(
                error(
                    "Address in use",
                    f"The state has one at {name} already. dstream state rm {name} forgets it.",
                )
            )
        if block_of_text(name) not in operation.needs:
            raise DiagnosticsError(no_import_target(name, declared=False, subject=None))
        prepared = make_plan(
            operation, snapshot, pool, PlanOptions(targets=(name,), assess=False, imports={name: identity})
        )
        records = [record for record in prepared.state_updates if isinstance(record, Put) and record.address == name]
        if not records:
            raise DiagnosticsError(
                error("Nothing to import to", f"The configuration asks for no object at {name}. Declare it first.")
            )
        spec = prepared.specs[records[0].object.provider]
        provider = PutProvider(spec.name, spec.to_state(pool.installed(spec).info.version))
        held.append([provider, *records])
        held.finish()
