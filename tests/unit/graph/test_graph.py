"""The dependency graph: order, cycles, and what a failure takes with it."""

import subprocess
import sys

import pytest

from dstream.graph import Dependencies, Walk, cycles
from dstream.graph.analysis import longest_chain, reduced


def graph(**edges: list[str]) -> Dependencies:
    made = Dependencies()
    for node, needs in edges.items():
        made.add(node, needs)
    return made


def test_each_node_comes_after_all_that_it_needs_and_ties_keep_their_order() -> None:
    assert graph(c=["a", "b"], b=[], a=[], d=["c"]).in_order() == ["a", "b", "c", "d"]


def test_a_cycle_is_named_from_its_smallest_member() -> None:
    assert cycles(graph(b=["c"], c=["a"], a=["b"], d=["a"])) == [["a", "b", "c"]]


def test_a_node_that_needs_itself_is_a_cycle() -> None:
    assert cycles(graph(a=["a"])) == [["a"]]


def test_a_graph_without_cycles_names_none() -> None:
    assert cycles(graph(a=["b"], b=[])) == []


def test_closure_follows_needs_and_dependents_follow_the_other_way() -> None:
    made = graph(a=["b"], b=["c"], c=[], d=[])
    assert made.closure(["b"]) == {"b", "c"}
    assert made.dependents(["b"]) == {"a", "b"}


def test_a_walk_offers_only_what_waits_for_nothing() -> None:
    walk = Walk(graph(a=["b", "c"], b=[], c=[]))
    assert (walk.take(), walk.take(), walk.take()) == ("b", "c", None)
    walk.done("b")
    assert walk.take() is None
    walk.done("c")
    assert walk.take() == "a"
    walk.done("a")
    assert walk.finished


def test_a_failure_skips_its_dependents_and_nothing_else() -> None:
    walk = Walk(graph(a=["b"], b=[], c=["d"], d=[], e=["a", "c"]))
    assert [walk.take(), walk.take()] == ["b", "d"]
    assert walk.failed("b") == ["a", "e"]
    walk.done("d")
    assert walk.take() == "c"
    walk.done("c")
    assert walk.take() is None
    assert walk.finished
    assert walk.skipped == {"a": "b", "e": "b"}


def test_the_reduction_drops_what_follows_from_the_rest_and_keeps_the_order() -> None:
    made = graph(a=["d", "c", "b"], b=["c"], c=["e"], d=["e"], e=[])
    made.add("a", ["c", "e"])
    assert reduced(made) == {"a": ["d", "b"], "d": ["e"], "c": ["e"], "b": ["c"], "e": []}


def test_the_longest_chain_leads_from_what_needs_most_to_what_needs_nothing() -> None:
    assert longest_chain(graph(a=["d", "b"], b=["c"], c=[], d=[], e=["d"])) == ["a", "b", "c"]
    assert longest_chain(graph(z=["y"], y=[], b=["a"], a=[])) in (["z", "y"], ["b", "a"])
    assert longest_chain(Dependencies()) == []


@pytest.mark.processes
def test_order_and_reach_do_without_networkx() -> None:
    code = (
        "import sys; from dstream.graph import Dependencies as D, cycles; g = D(); g.add('a', ['b']); cycles(g); "
        "g.closure(['a']); g.dependents(['b']); sys.exit('networkx' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
