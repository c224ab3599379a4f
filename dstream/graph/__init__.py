"""The dependency graph: what must exist, or be gone, before what. The only user of networkx."""

from dstream.graph.analysis import cycles
from dstream.graph.dependencies import Dependencies
from dstream.graph.walk import Walk

__all__ = ["Dependencies", "Walk", "cycles"]
