"""Progress: the outcomes of the steps of one apply."""

from __future__ import annotations

from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, error
from dstream.engine.apply.step_graph import Kind, Step
from dstream.engine.setup.hooks import Observer
from dstream.graph import Dependencies, Walk
from dstream_state import Intent

_COUNTED: dict[Kind, str] = {"create": "add", "update": "change", "destroy": "destroy"}


class Progress:
    """Which steps succeeded and which failed; a failed step causes its dependents to be skipped."""

    def __init__(self, graph: Dependencies, observer: Observer) -> None:
        """Start with no step done."""
        self.walk = Walk(graph)
        self.diagnostics: list[Diagnostic] = []
        self.cut_off: list[Intent] = []
        """Changes whose provider ended before it answered."""
        self.counts = {"add": 0, "change": 0, "destroy": 0}
        self.failed: set[str] = set()
        """Addresses of the objects that failed or were skipped."""
        self._observer = observer

    def count(self, step: Step) -> None:
        """Count a change of an object."""
        self.counts[_COUNTED[step.kind]] += 1

    def done(self, step: Step) -> None:
        """Mark a step as done, so that its dependents may start."""
        self.walk.done(step.name)

    def fail(self, step: Step, diagnostics: tuple[Diagnostic, ...], *, carried_out: bool = False) -> None:
        """Report a failed step, and skip its dependents; `carried_out` if only its dependents must not continue."""
        address = step.change.address
        found = [d if d.address else replace(d, address=address) for d in diagnostics]
        self.diagnostics.extend(found or [error("Provider error", "It gave no reason.", address=address)])
        if not carried_out:
            self._observer.failed(address, step.kind)
        self.failed.add(address)
        for name in self.walk.failed(step.name):
            kind, _, skipped = name.partition(" ")
            if kind not in ("gate", "released"):
                self.failed.add(skipped)
                self._observer.skipped(skipped, address)
