"""A world of objects outside of dstream, and a small engine over it: what the state has to keep track of.

`Actor` does what the engine does: intent, call, result, at the end a snapshot; and first of all it resolves
what others left, by asking the world for the marker that each creation carries. Everything is deterministic.
"""

from __future__ import annotations

import itertools

from dstream_state import Intent, ObjectState, Result
from dstream_state.backend import Held


class World:
    """Objects that really exist: by identity, with the intent that made them as marker."""

    def __init__(self) -> None:
        self.objects: dict[int, str] = {}
        self.created: dict[str, int] = {}
        self._ids = itertools.count(1)

    def create(self, address: str, intent: str) -> int:
        identity = next(self._ids)
        self.objects[identity] = intent
        self.created[address] = self.created.get(address, 0) + 1
        return identity

    def find(self, intent: str) -> int | None:
        return next((identity for identity, marker in self.objects.items() if marker == intent), None)


def thing(identity: int) -> ObjectState:
    return ObjectState("p", "thing", "k", {"id": identity})


class Actor:
    """Applies a configuration that wants `addresses`, over a lock that it was given."""

    def __init__(self, world: World, held: Held, addresses: tuple[str, ...]) -> None:
        self.world, self.held, self.addresses = world, held, addresses
        self.ids = itertools.count(1)

    def run(self) -> None:
        for left in self.held.unresolved:
            identity = self.world.find(left.id)
            self.held.append([Result(left.id, "gone") if identity is None else Result(left.id, "ok", thing(identity))])
        have = self.held.current().resources
        for address in self.addresses:
            if address not in have:
                self.create(address)
        self.held.finish()

    def create(self, address: str) -> None:
        intent = Intent(f"{address} {self.held.holder.id} {next(self.ids)}", "create", address, "p", "thing", "k")
        self.held.append([intent])
        self.held.ensure()
        identity = self.world.create(address, intent.id)
        self.held.append([Result(intent.id, "ok", thing(identity))])
