"""Task records: what the state has of a task, for providers that report what happens to its data."""

from __future__ import annotations

import os
import threading
from calendar import timegm
from collections.abc import Mapping
from time import strptime, time
from typing import Any

from dstream.addresses import TaskAddress, parse_address
from dstream.diagnostics import Diagnostic, warning
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.task_instance import Side, TaskInstance, flow_name
from dstream.engine.providers.task_settings import input_name, side_label
from dstream.engine.refresh.prior_state import PriorState
from dstream.engine.setup.operation import Operation
from dstream.plan.plan import known
from dstream.plugins.assessment import CONSEQUENCES
from dstream_state import StateError
from dstream_state.backend import TaskView
from dstream_state.processes import alive, this_host

_NEVER_RAN = TaskView(None, None)


class TaskRecords:
    """Reads the checkpoints of tasks, each once, without a lease. Its methods may be called from any thread."""

    def __init__(self, operation: Operation, prior: PriorState, pool: ProviderPool, options: PlanOptions) -> None:
        """Read nothing yet."""
        self._operation, self._prior, self._pool = operation, prior, pool
        self._views: dict[str, TaskView] = {}
        self._lock = threading.Lock()
        self._problems: list[Diagnostic] = []
        self.unassessed = _unassessed(operation, options)
        """Why no provider is asked what happens to the data; empty if they are asked."""

    @property
    def problems(self) -> tuple[Diagnostic, ...]:
        """A warning for each checkpoint that could not be read."""
        return tuple(self._problems)

    def assessable(self, side: Side) -> bool:
        """Return whether the provider of a side reports what happens to the data."""
        return CONSEQUENCES in self._pool.installed(side.spec).info.capabilities

    def request(self, task: TaskInstance, side: Side, flow: str) -> dict[str, Any] | None:
        """Return the member `assess` of a request for a side; None if it is not to report anything."""
        if self.unassessed or side.spec.unknown or not self.assessable(side):
            return None
        recorded = self._prior.tasks.get(self.origin(task))
        if recorded is None:
            return {"applied": False}
        found: dict[str, Any] = {"applied": True, "streams": list(recorded.streams)}
        settings: Mapping[str, Any] | None = (recorded.settings or {}).get(side_label(side))
        if settings is not None:
            found["config"] = known(settings.get("config", {}))
        view = self.view(task, flow)
        if is_running(view):
            found["running"] = True
        checkpoint = None if self.starts_over(task) else view.checkpoint
        if checkpoint is not None:
            found["checkpoint"] = checkpoint.position
            age = age_of(checkpoint.at)
            if age is not None:
                found["checkpoint_age"] = age
        return found

    def origin(self, task: TaskInstance) -> str:
        """Return the address under which a task is recorded, or would be."""
        address = str(task.address)
        return address if address in self._prior.tasks else self._prior.moved_tasks.get(address, address)

    def starts_over(self, task: TaskInstance) -> bool:
        """Return whether the input is another provider than the applied one, which has a position of its own."""
        recorded = self._prior.tasks.get(self.origin(task))
        if recorded is None or recorded.settings is None:
            return False
        return input_name(recorded.settings) != self._pool.installed(task.input.spec).info.name

    def view(self, task: TaskInstance, flow: str) -> TaskView:
        """Return checkpoint and runner of a flow, which may be recorded under the task's old name."""
        parsed = parse_address(self.origin(task))
        old = flow_name(parsed, None) if isinstance(parsed, TaskAddress) else flow
        name = old + flow[len(flow_name(task.address, None)) :]
        with self._lock:
            if name not in self._views:
                self._views[name] = self._read(name, str(task.address))
            return self._views[name]

    def _read(self, name: str, address: str) -> TaskView:
        if self._operation.untrusted is not None:
            return _NEVER_RAN
        try:
            return self._operation.backend.task(name).read()
        except StateError as problem:
            detail = f"{problem} What happens to the data of {name} is not known."
            self._problems.append(warning("Unreadable checkpoint", detail, address=address))
            return _NEVER_RAN


def is_running(view: TaskView) -> bool:
    """Return whether another process may run a flow now."""
    holder = view.holder
    if holder is None or holder.released or (holder.host, holder.pid) == (this_host(), os.getpid()):
        return False
    return holder.host != this_host() or alive(holder.pid, holder.started)


def age_of(at: str) -> float | None:
    """Return the seconds since a time as the state has it; None if it is not one."""
    try:
        return max(0.0, round(time() - timegm(strptime(at, "%Y-%m-%dT%H:%M:%SZ"))))
    except ValueError:
        return None


def _unassessed(operation: Operation, options: PlanOptions) -> str:
    if operation.untrusted is not None:
        return "the configuration is not trusted"
    if options.assess is False:
        return "-preflight=false"
    if not options.assesses:
        return "-refresh=false"
    return ""
