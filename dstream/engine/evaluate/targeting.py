"""Targeting: the blocks and objects that an operation includes, by `-target` and `-exclude`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dstream.addresses import Address, DerivedAddress, TaskAddress, parse_address
from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.evaluate.errors import unknown_target
from dstream.engine.setup.block_graph import Needs
from dstream.engine.setup.operation import Operation
from dstream_state import Snapshot

DEPOSED = "#deposed"
"""The suffix of the address of a deposed object: replaced, and not destroyed yet."""


class Selection:
    """The selected blocks and objects: the targets with their dependencies, or all but the excluded ones.

    A target is a block, an instance of it, or an object of a task. Dependencies of a target are included as entire
    blocks, and dependents of an excluded object are left out as entire blocks. Outputs that depend on nothing but the
    included blocks are included. A destroy reverses this: it includes the dependents of a target, and leaves out the
    dependencies of an excluded object.
    """

    def __init__(
        self,
        targets: Iterable[str],
        operation: Operation,
        snapshot: Snapshot,
        *,
        destroy: bool,
        exclude: Iterable[str] = (),
    ) -> None:
        """Raise DiagnosticsError if an address does not exist."""
        self._names: set[str] | None = None
        self._only: dict[str, set[str]] = {}
        """Blocks of which only some objects are selected, with the addresses of these."""
        self._left_out: set[str] = set()
        """Blocks that are excluded."""
        self._excluded: set[str] = set()
        """Addresses that are excluded with everything below them."""
        self._destroy = destroy
        chosen = [_named(each, operation.needs, snapshot) for each in targets]
        if chosen:
            self._choose(chosen, operation)
        left = [_named(each, operation.needs, snapshot) for each in exclude]
        if left:
            self._leave_out(left, operation)

    def _choose(self, chosen: list[tuple[str, str]], operation: Operation) -> None:
        graph = operation.graph
        known = [block for block, _ in chosen if block in graph]
        around = graph.dependents(known) if self._destroy else graph.closure(known)
        self._names = {block for block, _ in chosen} | around
        for block, address in chosen:
            self._only.setdefault(block, set()).add(address)
        needed = {each for block in known for each in operation.needs[block]} if not self._destroy else set()
        for block in list(self._only):
            # One that is wanted as a whole, by itself or since another target needs it, is not wanted in parts.
            if block in self._only[block] or block in needed:
                del self._only[block]
        if not self._destroy:
            self._names |= _outputs_of(self._names, operation)

    def _leave_out(self, left: list[tuple[str, str]], operation: Operation) -> None:
        graph = operation.graph
        known = [block for block, _ in left if block in graph]
        around = (graph.closure(known) if self._destroy else graph.dependents(known)) - set(known)
        self._left_out = {block for block in around if block.partition(".")[0] not in ("var", "local", "provider")}
        for block, address in left:
            if block == address:
                self._left_out.add(block)
            else:
                self._excluded.add(address)

    @property
    def everything(self) -> bool:
        """Whether the selection has everything."""
        return self._names is None and not self._left_out and not self._excluded

    def __contains__(self, block: str) -> bool:
        """Return whether a block or some of its objects are selected."""
        return (self._names is None or block in self._names) and block not in self._left_out

    def complete(self, block: str) -> bool:
        """Return whether all objects of a block are selected."""
        parts = any(_below(address, block) for address in self._excluded)
        return block in self and block not in self._only and not parts

    def has(self, address: str) -> bool:
        """Return whether a recorded or desired object is selected."""
        if self.everything:
            return True
        block = block_of_text(address)
        if block not in self or any(_below(address, each) for each in self._excluded):
            return False
        only = self._only.get(block)
        return only is None or any(_below(address, each) for each in only)

    def chosen(self, needs: Mapping[str, Iterable[str]]) -> set[str]:
        """Return the selected objects of one task; `needs` has the dependencies of each by address.

        Dependencies within the task are included with a target, dependents left out with an excluded object.
        """
        found = {address for address in needs if self.has(address)}
        pending = list(found)
        while pending:
            for needed in needs[pending.pop()]:
                if needed in needs and needed not in found and not self._is_excluded(needed):
                    found.add(needed)
                    pending.append(needed)
        while incomplete := {
            address for address in found if any(self._missing(each, needs, found) for each in needs[address])
        }:
            found -= incomplete
        return found

    def _missing(self, needed: str, needs: Mapping[str, Iterable[str]], found: set[str]) -> bool:
        return bool(self._excluded) and needed in needs and needed not in found

    def _is_excluded(self, address: str) -> bool:
        return any(_below(address, each) for each in self._excluded)


def _outputs_of(names: set[str], operation: Operation) -> set[str]:
    """Return the outputs that depend on selected objects alone, with their dependencies: they have no targets."""
    found: set[str] = set()
    for output in operation.config.outputs:
        needed = operation.graph.closure([f"output.{output}"])
        objects = {each for each in needed if each.partition(".")[0] not in ("var", "local", "provider", "output")}
        if objects and objects <= names:
            found |= needed | {f"output.{output}"}
    return found


def _below(address: str, prefix: str) -> bool:
    return address == prefix or address.startswith((f"{prefix}.", f"{prefix}[", f"{prefix}{DEPOSED}"))


def _named(text: str, needs: Needs, snapshot: Snapshot) -> tuple[str, str]:
    """Return the block of an address from the command line, and the address in canonical form."""
    if f"task.{text}" in needs:
        raise DiagnosticsError(error("Wrong address", f"{text!r} is not an address. Did you mean task.{text}?"))
    address = read_address(text)
    block, name = block_of(address), str(address)
    recorded = block in snapshot.tasks or any(block_of_text(each) == block for each in snapshot.resources)
    if block not in needs and not recorded:
        raise DiagnosticsError(unknown_target(text, list(needs)))
    return block, name


def read_address(text: str) -> Address:
    """Parse an address from the command line or the state; raise DiagnosticsError if it is invalid."""
    try:
        return parse_address(text.removesuffix(DEPOSED))
    except ValueError as problem:
        raise DiagnosticsError(error("Wrong address", str(problem))) from None


def block_of(address: Address) -> str:
    """Return the name of the block that an address belongs to."""
    return str(address.task.block if isinstance(address, DerivedAddress) else address.block)


def block_of_text(text: str) -> str:
    """Return the name of the block that a recorded address, or the name of a provider spec, belongs to.

    Parses only the first two parts, since it is called for every object of a state.
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
