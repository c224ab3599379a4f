"""Moves: objects that have a new address, by a `moved` block or because their provider names them otherwise now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from dstream.addresses import TaskAddress
from dstream.config import MovedBlock
from dstream.diagnostics import Diagnostic, error
from dstream_state import ObjectState


@dataclass(slots=True)
class Moves:
    """Recorded objects under their new addresses."""

    resources: dict[str, ObjectState]
    origins: dict[str, str] = field(default_factory=dict)
    """The earlier address of each moved object, by its new one."""
    tasks: dict[str, str] = field(default_factory=dict)
    """The earlier address of each moved task, by its new one."""
    problems: list[Diagnostic] = field(default_factory=list)

    def take(self, new: str, aliases: Iterable[str]) -> None:
        """Give an object its new address, if it is recorded under one of its earlier ones and not under this."""
        if new in self.resources:
            return
        for alias in aliases:
            if alias in self.resources:
                self.origins[new] = self.origins.pop(alias, alias)
                self.resources[new] = self.resources.pop(alias)
                return


def apply_moves(recorded: Mapping[str, ObjectState], blocks: Iterable[MovedBlock]) -> Moves:
    """Return the recorded objects as `moved` blocks have them; a block that moves nothing any more does no harm."""
    moves = Moves(dict(recorded))
    for block in blocks:
        old, new = str(block.from_), str(block.to)
        if isinstance(block.from_, TaskAddress):
            moves.tasks[new] = moves.tasks.pop(old, old)
        for address in [each for each in moves.resources if within(each, old)]:
            target = new + address[len(old) :]
            if target in moves.resources:
                moves.problems.append(_taken(address, target, block))
                continue
            item = moves.resources.pop(address)
            key = target if item.key == address else item.key  # a declared object is called by its address
            moves.resources[target] = replace(item, provider=renamed(item.provider, old, new), key=key)
            moves.origins[target] = moves.origins.pop(address, address)
        for address, item in moves.resources.items():
            if any(within(needed, old) for needed in item.dependencies):
                needs = tuple(renamed(needed, old, new) for needed in item.dependencies)
                moves.resources[address] = replace(item, dependencies=needs)
    return moves


def within(address: str, prefix: str) -> bool:
    """Tell whether an address is another, or one of what is below it."""
    return address == prefix or address.startswith((f"{prefix}.", f"{prefix}["))


def renamed(address: str, old: str, new: str) -> str:
    """Return an address with `new` in place of `old` at its start, or as it is if it does not start so."""
    return new + address[len(old) :] if within(address, old) else address


def _taken(old: str, new: str, block: MovedBlock) -> Diagnostic:
    return error(
        "Moved to an address that is taken",
        f"{old} is to become {new}, and the state has another object there. Take this block out, or move or remove the "
        f"other object first (dstream state rm {new} forgets it).",
        block.range,
    )
