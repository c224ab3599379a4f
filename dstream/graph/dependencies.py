"""Dependencies: a directed graph of names, with edges to dependencies.

Nodes are strings: addresses of blocks (`task.copy`, `local.tables`, `postgres_publication.orders`) or steps of
an operation. Both directions are kept as plain lists, so that 100,000 steps take little memory, and a question costs as
much as its answer is long. Every plan and every apply asks these questions, so they do not wait for networkx: what
needs it is in `analysis.py`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping


class Dependencies:
    """A directed graph in which `add("a", ["b"])` means that a needs b."""

    __slots__ = ("_needed_by", "_needs")

    def __init__(self) -> None:
        """Make an empty graph."""
        # An edge that was added twice is here twice; the methods return it once.
        self._needs: dict[str, list[str]] = {}
        self._needed_by: dict[str, list[str]] = {}

    def add(self, node: str, needs: Iterable[str] = ()) -> None:
        """Add a node, if it is missing, and an edge to each of `needs`."""
        own = self._needs.get(node)
        if own is None:
            own = self._needs[node] = []
            self._needed_by[node] = []
        for needed in needs:
            if needed not in self._needs:
                self._needs[needed] = []
                self._needed_by[needed] = []
            own.append(needed)
            self._needed_by[needed].append(node)

    def __contains__(self, node: str) -> bool:
        """Return whether the graph has the node."""
        return node in self._needs

    def __iter__(self) -> Iterator[str]:
        """Iterate over the nodes, in the order in which they were added."""
        return iter(self._needs)

    def needs(self, node: str) -> list[str]:
        """Return the direct dependencies of the node."""
        return list(dict.fromkeys(self._needs[node]))

    def needed_by(self, node: str) -> list[str]:
        """Return the direct dependents of the node."""
        return list(dict.fromkeys(self._needed_by[node]))

    def closure(self, nodes: Iterable[str]) -> set[str]:
        """Return the nodes and their transitive dependencies."""
        return _reached(nodes, self._needs)

    def dependents(self, nodes: Iterable[str]) -> set[str]:
        """Return the nodes and their transitive dependents."""
        return _reached(nodes, self._needed_by)

    def in_order(self) -> list[str]:
        """Return the nodes in topological order, dependencies first; ties in the order of addition.

        Nodes on a cycle, and their dependents, are left out.
        """
        names = list(self._needs)
        place = {name: index for index, name in enumerate(names)}
        waits = [len(needs) for needs in self._needs.values()]
        ready = [index for index, count in enumerate(waits) if not count]  # in order, so a heap already
        found: list[str] = []
        while ready:
            name = names[heapq.heappop(ready)]
            found.append(name)
            for dependent in self._needed_by[name]:
                index = place[dependent]
                waits[index] -= 1
                if not waits[index]:
                    heapq.heappush(ready, index)
        return found


def _reached(nodes: Iterable[str], edges: Mapping[str, list[str]]) -> set[str]:
    found = set(nodes)
    pending = list(found)
    while pending:
        for following in edges[pending.pop()]:
            if following not in found:
                found.add(following)
                pending.append(following)
    return found
