"""Unplanned values: what objects have after an apply, where their plan said otherwise.

Objects that refer to such a value were applied with the planned one. Outputs are evaluated again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from textwrap import shorten
from typing import Any

from dstream.diagnostics import Diagnostic, warning
from dstream.engine.apply.apply_state import ApplyState
from dstream.engine.apply.live_objects import LiveObjects
from dstream.engine.evaluate.redaction import redact
from dstream.engine.evaluate.targeting import block_of_text
from dstream.engine.plan.plan_result import PlanResult
from dstream.lang import contains_unknown
from dstream.lang.markers import is_fingerprint
from dstream.plan import Action, Change, changed_names

_APPLIED = frozenset({Action.CREATE, Action.UPDATE, Action.REPLACE, Action.CREATE_THEN_DELETE})
_SHOWN = 5
"""Attributes that a warning shows; it counts the others."""


class UnplannedValues:
    """The created, updated and replaced objects that differ from their planned values."""

    def __init__(self, state: ApplyState, planned: PlanResult, live: LiveObjects, failed: Collection[str]) -> None:
        """Compare the objects of a plan; `failed` has the addresses of those that failed or were skipped."""
        self._planned, self._live = planned, live
        self._found: list[tuple[Change, Mapping[str, Any], list[str]]] = []
        for change in planned.plan.changes:
            item = live.by_address.get(change.address)
            if change.action in _APPLIED and item is not None and change.address not in failed:
                real = redact(item.attributes, item.sensitive, state.key)
                foreseen = {name: value for name, value in (change.after or {}).items() if not contains_unknown(value)}
                names = changed_names(foreseen, {name: real.get(name) for name in foreseen})
                if names:
                    self._found.append((change, real, names))

    @property
    def by_block(self) -> dict[str, str]:
        """The address of an object that differs, by its block."""
        return {block_of_text(change.address): change.address for change, _, _ in self._found}

    def warnings(self) -> Iterator[Diagnostic]:
        """Yield a warning for each wrong plan of a provider, and for each object that was applied with its values.

        An update is planned with the present outputs; that these change is expected.
        """
        for change, real, names in self._found:
            if change.action is not Action.UPDATE:
                yield from self._wrong_plan(change, real, names)
        yield from self._overtaken()

    def _wrong_plan(self, change: Change, real: Mapping[str, Any], names: list[str]) -> Iterator[Diagnostic]:
        """Yield a warning if the provider planned values of its own that differ: a preview that was wrong."""
        planned = self._planned.answers.planned_changes.get(change.address)
        own = [] if planned is None else [name for name in names if name not in planned.proposed]
        if not own:
            return
        after = change.after or {}
        differences = [
            f"{name} was planned as {_text(after[name])}, and is {_text(real.get(name))}" for name in own[:_SHOWN]
        ]
        if len(own) > _SHOWN:
            differences.append(f"so do {len(own) - _SHOWN} more attributes")
        desired = self._planned.desired.get(change.address)
        yield warning(
            "Object differs from its plan",
            f"The plan of its provider was wrong: {'; '.join(differences)}. The state has the real values.",
            desired.range if desired is not None else None,
            address=change.address,
        )

    def _overtaken(self) -> Iterator[Diagnostic]:
        """Yield a warning for each object whose plan would differ now that others have unplanned values."""
        differing = self.by_block
        for change in self._planned.plan.changes if differing else ():
            desired = self._planned.desired.get(change.address)
            planned = self._planned.answers.values.get(change.address)
            if desired is None or desired.evaluate is None or planned is None or contains_unknown(planned):
                continue
            needs = self._planned.block_needs.get(desired.block, ())
            sources = sorted(differing[block] for block in needs if block in differing)
            if sources and desired.evaluate(self._live.scope)[0] != planned:
                yield warning(
                    "Inconsistent value during apply",
                    f"It was applied with a planned value of {', '.join(sources)}, which has another value since it "
                    "was created, updated or replaced. To see the difference, run dstream plan; then apply again.",
                    desired.range,
                    address=change.address,
                )


def _text(value: Any) -> str:
    """Return an attribute as a warning shows it, shortened; a secret only as a mark."""
    if value is None:
        return "not set"
    return "(sensitive value)" if _has_secret(value) else shorten(json.dumps(value, default=str), 80)


def _has_secret(value: Any) -> bool:
    if is_fingerprint(value):
        return True
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return any(map(_has_secret, inner))
