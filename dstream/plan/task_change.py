"""TaskChange: the planned change of a task: its providers, their settings and its streams.

Settings are attributes as those of a `Change`: JSON values with `Unknown` inside, and a fingerprint for each secret.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from dstream.consequences import Consequence
from dstream.plan.action import Action
from dstream.plan.change import Attributes


class TaskChange(Struct, frozen=True):
    """The planned change of one task, besides that of its objects."""

    address: str
    action: Action
    """NO_OP, CREATE, UPDATE, REPLACE (the input is another provider: it starts over) or DELETE."""
    before: Attributes | None = None
    """The applied settings by side; None for a new task, or if the state does not have them."""
    after: Attributes | None = None
    """The configured settings by side; None if the task is removed."""
    moved_from: str | None = None
    """The old address of the task, if it moved."""
    streams: tuple[str, ...] = ()
    new_streams: tuple[str, ...] = ()
    """Streams that the source did not have when the task was applied."""
    lost_streams: tuple[str, ...] = ()
    """Streams that the source had when the task was applied."""
    notes: tuple[str, ...] = ()
    consequences: tuple[Consequence, ...] = ()
    """What happens to its data, breaking ones first."""
    unassessed: str = ""
    """Why its providers were not asked what happens to the data; empty if they were, or cannot tell."""

    @property
    def applied(self) -> bool:
        """Whether the present configuration is applied, under the present address."""
        return self.action is Action.NO_OP and self.moved_from is None

    @property
    def removed(self) -> bool:
        """Whether the task was applied and is removed by the plan."""
        return self.action is Action.DELETE

    @property
    def worth_showing(self) -> bool:
        """Whether a plan shows the task."""
        changed = bool(self.notes or self.new_streams or self.lost_streams)
        return not self.applied or changed or any(each.breaking for each in self.consequences)


def task_counts(tasks: Iterable[TaskChange]) -> dict[str, int]:
    """Return how many tasks are to add, change, replace, move and remove."""
    counts = {"add": 0, "change": 0, "replace": 0, "move": 0, "remove": 0}
    names = {Action.CREATE: "add", Action.UPDATE: "change", Action.REPLACE: "replace", Action.DELETE: "remove"}
    for task in tasks:
        if task.action in names:
            counts[names[task.action]] += 1
        counts["move"] += task.moved_from is not None
    return counts
