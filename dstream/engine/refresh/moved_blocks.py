"""Moves: gives objects a new address, by a `moved` block or an alias from their provider."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from dstream.addresses import DerivedAddress, ResourceAddress, TaskAddress, parse_address
from dstream.config import Config, MovedBlock
from dstream.diagnostics import Diagnostic, error
from dstream_state import ObjectState


class Moves(Struct):
    """Recorded objects under their new addresses."""

    resources: dict[str, ObjectState]
    origins: dict[str, str] = field(default_factory=dict)
    """The old address of each moved object, by its new one."""
    tasks: dict[str, str] = field(default_factory=dict)
    """The old address of each task that is recorded under it, by its new one."""
    unmoved_tasks: set[str] = field(default_factory=set)
    """The addresses of the other recorded tasks."""
    problems: list[Diagnostic] = field(default_factory=list)

    def take(self, new: str, aliases: Iterable[str]) -> bool:
        """Move an object to `new` if it is recorded under an alias and not under `new`; return whether it was."""
        if new in self.resources:
            return False
        for alias in aliases:
            if alias in self.resources:
                self.origins[new] = self.origins.pop(alias, alias)
                self.resources[new] = self.resources.pop(alias)
                return True
        return False


def apply_moves(recorded: Mapping[str, ObjectState], config: Config, tasks: Iterable[str] = ()) -> Moves:
    """Apply the `moved` blocks of a configuration to recorded objects and tasks, then the moves that are implied.

    `tasks` has the addresses of recorded tasks. Blocks without a recorded source have no effect.
    """
    moves = Moves(dict(recorded), unmoved_tasks=set(tasks))
    _apply(moves, _in_order(config.moved))
    _apply(moves, list(_implied(moves, config)))
    return moves


def _implied(moves: Moves, config: Config) -> Iterator[MovedBlock]:
    """Yield the moves between `a` and `a[0]` where a block gains or loses `count`, as Terraform implies them."""
    tasks = {*moves.unmoved_tasks, *moves.tasks}
    for block in config.resources.values():
        alone, first = ResourceAddress(block.type, block.name), ResourceAddress(block.type, block.name, 0)
        old, new = (first, alone) if block.count is None else (alone, first)
        if block.for_each is None and str(old) in moves.resources and str(new) not in moves.resources:
            yield MovedBlock(old, new, block.range)
    for task in config.tasks.values():
        single, zero = TaskAddress(task.name), TaskAddress(task.name, 0)
        source, target = (zero, single) if task.count is None else (single, zero)
        if task.for_each is None and str(source) in tasks and str(target) not in tasks:
            yield MovedBlock(source, target, task.range)


def _in_order(blocks: Iterable[MovedBlock]) -> Iterator[MovedBlock]:
    """Yield `moved` blocks so that those of a chain follow each other, however they are written."""
    waiting = list(blocks)
    while waiting:
        block = next((each for each in waiting if not any(_precedes(other, each) for other in waiting)), waiting[0])
        waiting.remove(block)
        yield block


def _precedes(first: MovedBlock, second: MovedBlock) -> bool:
    """Whether a move delivers what another takes away, or is about a part of what it moves."""
    old, new, later_old, later_new = (str(each) for each in (first.from_, first.to, second.from_, second.to))
    if first is second:
        return False
    chained = within(later_old, new) or within(new, later_old)
    return chained or (old != later_old and within(old, later_old)) or (new != later_new and within(later_new, new))


def _apply(moves: Moves, blocks: Iterable[MovedBlock]) -> None:
    targets: dict[str, str] = {}
    for block in blocks:
        old, new = str(block.from_), str(block.to)
        if targets.setdefault(old, new) != new:
            moves.problems.append(_ambiguous(old, targets[old], new, block))
            continue
        # From `a` to `a[0]`: other instances of `a` stay.
        stay = f"{old}[" if new.startswith(f"{old}[") else None
        if isinstance(block.from_, TaskAddress):
            _move_tasks(moves, block, stay)
        for address in [each for each in moves.resources if within(each, old)]:
            if stay is not None and address.startswith(stay):
                continue
            target = new + address[len(old) :]
            if target in moves.resources:
                moves.problems.append(_taken(address, target, block))
                continue
            if not same_type(address, target):
                moves.problems.append(_other_type(address, target, moves.resources[address], block))
                continue
            item = moves.resources.pop(address)
            moves.resources[target] = readdressed(item, address, target, old, new)
            moves.origins[target] = moves.origins.pop(address, address)
        for address, item in moves.resources.items():
            if any(within(needed, old) for needed in item.dependencies):
                needs = tuple(renamed(needed, old, new) for needed in item.dependencies)
                moves.resources[address] = replace(item, dependencies=needs)


def _move_tasks(moves: Moves, block: MovedBlock, stay: str | None) -> None:
    """Move a recorded task, or each recorded instance of it, except those whose addresses start with `stay`."""
    old, new = str(block.from_), str(block.to)
    for address in [each for each in (*moves.unmoved_tasks, *moves.tasks) if within(each, old)]:
        target = new + address[len(old) :]
        if stay is not None and address.startswith(stay):
            continue
        if target in moves.tasks or target in moves.unmoved_tasks:
            moves.problems.append(_taken(address, target, block))
            continue
        moves.unmoved_tasks.discard(address)
        moves.tasks[target] = moves.tasks.pop(address, address)


def within(address: str, prefix: str) -> bool:
    """Return whether an address equals another, is below it, or is its deposed object."""
    return address == prefix or address.startswith((f"{prefix}.", f"{prefix}[", f"{prefix}#"))


def renamed(address: str, old: str, new: str) -> str:
    """Return an address with the prefix `old` replaced by `new`, unchanged if it has another prefix."""
    return new + address[len(old) :] if within(address, old) else address


def same_type(before: str, after: str) -> bool:
    """Return whether two addresses have the same resource type."""
    types = [getattr(parse_address(each.partition("#")[0]), "type", None) for each in (before, after)]
    return types[0] == types[1]


def readdressed(item: ObjectState, before: str, after: str, old: str, new: str) -> ObjectState:
    """Return the record of an object that a move of `old` to `new` takes from the address `before` to `after`.

    The key of a declared object is its address, that of a task's object is the task's key. A move into or out of a task
    changes the provider: to the task's, or to the prefix of the type's name until a plan has evaluated it.
    """
    target = parse_address(after.partition("#")[0])
    if isinstance(target, DerivedAddress):
        if before.startswith("task."):
            return replace(item, provider=renamed(item.provider, old, new), key=str(target.key or item.key))
        label = "" if target.label is None else f'["{target.label}"]'
        provider = f"{target.task}.{target.side}{label}"
        return replace(item, provider=provider, key=str(target.key if target.key is not None else target.type))
    provider = f"provider.{item.type.partition('_')[0]}" if before.startswith("task.") else item.provider
    own = item.key == before.partition("#")[0] or before.startswith("task.")
    return replace(item, provider=provider, key=str(target) if own else item.key)


def _ambiguous(old: str, first: str, second: str, block: MovedBlock) -> Diagnostic:
    return error(
        "Ambiguous move",
        f"{old} is moved to {first} and to {second}. An object has one new address: take one of the blocks out.",
        block.range,
    )


def _other_type(old: str, new: str, item: ObjectState, block: MovedBlock) -> Diagnostic:
    return error(
        "Moved to another type",
        f"{old} is a {item.type}, and {new} would be of another type. An object keeps its type: take this block out.",
        block.range,
    )


def _taken(old: str, new: str, block: MovedBlock) -> Diagnostic:
    return error(
        "Move to an address in use",
        f"{old} is to become {new}, and the state has another object there. Take this block out, or move or remove the "
        f"other object first (dstream state rm {new} forgets it).",
        block.range,
    )
