"""Walk: which steps may start, given those that ended; a failed step skips only its dependents.

It counts open dependencies, so that a step costs time linear in its edges. It is not a scheduler: the caller starts the
steps, any number in parallel, and reports their results.
"""

from __future__ import annotations

from collections import deque

from dstream.graph.analysis import cycles
from dstream.graph.dependencies import Dependencies


class Walk:
    """The state of one pass over a graph, dependencies first."""

    def __init__(self, graph: Dependencies) -> None:
        """Start a walk; every node is a step. Steps on a cycle, and their dependents, never start."""
        self._graph = graph
        self._waits = {node: len(graph.needs(node)) for node in graph}
        self._ready = deque(node for node, count in self._waits.items() if not count)
        self._unfinished = len(self._waits)
        self._skipped: dict[str, str] = {}

    def take(self) -> str | None:
        """Return a step that may start now, or None until another step ends."""
        while self._ready:
            node = self._ready.popleft()
            if node not in self._skipped:
                return node
        return None

    def ready(self) -> list[str]:
        """Return the steps that may start now; may be called from another thread than the walk's."""
        return [node for node in self._ready.copy() if node not in self._skipped]

    def done(self, node: str) -> None:
        """Record that a step succeeded; its dependents wait for one step less."""
        self._unfinished -= 1
        for dependent in self._graph.needed_by(node):
            self._waits[dependent] -= 1
            if not self._waits[dependent] and dependent not in self._skipped:
                self._ready.append(dependent)

    def failed(self, node: str) -> list[str]:
        """Record that a step failed; return the steps that are now skipped because of it."""
        self._unfinished -= 1
        skipped = []
        pending = [node]
        while pending:
            for dependent in self._graph.needed_by(pending.pop()):
                if dependent not in self._skipped:
                    self._skipped[dependent] = node
                    self._unfinished -= 1
                    skipped.append(dependent)
                    pending.append(dependent)
        return skipped

    @property
    def skipped(self) -> dict[str, str]:
        """The skipped steps, each with the failed step that is the cause."""
        return dict(self._skipped)

    def cycles(self) -> list[list[str]]:
        """Return the cycles of the graph; a walk over a graph with one cannot finish."""
        return cycles(self._graph)

    @property
    def finished(self) -> bool:
        """Whether every step has ended or was skipped."""
        return self._unfinished == 0
