"""Removals: the changes of prior objects that are no longer declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from dstream.addresses import DerivedAddress
from dstream.config import ResourceBlock, TaskBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError
from dstream.engine.evaluate.expansion import InstanceNames
from dstream.engine.evaluate.targeting import DEPOSED, block_of_text, read_address
from dstream.engine.evaluate.timeouts import timeouts_of_removed
from dstream.engine.plan.context import PlanContext
from dstream.engine.plan.errors import destroy_prevented, destroy_prevented_by_provider, destroy_prevented_by_state
from dstream.engine.plan.refreshed import check_prior
from dstream.engine.plan.resource_diff import removal_of
from dstream.engine.refresh.moved_blocks import within
from dstream.plan import Action, Change, Reason
from dstream_state import NO_TIMEOUTS, ObjectState, Timeouts


class Removals(Struct, frozen=True):
    """The removals of a plan by address."""

    changes: Mapping[str, Change]
    timeouts: Mapping[str, Timeouts]
    """Timeouts of objects whose block still exists, by address."""
    problems: tuple[Diagnostic, ...]


def plan_removals(context: PlanContext, addresses: Iterable[str], released: frozenset[str]) -> Removals:
    """Return the removals of prior objects; `released` has the addresses that their tasks no longer need."""
    planner = _RemovalPlanner(context, released)
    changes: dict[str, Change] = {}
    for address in addresses:
        change = planner.removal(address, context.prior.objects[address])
        if change is not None:
            changes[address] = change
    return Removals(changes, planner.timeouts, tuple(planner.problems))


class _RemovalPlanner:
    """Plans removals one by one."""

    def __init__(self, context: PlanContext, released: frozenset[str]) -> None:
        self._context, self._released = context, released
        self._names: dict[str, InstanceNames] = {}
        self.timeouts: dict[str, Timeouts] = {}
        self.problems: list[Diagnostic] = []

    def removal(self, address: str, item: ObjectState) -> Change | None:
        """Return the change that removes an object, None if it stays.

        A released object is kept if its destruction is prevented, because the user did not request the destruction.
        """
        context = self._context
        refreshed = context.prefetch.refreshed_at(address)
        self.problems += check_prior(address, item, refreshed)
        block = block_of_text(address)
        change = removal_of(address, item, refreshed, self._reason(address, block), context.key)
        if not context.options.destroy:
            change = replace(change, moved_from=context.prior.previous_addresses.get(address))
        if self._forgotten(address):
            change = replace(change, action=Action.FORGET, reason=Reason.NONE, detail="a removed block forgets it")
        declared = self._declaration(block)
        if declared is not None:
            self._add_timeouts(address, item, block, declared)
        if not change.action.destroys or address.endswith(DEPOSED):
            return change  # what was replaced may go: its replacement was allowed
        if declared is not None and declared.lifecycle.prevent_destroy:
            if change.reason is Reason.RELEASED:
                return None
            self.problems.append(destroy_prevented(change, declared.range))
        elif item.prevent_destroy:
            subject = declared.range if declared is not None else None
            self.problems.append(destroy_prevented_by_provider(change, subject))
        elif item.protected and declared is None and not self._removed(address, destroy=True):
            self.problems.append(destroy_prevented_by_state(change))
        return change

    def _reason(self, address: str, block: str) -> Reason:
        if self._context.options.destroy:
            return Reason.DESTROY
        if address in self._released:
            return Reason.RELEASED
        if block.startswith("task.") and block in self._context.operation.needs:
            return Reason.NOT_WANTED_BY_TASK
        return Reason.NOT_IN_CONFIGURATION

    def _forgotten(self, address: str) -> bool:
        """Return whether a `removed` block removes an object from the state without destroying it."""
        return self._removed(address, destroy=False)

    def _removed(self, address: str, *, destroy: bool) -> bool:
        """Return whether a `removed` block removes an object, and destroys it or not."""
        removed = self._context.config.removed
        return any(block.destroy is destroy and within(address, str(block.from_)) for block in removed)

    def _declaration(self, block: str) -> ResourceBlock | TaskBlock | None:
        kind, _, rest = block.partition(".")
        config = self._context.config
        return config.tasks.get(rest) if kind == "task" else config.resources.get((kind, rest))

    def _add_timeouts(self, address: str, item: ObjectState, block: str, declared: ResourceBlock | TaskBlock) -> None:
        """Add the timeouts for the destruction of an object whose block still exists."""
        if declared.timeouts is None:
            self.timeouts[address] = item.timeouts if isinstance(declared, TaskBlock) else NO_TIMEOUTS
            return
        parsed = read_address(address)
        key = parsed.task.key if isinstance(parsed, DerivedAddress) else getattr(parsed, "key", None)
        if block not in self._names:
            self._names[block] = InstanceNames(declared.for_each, declared.count)
        try:
            found = timeouts_of_removed(declared, self._names[block], key, item.timeouts, self._context.scope)
        except DiagnosticsError as problem:
            self.problems += (each for each in problem.diagnostics if each not in self.problems)
            return
        self.timeouts[address] = found
