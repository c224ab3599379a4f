"""Step graph: the changes of a plan as single steps, ordered by dependencies.

A change is one step (create, update, destroy, forget), a replacement two. An object is created after its dependencies
and destroyed before them; an update that releases a dependency comes before the destruction of that dependency. Each
block has a gate that opens when all steps of its objects are done, so that the number of edges is linear in the number
of objects.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from msgspec import Struct

from dstream.engine.evaluate.desired import DesiredObject
from dstream.engine.evaluate.targeting import DEPOSED, block_of_text
from dstream.graph import Dependencies
from dstream.plan import Action, Change
from dstream_state import ObjectState

Kind = Literal["create", "update", "destroy", "forget"]


class Step(Struct, frozen=True):
    """One step of a change; `deposed` if it destroys the old object of a create_before_destroy replacement."""

    kind: Kind
    change: Change
    deposed: bool = False

    @property
    def name(self) -> str:
        """The name of the step in the graph."""
        return f"{self.kind} {self.change.address}"


_KINDS: dict[Action, tuple[Kind, ...]] = {
    Action.CREATE: ("create",),
    Action.UPDATE: ("update",),
    Action.DELETE: ("destroy",),
    Action.FORGET: ("forget",),
    Action.REPLACE: ("destroy", "create"),
    Action.CREATE_THEN_DELETE: ("create", "destroy"),
}


def gate(block: str) -> str:
    """Return the name of the gate of a block."""
    return f"gate {block}"


def build_steps(
    changes: Iterable[Change],
    block_needs: Mapping[str, Iterable[str]],
    recorded_needs: Mapping[str, Iterable[str]],
    in_the_way: Collection[str] = (),
) -> tuple[Dependencies, dict[str, Step]]:
    """Return the graph of steps and gates, and the steps by name.

    `block_needs` are the configuration's dependencies between blocks; `recorded_needs` those of existing objects, by
    address, as the state has them (blocks, or addresses of objects of the same task). `in_the_way` has the addresses of
    deposed objects that leave no room for the new one.
    """
    graph = Dependencies()
    steps: dict[str, Step] = {}
    by_block: dict[str, list[Step]] = {}
    by_address: dict[str, list[Step]] = {}
    for change in changes:
        for kind in _KINDS.get(change.action, ()):
            deposed = change.action is Action.CREATE_THEN_DELETE and kind == "destroy"
            step = Step(kind, change, deposed)
            steps[step.name] = step
            by_block.setdefault(block_of_text(change.address), []).append(step)
            by_address.setdefault(change.address, []).append(step)
    for block, needs in block_needs.items():
        graph.add(gate(block), (gate(needed) for needed in needs))
    for block, own in by_block.items():
        graph.add(gate(block), (step.name for step in own if step.kind in ("create", "update")))
    for name, step in steps.items():
        graph.add(name)
        address = step.change.address
        if step.kind in ("create", "update"):
            graph.add(name, _after(step, by_address, block_needs.get(block_of_text(address), ())))
        if step.change.action is Action.REPLACE and step.kind == "create":
            graph.add(name, [f"destroy {address}"])
        if step.deposed:
            graph.add(name, [f"create {address}"])
        elif step.kind == "create" and f"destroy {address}{DEPOSED}" in steps:
            earlier = address + DEPOSED
            if step.change.action is Action.CREATE_THEN_DELETE or earlier in in_the_way:
                # There is room for one earlier object beside the present one, which is healthy.
                graph.add(name, [f"destroy {earlier}"])
            else:
                graph.add(f"destroy {earlier}", [name])
    _removals(graph, by_block, by_address, recorded_needs, in_the_way)
    return graph, steps


def deposed_in_the_way(desired: Mapping[str, DesiredObject], recorded: Mapping[str, ObjectState]) -> frozenset[str]:
    """Return the addresses of deposed objects that have the identity of the object that is desired in their place."""
    return frozenset(
        address
        for address, item in recorded.items()
        if address.endswith(DEPOSED)
        and (new := desired.get(address.removesuffix(DEPOSED))) is not None
        and isinstance(item.identity, Mapping)
        and all(new.attributes.get(name) == value for name, value in item.identity.items())
    )


def through_empty(
    recorded_needs: Mapping[str, tuple[str, ...]], block_needs: Mapping[str, Iterable[str]]
) -> dict[str, tuple[str, ...]]:
    """Return the recorded dependencies, extended through needed blocks that have no objects.

    Such a block (`count = 0`) is not recorded: what it depends on is in the configuration. If the state has the
    opposite order, that order is kept.
    """
    above: dict[str, set[str]] = {}
    for address, needs in recorded_needs.items():
        above.setdefault(block_of_text(address), set()).update(map(block_of_text, needs))
    found: dict[str, tuple[str, ...]] = {}
    extended: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {}
    for address, needs in recorded_needs.items():
        case = (block_of_text(address), needs)
        if case not in extended:
            extended[case] = _extended(*case, above, block_needs)
        found[address] = extended[case]
    return found


def _extended(
    block: str, needs: tuple[str, ...], above: Mapping[str, set[str]], block_needs: Mapping[str, Iterable[str]]
) -> tuple[str, ...]:
    empty = [each for each in needs if block_of_text(each) not in above]
    found, seen = list(needs), set(needs)
    while empty:
        for each in block_needs.get(empty.pop(), ()):
            if each in seen or block in _reached(each, above):
                continue
            seen.add(each)
            found.append(each)
            if each not in above:
                empty.append(each)
    return tuple(found)


def _reached(block: str, above: Mapping[str, set[str]]) -> set[str]:
    """Return a block and the blocks that its recorded objects depend on, directly or not."""
    found, waiting = {block}, [block]
    while waiting:
        fresh = above.get(waiting.pop(), set()) - found
        found |= fresh
        waiting += fresh
    return found


def _after(step: Step, by_address: Mapping[str, list[Step]], needs: Iterable[str]) -> Iterable[str]:
    yield from (gate(needed) for needed in needs)
    for needed in step.change.dependencies:
        for other in by_address.get(needed, ()):
            if other.kind in ("create", "update"):
                yield other.name


def _removals(
    graph: Dependencies,
    by_block: Mapping[str, list[Step]],
    by_address: Mapping[str, list[Step]],
    recorded_needs: Mapping[str, Iterable[str]],
    in_the_way: Collection[str],
) -> None:
    """Order the destruction of an object after its dependents are destroyed or released it."""
    fences: dict[str, bool] = {}
    """For each needed block, whether its objects are removed permanently, so that dependents have to release them."""
    for address, needs in recorded_needs.items():
        own = by_address.get(address, ())
        for needed in needs:
            if needed in by_address:
                targets = [step for step in by_address[needed] if step.kind == "destroy"]
                for target in targets:
                    graph.add(target.name, _before(target, own))
            elif needed in by_block:
                # One fence for each needed block, so that n objects needing m others make n + m edges.
                if needed not in fences:
                    fences[needed] = _permanent(by_block[needed])
                graph.add(f"released {needed}", _releasing(own, permanent=fences[needed]))
    for needed in fences:
        for target in by_block[needed]:
            if target.kind == "destroy" and not _precedes_replacement(target, by_address, in_the_way):
                graph.add(target.name, [f"released {needed}"])


def _precedes_replacement(step: Step, by_address: Mapping[str, list[Step]], in_the_way: Collection[str]) -> bool:
    """Whether a step destroys a deposed object to make room for the new one at its address."""
    address = step.change.address
    if not address.endswith(DEPOSED):
        return False
    present = by_address.get(address.removesuffix(DEPOSED), ())
    return address in in_the_way or any(each.change.action is Action.CREATE_THEN_DELETE for each in present)


def _before(target: Step, dependents: Iterable[Step]) -> Iterable[str]:
    return _releasing(dependents, permanent=_permanent([target]))


def _permanent(targets: Iterable[Step]) -> bool:
    """Return whether no replacement follows the destruction."""
    going = (target for target in targets if target.kind == "destroy")
    return all(target.deposed or target.change.action is Action.DELETE for target in going)


def _releasing(dependents: Iterable[Step], *, permanent: bool) -> Iterable[str]:
    for step in dependents:
        if step.kind == "destroy" or (permanent and step.kind == "update"):
            yield step.name
