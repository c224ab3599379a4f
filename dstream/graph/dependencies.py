"""Dependencies: a directed graph of names, each pointing at what it needs.

Nodes are strings: addresses of blocks (`task.copy`, `local.tables`, `postgres_publication.orders`) or steps of
an operation. networkx is imported when the first graph is made, since its import costs more than a small plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


class Dependencies:
    """A directed graph in which `add("a", ["b"])` says that a needs b."""

    def __init__(self) -> None:
        """Make an empty graph."""
        import networkx

        self._graph: Any = networkx.DiGraph()

    def add(self, node: str, needs: Iterable[str] = ()) -> None:
        """Add a node, if it is missing, and an edge to each thing it needs."""
        self._graph.add_node(node)
        self._graph.add_edges_from((node, needed) for needed in needs)

    def __contains__(self, node: str) -> bool:
        """Tell whether the graph has the node."""
        return node in self._graph

    def __iter__(self) -> Iterator[str]:
        """Iterate over the nodes, in the order in which they were added."""
        return iter(self._graph)

    def needs(self, node: str) -> list[str]:
        """Return what the node needs directly."""
        return list(self._graph.successors(node))

    def needed_by(self, node: str) -> list[str]:
        """Return what needs the node directly."""
        return list(self._graph.predecessors(node))

    def closure(self, nodes: Iterable[str]) -> set[str]:
        """Return the nodes and everything that they need, directly or not."""
        import networkx

        found = set(nodes)
        for node in list(found):
            found |= networkx.descendants(self._graph, node)
        return found

    def dependents(self, nodes: Iterable[str]) -> set[str]:
        """Return the nodes and everything that needs them, directly or not."""
        import networkx

        found = set(nodes)
        for node in list(found):
            found |= networkx.ancestors(self._graph, node)
        return found

    def loops(self) -> list[list[str]]:
        """Return one loop of each group of nodes that need each other, each starting at its smallest name.

        A loop ["a", "b"] says that a needs b and b needs a. Empty when the graph has none.
        """
        import networkx

        found: list[list[str]] = []
        for group in networkx.strongly_connected_components(self._graph):
            part = self._graph.subgraph(group)
            start = min(group)
            if len(group) == 1 and not part.has_edge(start, start):
                continue
            edges = networkx.find_cycle(part, source=start)
            names = [edge[0] for edge in edges]
            first = names.index(min(names))
            found.append(names[first:] + names[:first])
        return sorted(found)

    def in_order(self) -> list[str]:
        """Return the nodes so that each comes after all it needs; ties in the order in which they were added.

        The graph must have no loop.
        """
        import networkx

        place = {node: index for index, node in enumerate(self._graph)}
        reverse = self._graph.reverse(copy=False)
        return list(networkx.lexicographical_topological_sort(reverse, key=place.__getitem__))
