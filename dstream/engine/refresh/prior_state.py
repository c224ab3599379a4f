"""Prior state: the recorded objects under the addresses that the configuration gives them.

All changes to them during planning happen here: moves, schema upgrades, imports. Each change becomes a record, which
apply writes before anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from dstream.config import Config
from dstream.diagnostics import Diagnostic
from dstream.engine.evaluate.desired import DesiredObject
from dstream.engine.evaluate.targeting import block_of_text
from dstream.engine.refresh.moved_blocks import Moves, apply_moves
from dstream_state import (
    Drop,
    ObjectState,
    OutputState,
    ProviderState,
    Put,
    PutProvider,
    PutTask,
    Record,
    Snapshot,
    TaskState,
)


class PriorState:
    """The objects of a state by their present address."""

    def __init__(self, snapshot: Snapshot, config: Config, *, moves: bool) -> None:
        """Take a snapshot; with `moves`, apply the `moved` blocks of the configuration."""
        self._snapshot = snapshot
        self._moves = (
            apply_moves(snapshot.resources, config, snapshot.tasks) if moves else Moves(dict(snapshot.resources))
        )
        self._upgraded: dict[str, ObjectState] = {}
        self._imported: dict[str, ObjectState] = {}
        self._providers = dict(snapshot.providers)
        self._replaced: dict[str, ProviderState] = {}
        self._left: set[str] = set()
        self._by_block: dict[str, list[str]] | None = None

    @property
    def problems(self) -> tuple[Diagnostic, ...]:
        """The errors of `moved` blocks."""
        return tuple(self._moves.problems)

    @property
    def key(self) -> bytes:
        """The key of the state's fingerprints."""
        return self._snapshot.hmac_key

    @property
    def objects(self) -> Mapping[str, ObjectState]:
        """The objects by address."""
        return self._moves.resources

    @property
    def tasks(self) -> Mapping[str, TaskState]:
        """The applied tasks by their address in the state."""
        return self._snapshot.tasks

    @property
    def providers(self) -> Mapping[str, ProviderState]:
        """The providers by the name of their spec."""
        return self._providers

    @property
    def outputs(self) -> Mapping[str, OutputState]:
        """The values of outputs by name."""
        return self._snapshot.outputs

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot with all changes."""
        return replace(self._snapshot, resources=dict(self._moves.resources), providers=dict(self._providers))

    @property
    def previous_addresses(self) -> Mapping[str, str]:
        """The old address of each moved object, by its present one."""
        return self._moves.origins

    @property
    def moved_tasks(self) -> Mapping[str, str]:
        """The old address of each task that is still recorded under it, by its new one."""
        return self._moves.tasks

    @property
    def task_origins(self) -> frozenset[str]:
        """The old addresses of moved tasks."""
        return frozenset(self._moves.tasks.values())

    @property
    def imported(self) -> Mapping[str, ObjectState]:
        """The imported objects by address."""
        return self._imported

    def in_block(self, block: str) -> list[str]:
        """Return the addresses of the objects of one block."""
        if self._by_block is None:
            self._by_block = {}
            for address in self._moves.resources:
                self._by_block.setdefault(block_of_text(address), []).append(address)
        return self._by_block.get(block, [])

    def apply_aliases(self, desired: DesiredObject, schema_version: int) -> ObjectState | None:
        """Move an object to its present address if it is recorded under an alias.

        Return it if the alias is of another type: it has the present one from then on, in the version given.
        """
        if not self._moves.take(desired.address, desired.aliases):
            return None
        item = self._moves.resources[desired.address]
        if item.type == desired.type:
            return None
        item = replace(
            item, type=desired.type, key=desired.key, provider=desired.provider, schema_version=schema_version
        )
        self._moves.resources[desired.address] = item
        return item

    def upgrade(self, objects: Mapping[str, ObjectState]) -> None:
        """Replace objects by their upgraded versions."""
        self._upgraded.update(objects)
        self._moves.resources.update(objects)

    def keep_provider(self, name: str, kept: str, addresses: Iterable[str]) -> None:
        """Record the provider `name` as `kept` too, and as that of these objects, because another takes its name."""
        self._providers[kept] = self._replaced[kept] = self._providers[name]
        for address in addresses:
            self._moves.resources[address] = replace(self._moves.resources[address], provider=kept)
            self._left.add(address)

    def take_over(self, address: str, item: ObjectState) -> None:
        """Add an imported object."""
        self._imported[address] = item
        self._moves.resources[address] = item

    def readdress(self, desired: Mapping[str, DesiredObject]) -> None:
        """Set the provider and key of moved objects.

        A move into or out of a task changes both.
        """
        for address in self._moves.origins:
            target = desired.get(address)
            if target is not None:
                item = self._moves.resources[address]
                self._moves.resources[address] = replace(item, provider=target.provider, key=target.key)

    def upgrade_records(self) -> Iterator[Record]:
        """Yield the records of schema upgrades."""
        for address, item in self._upgraded.items():
            yield Put(address, item)

    def move_records(self) -> Iterator[Record]:
        """Yield the records of moves, imports and replaced providers; call `readdress` first."""
        for name, provider in self._replaced.items():
            yield PutProvider(name, provider)
        for new, old in self._moves.origins.items():
            yield Put(new, self._moves.resources[new])
            yield Drop(old)
        for address in sorted(self._left - self._moves.origins.keys()):
            yield Put(address, self._moves.resources[address])
        for address, item in self._imported.items():
            yield Put(address, item)
        for old in self.moved_tasks.values():
            yield PutTask(old, None)
