"""The dependency graph: order, loops, and what a failure takes with it."""

from dstream.graph import Dependencies, Walk


def graph(**edges: list[str]) -> Dependencies:
    made = Dependencies()
    for node, needs in edges.items():
        made.add(node, needs)
    return made


def test_each_node_comes_after_all_that_it_needs_and_ties_keep_their_order() -> None:
    assert graph(c=["a", "b"], b=[], a=[], d=["c"]).in_order() == ["a", "b", "c", "d"]


def test_a_loop_is_named_from_its_smallest_member() -> None:
    assert graph(b=["c"], c=["a"], a=["b"], d=["a"]).loops() == [["a", "b", "c"]]


def test_a_node_that_needs_itself_is_a_loop() -> None:
    assert graph(a=["a"]).loops() == [["a"]]


def test_a_graph_without_loops_names_none() -> None:
    assert graph(a=["b"], b=[]).loops() == []


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
