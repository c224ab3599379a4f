"""Selection: which blocks an operation is about, and which block a recorded address belongs to."""

from __future__ import annotations

from collections.abc import Iterable

from dstream.addresses import Address, DerivedAddress, TaskAddress, parse_address
from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.blocks import Needs
from dstream.engine.operation import Operation
from dstream.engine.refusals import unknown_target
from dstream_state import Snapshot

DEPOSED = "#deposed"
"""What follows the address of an object that was replaced and is still to be destroyed."""


class Selection:
    """The blocks that targets ask for, with what they need (or, to destroy, what needs them); all without targets."""

    def __init__(self, targets: Iterable[str], operation: Operation, snapshot: Snapshot, *, destroy: bool) -> None:
        """Raise DiagnosticsError where a target names nothing."""
        names = [_target_block(target, operation.needs, snapshot) for target in targets]
        self._names: set[str] | None = None
        if names:
            graph = operation.graph
            known = [name for name in names if name in graph]
            self._names = set(names) | (graph.dependents(known) if destroy else graph.closure(known))

    @property
    def everything(self) -> bool:
        """Whether nothing was left out."""
        return self._names is None

    def __contains__(self, block: str) -> bool:
        """Tell whether a block is in the selection."""
        return self._names is None or block in self._names

    def has(self, address: str) -> bool:
        """Tell whether the block of a recorded address is in the selection."""
        return self._names is None or block_of_text(address) in self._names


def _target_block(target: str, needs: Needs, snapshot: Snapshot) -> str:
    name = block_of(read_address(target))
    recorded = name in snapshot.tasks or any(block_of_text(text) == name for text in snapshot.resources)
    if name not in needs and not recorded:
        raise DiagnosticsError(unknown_target(target, list(needs)))
    return name


def read_address(text: str) -> Address:
    """Parse an address that the user gave or the state holds; raise DiagnosticsError if it is none."""
    try:
        return parse_address(text.removesuffix(DEPOSED))
    except ValueError as problem:
        raise DiagnosticsError(error("Wrong address", str(problem))) from None


def block_of(address: Address) -> str:
    """Return the name of the block that an address belongs to."""
    return str(address.task.block if isinstance(address, DerivedAddress) else address.block)


def block_of_text(text: str) -> str:
    """Return the name of the block that a recorded address, or the name of a provider spec, belongs to.

    Reads the first two parts only, since it is called for every object of a state.
    """
    kind, _, rest = text.partition(".")
    name = rest.split(".", 1)[0].split("[", 1)[0].removesuffix(DEPOSED)
    return f"{kind}.{name}"


def task_of(address: str) -> TaskAddress | None:
    """Return the task that a recorded address belongs to, or None for a declared resource."""
    if not address.startswith("task."):
        return None
    found = read_address(address)
    return found.task if isinstance(found, DerivedAddress) else found if isinstance(found, TaskAddress) else None
