"""Plan options and plan result: the user's options, and a plan with everything that apply needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from dstream.engine.evaluate.desired import DesiredObject
from dstream.engine.evaluate.resource_values import ResourceValues
from dstream.engine.plan.recorded_answers import RecordedAnswers
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.engine.providers.task_instance import Streams, TaskInstance
from dstream.engine.providers.task_requirements import PARALLELISM, RequiredObjects
from dstream.engine.refresh.refresh import RefreshedObject
from dstream.plan import Plan
from dstream_state import Record, Snapshot, Timeouts


class PlanOptions(Struct, frozen=True):
    """The user's options for a plan."""

    destroy: bool = False
    refresh: bool = True
    refresh_only: bool = False
    """Whether to update only the state to match the real objects."""
    targets: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    assess: bool | None = None
    """Whether providers report what happens to the data; None: if they refresh."""
    parallelism: int = PARALLELISM
    """The number of tasks whose providers are queried at the same time."""
    imports: Mapping[str, Any] = field(default_factory=dict)
    """Identities of objects to import, by address, in addition to `import` blocks."""
    discovered: Mapping[str, Streams] = field(default_factory=dict)
    """Streams that outputs discovered at run time, by flow name, to record with the task."""

    @property
    def plans_objects(self) -> bool:
        """Whether the plan compares what the configuration declares."""
        return not (self.destroy or self.refresh_only)

    @property
    def assesses(self) -> bool:
        """Whether providers report what happens to the data, and what apply and run would fail on."""
        return self.refresh if self.assess is None else self.assess


class PlanResult(Struct):
    """A plan, and what apply needs to carry it out; `desired` holds secrets and never leaves the process."""

    plan: Plan
    snapshot: Snapshot
    """The prior state, under the addresses of the configuration."""
    desired: Mapping[str, DesiredObject]
    specs: Mapping[str, ProviderSpec]
    tasks: Mapping[str, TaskInstance]
    required: Mapping[str, RequiredObjects]
    """What each task requires, by the address of the task."""
    refreshed_objects: Mapping[str, RefreshedObject]
    resource_values: ResourceValues
    block_needs: Mapping[str, tuple[str, ...]]
    state_updates: tuple[Record, ...]
    """Changes of the state alone, recorded first: moved and imported objects, moved tasks."""
    moved_tasks: Mapping[str, str]
    """The old address of each moved task, by its new one."""
    answers: RecordedAnswers
    removed_timeouts: Mapping[str, Timeouts]
    """Timeouts of objects that are removed while their block exists, by address."""

    def declares(self, address: str) -> bool:
        """Return whether the configuration has the block of an object of the plan."""
        return address in self.desired or address in self.removed_timeouts
