"""Graph: the dependency graph, its order and its analyses. The only user of networkx."""

from dstream.graph.analysis import cycles
from dstream.graph.dependencies import Dependencies
from dstream.graph.walk import Walk

__all__ = ["Dependencies", "Walk", "cycles"]
