"""A plan's JSON form says all that is needed to show the plan: it is read back, and gives the same form and text."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dstream.cli.render.paint import Paint
from dstream.cli.render.plan import plan_lines
from dstream.diagnostics import Position, SourceRange, warning
from dstream.lang import UNKNOWN
from dstream.plan import Action, Change, Drift, DriftKind, OutputChange, Plan, Reason, TaskChange
from dstream.plan.reading import plan_from_json
from dstream_state.codec import dumps, loads

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from(["", "a", "${x}", "é\n"]),
    st.just(Decimal("1.25")),
    st.just(UNKNOWN),
    st.sampled_from(["s1", "s2"]).map(lambda text: {"$hmac": text}),
)
KNOWN = LEAVES.filter(lambda leaf: leaf is not UNKNOWN)
NAMES = st.sampled_from(["a", "b c", "d"])


def nested(leaves: st.SearchStrategy) -> st.SearchStrategy:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
        max_leaves=6,
    )


BEFORE = st.dictionaries(NAMES, nested(KNOWN), max_size=3)
AFTER = st.dictionaries(NAMES, nested(LEAVES), max_size=3)


def forms(plan: Plan) -> tuple[object, str]:
    """The JSON form and the text of a plan."""
    return loads(dumps(plan.to_json()), "plan"), "\n".join(plan_lines(plan, Paint(enabled=False)))


@settings(deadline=None)
@given(before=BEFORE, after=AFTER, action=st.sampled_from([Action.UPDATE, Action.REPLACE, Action.CREATE_THEN_DELETE]))
def test_any_change_is_read_back(before: dict, after: dict, action: Action) -> None:
    changes = (
        Change("t.a", action, "provider.t", "t", "t.a", before, after, ("a",), Reason.TRIGGERED, holds_data=True),
        Change('task.c.output.q["x y"]', Action.CREATE, "task.c.output", "q", "x y", None, after),
        Change("t.b[0]", Action.DELETE, "provider.t", "t", "t.b[0]", before, reason=Reason.DESTROY),
    )
    drifts = (Drift("t.a", DriftKind.CHANGED, "t", before, before), Drift("t.c", DriftKind.MISSING, "t", before))
    plan = Plan(changes, drifts)
    form, text = forms(plan)
    again = plan_from_json(form)
    assert forms(again) == (form, text)


def test_everything_else_is_read_back() -> None:
    place = SourceRange("dstream.hcl", Position(3, 1, 4), Position(9, 2, 1))
    plan = Plan(
        (
            Change("t.a", Action.NO_OP, "provider.t", "t", "t.a", {"n": 1}, {"n": 1}, moved_from="t.z"),
            Change("t.b", Action.FORGET, "provider.t", "t", "t.b", {}, detail="a removed block says so"),
            Change("t.c", Action.NO_OP, "provider.t", "t", "t.c", {}, {}, importing={"name": "c"}),
            Change(
                "task.x", Action.DEFERRED, "task.x.input", "task", reason=Reason.NEEDS_UNKNOWN, detail="waits for y"
            ),
        ),
        (Drift("t.u", DriftKind.UNREACHABLE, "t", {"n": 1}, detail="no answer"),),
        (
            OutputChange("o", Action.CREATE, None, {"x": [UNKNOWN, 1]}),
            OutputChange("p", Action.UPDATE, {"$hmac": "1"}, {"$hmac": "2"}, sensitive=True),
            OutputChange("q", Action.DELETE, 5, None),
        ),
        (
            TaskChange(
                "task.x",
                Action.UPDATE,
                {"input": {"name": "a", "config": {"tables": ["s"], "dsn": {"$hmac": "4"}}}},
                {"input": {"name": "a", "config": {"tables": ["s", UNKNOWN], "dsn": {"$hmac": "5"}}}},
                moved_from="task.w",
                streams=("s",),
                new_streams=("s",),
                lost_streams=("r",),
                notes=("n",),
            ),
            TaskChange("task.y", Action.DELETE, {"input": {"name": "a"}}),
            TaskChange("task.z", Action.REPLACE, {"input": {"name": "a"}}, {"input": {"name": "b"}}),
        ),
        (warning("Failed check", "too small", place, address="check.c"),),
        lineage="l",
        serial=4,
        pending=2,
        workspace="blue",
        variables={"v": [1, {"a": None}], "s": {"$hmac": "3"}},
        made_at="2026-01-01T00:00:00Z",
    )
    form, text = forms(plan)
    again = plan_from_json(form)
    assert forms(again) == (form, text)
    assert again.diagnostics == plan.diagnostics
    for mode in ({"destroy": True}, {"refresh_only": True}):
        other, shown = forms(Plan(drifts=plan.drifts, **mode))
        assert forms(plan_from_json(other)) == (other, shown)


def test_no_fingerprint_leaves_the_process() -> None:
    secret = {"$hmac": "f1ngerprint"}
    plan = Plan((Change("t.a", Action.UPDATE, "p", "t", "t.a", {"s": secret}, {"s": secret, "l": [secret]}),))
    assert "f1ngerprint" not in json.dumps(plan.to_json())


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ([], "no format_version"),
        ({"format_version": "2.0"}, "Upgrade"),
        ({"format_version": "1.0"}, "damaged"),
        ({**Plan().to_json(), "resource_changes": [{"address": 3}]}, "damaged"),
    ],
)
def test_what_is_no_plan_is_refused_with_a_reason(form: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        plan_from_json(form)


def test_tasks_of_a_plan_without_task_changes_are_read() -> None:
    form = Plan(
        tasks=(TaskChange("task.x", Action.UPDATE, streams=("s",)), TaskChange("task.y", Action.DELETE))
    ).to_json()
    del form["task_changes"]
    assert [(task.address, task.action) for task in plan_from_json(form).tasks] == [
        ("task.x", Action.UPDATE),
        ("task.y", Action.DELETE),
    ]


def test_members_that_are_not_known_are_passed_over() -> None:
    assert plan_from_json({**Plan().to_json(), "format_version": "1.7", "new": 1}) == Plan()


@pytest.mark.parametrize("inside", [False, True])
def test_a_secret_that_becomes_an_object_is_shown_as_one_value(inside: bool) -> None:
    before, after = {"n": {"$hmac": "0123"}}, {"n": {"a": None, "b": "x"}}
    if inside:
        before, after = {"o": {"more": 1, **before}}, {"o": {"more": 1, **after}}
    plan = Plan((Change("t.a", Action.UPDATE, "provider.t", "t", "t.a", before, after),))
    form, text = forms(plan)
    assert "0123" not in text and "$hmac" not in text and "(sensitive value)" in text
    assert forms(plan_from_json(form)) == (form, text)


def test_a_nested_secret_that_changes_is_shown_as_one_value() -> None:
    before, after = ({"o": {"more": 1, "n": {"$hmac": text}}} for text in ("0123", "4567"))
    _, text = forms(Plan((Change("t.a", Action.UPDATE, "provider.t", "t", "t.a", before, after),)))
    assert "~ n = (sensitive value, changed)" in text
