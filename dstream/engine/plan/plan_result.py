"""What a plan is made from and what comes of it: the user's options, and a plan with all that apply needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dstream.engine.evaluate.desired import DesiredObject
from dstream.engine.evaluate.resource_values import ResourceValues
from dstream.engine.plan.recorded_answers import RecordedAnswers
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.engine.providers.task_requirements import Streams, TaskInstance
from dstream.engine.refresh.refresh import RefreshedObject
from dstream.plan import Plan
from dstream_state import Record, Snapshot, Timeouts


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the user asks of a plan beside the configuration."""

    destroy: bool = False
    refresh: bool = True
    refresh_only: bool = False
    """Whether only the state is brought up to date with what really exists."""
    targets: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    imports: Mapping[str, Any] = field(default_factory=dict)
    """Identities of objects to take over, by address, beside those of `import` blocks."""
    discovered: Mapping[str, Streams] = field(default_factory=dict)
    """Streams that outputs met at run time, by the name of the flow: they are recorded with the task."""


@dataclass(slots=True)
class PlanResult:
    """A plan, and what apply needs to carry it out; `wanted` holds secrets and never leaves the process."""

    plan: Plan
    snapshot: Snapshot
    desired: dict[str, DesiredObject] = field(default_factory=dict)
    specs: dict[str, ProviderSpec] = field(default_factory=dict)
    tasks: dict[str, TaskInstance] = field(default_factory=dict)
    refreshed_objects: dict[str, RefreshedObject] = field(default_factory=dict)
    resource_values: ResourceValues = field(default_factory=ResourceValues)
    block_needs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    state_updates: tuple[Record, ...] = ()
    """What changes in the state alone, before anything else: moved and imported objects, moved tasks."""
    moved_tasks: dict[str, str] = field(default_factory=dict)
    """The earlier address of each task that is still recorded under it, by its new one."""
    answers: RecordedAnswers = field(default_factory=RecordedAnswers)
    removed_timeouts: dict[str, Timeouts] = field(default_factory=dict)
    """What holds for objects that are removed although their block is there, by address."""

    def declares(self, address: str) -> bool:
        """Tell whether the configuration has the block of an object of the plan."""
        return address in self.desired or address in self.removed_timeouts
