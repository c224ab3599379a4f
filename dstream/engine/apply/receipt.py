"""Receipt: what an apply was asked to do, by whom, and how it ended; kept beside the state.

It is written before the first change and again at the end, so that an apply that was killed leaves one too. It has
addresses and actions, and no attribute of an object. An apply never fails because of its receipt: what could not be
written is a warning.
"""

from __future__ import annotations

import os
from typing import Any

from dstream import __version__
from dstream.diagnostics import Diagnostic, DiagnosticsError, has_errors, warning
from dstream.engine.apply.apply_state import ApplyState
from dstream.engine.setup.provenance import provenance
from dstream.plan import Action, Plan
from dstream.plan.plan_hash import plan_hash
from dstream_state import Receipts, Snapshot, StateError
from dstream_state.clock import now

UNFINISHED = "unfinished"
"""The outcome of an apply that has not ended, or was killed."""
_MOST = 2_000
"""Addresses that a receipt has; the counts are of all."""


class ReceiptWriter:
    """Writes the receipt of one apply."""

    def __init__(self, state: ApplyState, plan: Plan, approval: str) -> None:
        """Describe the apply of `plan`, which `approval` allowed: "-auto-approve", "prompt" or "saved plan"."""
        holder = state.held.holder
        who = provenance(os.environ, state.operation.config.root)
        self._plan = plan
        self._receipts: Receipts = state.operation.backend.receipts()
        self._name = self._receipts.name(holder.id)
        self._problem: StateError | None = None
        self._content: dict[str, Any] = {
            "id": holder.id,
            "operation": holder.operation,
            "workspace": plan.workspace,
            "who": who.actor or holder.who,
            "host": holder.host.partition("/")[0],
            "approval": approval,
            "approved_by": who.approved_by,
            "commit": who.commit,
            "run": who.run,
            "plan": plan_hash(plan),
            "planned": plan.counts,
            "dstream_version": __version__,
            "serial_before": plan.serial,
            "began": now(),
            "outcome": UNFINISHED,
        }
        self._write()

    def ended(
        self, counts: dict[str, int], failed: set[str], problems: tuple[Diagnostic, ...], snapshot: Snapshot | None
    ) -> tuple[Diagnostic, ...]:
        """Write how the apply ended; return a warning if the receipt could not be written."""
        changed = [change for change in self._plan.changes if change.changes_state and change.address not in failed]
        tasks = [task for task in self._plan.tasks if task.action is not Action.NO_OP]
        self._content |= {
            "outcome": "failed" if has_errors(problems) else "complete",
            "ended": now(),
            "serial": None if snapshot is None else snapshot.serial,
            "counts": counts,
            "changes": [{"address": each.shown_address, "actions": each.action.steps} for each in changed[:_MOST]],
            "tasks": [{"address": each.address, "actions": each.action.steps} for each in tasks[:_MOST]],
            "failed": sorted(failed)[:_MOST],
            "left_out": max(0, len(changed) - _MOST) + max(0, len(tasks) - _MOST) + max(0, len(failed) - _MOST),
            "problems": [_in_short(each) for each in problems[:_MOST]],
        }
        self._write()
        if self._problem is None and snapshot is not None and snapshot.serial % 10 == 0:
            try:
                self._receipts.prune()
            except StateError as problem:
                self._problem = problem
        if self._problem is None:
            return ()
        detail = f"{self._problem} `dstream history` does not show how this {self._content['operation']} ended."
        return (warning("Receipt not written", detail),)

    def broken_off(self, problem: BaseException) -> None:
        """Write that the apply ended with an exception."""
        found = problem.diagnostics if isinstance(problem, DiagnosticsError) else ()
        problems = [_in_short(each) for each in found] or [{"summary": type(problem).__name__, "address": None}]
        self._content |= {"outcome": "failed", "ended": now(), "problems": problems}
        self._write()

    def _write(self) -> None:
        try:
            self._receipts.put(self._name, self._content)
        except StateError as problem:
            self._problem = problem


def _in_short(problem: Diagnostic) -> dict[str, Any]:
    """Return a problem without its detail, which may quote values."""
    return {"summary": problem.summary, "address": problem.address}
