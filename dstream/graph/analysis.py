"""Analysis: cycles, transitive reduction and longest chain of a graph, by networkx.

networkx is imported by the first analysis. The import takes a large part of the time of a small plan
(`benchmarks/README.md`), so the queries of every plan are in `dependencies.py` without it.
"""

from __future__ import annotations

from typing import Any

from dstream.graph.dependencies import Dependencies


def cycles(graph: Dependencies) -> list[list[str]]:
    """Return one cycle of each strongly connected component, starting at its smallest name.

    A cycle ["a", "b"] means that a needs b and b needs a. Empty for an acyclic graph, which does not import networkx.
    """
    if len(graph.in_order()) == len(list(graph)):
        return []
    import networkx

    full = _digraph(graph)
    found: list[list[str]] = []
    for group in networkx.strongly_connected_components(full):
        part = full.subgraph(group)
        start = min(group)
        if len(group) == 1 and not part.has_edge(start, start):
            continue
        names = [edge[0] for edge in networkx.find_cycle(part, source=start)]
        first = names.index(min(names))
        found.append(names[first:] + names[:first])
    return sorted(found)


def reduced(graph: Dependencies) -> dict[str, list[str]]:
    """Return the transitive reduction of an acyclic graph, by node.

    Nodes and edges keep their order.
    """
    import networkx

    kept = networkx.transitive_reduction(_digraph(graph))
    return {node: [needed for needed in graph.needs(node) if kept.has_edge(node, needed)] for node in graph}


def longest_chain(graph: Dependencies) -> list[str]:
    """Return the longest chain of dependencies in an acyclic graph.

    It starts at the last dependent. Its length is the minimum number of rounds in which all nodes can be processed.
    """
    import networkx

    chain: list[str] = networkx.dag_longest_path(_digraph(graph))
    return chain


def _digraph(graph: Dependencies) -> Any:
    import networkx

    return networkx.DiGraph({node: graph.needs(node) for node in graph})
