"""How long changes may take: what a program says, what its plugin is given, and what if that was too short."""

import pytest
from pulumi import CustomResource, CustomTimeouts, ResourceOptions

from dstream_pulumi import collect
from dstream_pulumi.client import EXIT_OUTCOME_UNKNOWN
from dstream_sdk import InvalidError, Object, ProviderError


class Thing(CustomResource):
    def __init__(self, name, timeouts, parent=None):
        super().__init__("acme:stuff:Thing", name, {}, ResourceOptions(custom_timeouts=timeouts, parent=parent))


@pytest.fixture
def ended(monkeypatch):
    """The exit codes with which the provider has ended at once."""
    codes = []

    def leave(code):
        codes.append(code)
        raise SystemExit(code)

    monkeypatch.setattr("os._exit", leave)
    return codes


def times(found):
    return {each.key: dict(each.timeouts) for each in found}


def short(context):
    """Return a context with a second left, however long checking takes."""
    made = context(timeout=1)
    made.remaining = lambda: 1.0
    return made


def test_the_timeouts_of_a_program_are_seconds():
    def program():
        Thing("a", CustomTimeouts(create="1h30m", update="90s", delete="500ms", read="1.5m"))
        Thing("b", CustomTimeouts(delete="2h"))
        Thing("c", {"create": "10m"})
        Thing("d", CustomTimeouts())
        Thing("e", None)

    assert times(collect(program)) == {
        "a": {"create": 5400, "update": 90, "delete": 0.5, "read": 90},
        "b": {"delete": 7200},
        "c": {"create": 600},
        "d": {},
        "e": {},
    }


@pytest.mark.parametrize("text", ["1d", "30 minutes", "600", "0s", "-5m", "9000h", "h"])
def test_a_wrong_time_of_a_program_is_refused_by_name(text):
    with pytest.raises(InvalidError) as raised:
        collect(lambda: Thing("a", CustomTimeouts(update=text)) and None)
    assert raised.value.summary == "Pulumi program has a wrong timeout"
    assert f"acme:stuff:Thing 'a': custom_timeouts: update is \"{text}\"" in raised.value.detail


def test_those_of_a_component_are_told_to_say_nothing(capfd):
    from pulumi import ComponentResource

    def program():
        options = ResourceOptions(custom_timeouts=CustomTimeouts(create="1h"))
        group = ComponentResource("acme:parts:Group", "group", None, options)
        Thing("a", None, group)

    assert times(collect(program)) == {"group/a": {}}
    assert "acme:parts:Group 'group': custom_timeouts have no effect" in capfd.readouterr().err


def test_the_plugin_is_given_what_is_left_for_each_change(kind, context, asked):
    thing = kind()
    made = thing.create(context(timeout=5000), {"size": 3}, "i")
    changed = thing.update(context(timeout=6000), made, {"size": 4, "thing_name": made.attributes["thing_name"]})
    thing.delete(context(timeout=7000), changed)
    given = [each[-1] for each in asked.calls("Create", "Update", "Delete")]
    for seconds, timeout in zip(given, (5000, 6000, 7000), strict=True):
        assert timeout - 600 < seconds <= timeout
    thing.create(context(timeout=None), {"size": 3}, "i")
    assert asked.calls("Create")[-1][-1] == 0, "no limit"


def test_a_change_that_has_no_time_left_is_not_begun(kind, context, asked):
    thing = kind()
    made = thing.create(context(), {"size": 3}, "i")
    for change in (
        lambda ctx: thing.create(ctx, {"size": 3}, "i"),
        lambda ctx: thing.update(ctx, made, {"size": 4}),
        lambda ctx: thing.delete(ctx, made),
    ):
        with pytest.raises(ProviderError, match="passed before the plugin was called"):
            change(context(timeout=1e-9))
    assert [each[0] for each in asked.calls("Create", "Update", "Delete")] == ["Create"]


@pytest.mark.parametrize("step", ["create", "update", "delete"])
def test_a_plugin_that_gives_up_in_time_leaves_it_to_the_engine_to_look(kind, context, ended, capfd, step):
    thing = kind()
    properties = {"size": 3, "mood": "lasting 3600", "thing_name": "x"}
    made = thing.create(context(), {"size": 3, "thing_name": "x"}, "i")
    lasting = Object(made.identity, made.attributes, {**made.private, "inputs": {"mood": "lasting 3600"}})
    with pytest.raises(SystemExit):
        if step == "create":
            thing.create(short(context), {**properties, "thing_name": "y"}, "i")
        elif step == "update":
            thing.update(short(context), made, properties)
        else:
            thing.delete(short(context), lasting)
    assert ended == [EXIT_OUTCOME_UNKNOWN]
    said = capfd.readouterr().err
    assert f"did not finish {step.capitalize()} of acme_stuff_Thing.a within" in said
    assert "the outcome is unknown" in said


def test_an_object_that_is_not_ready_in_time_is_told_of(kind, context, ended):
    with pytest.raises(ProviderError) as raised:
        kind().create(short(context), {"size": 3, "mood": "unready", "thing_name": "x"}, "i")
    assert raised.value.summary == "Object exists, but did not become ready"
    assert raised.value.object.identity == {"id": "thing-x"} and ended == []
