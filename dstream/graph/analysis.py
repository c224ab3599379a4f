"""Analyses of a whole graph, by networkx: its cycles, the edges that say something new, its longest chain.

networkx is imported with the first analysis: the import takes a large part of the time of a small plan
(`benchmarks/README.md`), so what every plan asks of its graph is in `dependencies.py`.
"""

from __future__ import annotations

from typing import Any

from dstream.graph.dependencies import Dependencies


def cycles(graph: Dependencies) -> list[list[str]]:
    """Return one cycle of each group of nodes that need each other, each starting at its smallest name.

    A cycle ["a", "b"] says that a needs b and b needs a. Empty when the graph has none; that
    is found out without networkx.
    """
    if len(graph.in_order()) == len(list(graph)):
        return []
    import networkx

    whole = _digraph(graph)
    found: list[list[str]] = []
    for group in networkx.strongly_connected_components(whole):
        part = whole.subgraph(group)
        start = min(group)
        if len(group) == 1 and not part.has_edge(start, start):
            continue
        names = [edge[0] for edge in networkx.find_cycle(part, source=start)]
        first = names.index(min(names))
        found.append(names[first:] + names[:first])
    return sorted(found)


def reduced(graph: Dependencies) -> dict[str, list[str]]:
    """Return what each node needs that does not follow from the rest: the transitive reduction, if it has no cycles.

    The order of nodes and of what each needs is that of the graph.
    """
    import networkx

    kept = networkx.transitive_reduction(_digraph(graph))
    return {node: [needed for needed in graph.needs(node) if kept.has_edge(node, needed)] for node in graph}


def longest_chain(graph: Dependencies) -> list[str]:
    """Return the longest chain of nodes that need each other in turn, of a graph without cycles.

    It starts at what needs most, and has as many nodes as the least number of rounds in which all nodes can be done.
    """
    import networkx

    chain: list[str] = networkx.dag_longest_path(_digraph(graph))
    return chain


def _digraph(graph: Dependencies) -> Any:
    import networkx

    return networkx.DiGraph({node: graph.needs(node) for node in graph})
