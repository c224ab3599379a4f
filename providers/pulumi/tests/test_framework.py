"""Objects of a plugin that has the habits of Pulumi's framework for Go, over real gRPC."""

import pytest

from dstream_pulumi import Plugin
from dstream_pulumi.plugin_instance import PluginInstance
from dstream_pulumi.plugin_type import PluginType
from dstream_sdk import UNKNOWN, WITHHELD, InvalidError, Object, ProviderError
from tests.services.pulumi.serving import install

SECRET = "correct horse"


@pytest.fixture
def commands(tmp_path):
    path = install(tmp_path / "bin", "frame", "tests.services.pulumi.frame")
    running = PluginInstance(Plugin("frame", path=str(path)), {})
    yield PluginType(running.describe("frame_local_Command"), running)
    running.close()


def known(attributes):
    return {name: value for name, value in attributes.items() if value is not UNKNOWN}


def made(commands, context, properties, sensitive=()):
    ctx = context("frame_local_Command.a", sensitive=sensitive)
    return commands.create(ctx, known(commands.plan(ctx, None, properties)[0]), "i")


def as_kept(found, **withheld):
    """Return an object as a state that is not encrypted gives it back."""
    return Object(found.identity, {**found.attributes, **withheld}, found.private)


def test_what_replaces_by_the_schema_alone_replaces_although_the_plugin_does_not_say_so(commands, context):
    before = made(commands, context, {"create": "x", "triggers": ["1", "2"]})
    attributes, replace = commands.plan(context(), before, {"create": "x", "triggers": ["1", "3"]})
    assert replace == ["triggers"] and attributes["stdout"] is UNKNOWN
    assert commands.plan(context(), before, {"create": "x"})[1] == ["triggers"]
    assert list(commands.plan(context(), before, {"create": "y", "triggers": ["1", "2"]})[1]) == []


def test_the_sources_that_an_asset_does_not_have_are_neither_told_nor_drift(commands, context):
    before = made(commands, context, {"create": "x"})
    assert set(before.attributes["assets"]["out.txt"]) == {"hash", "path"}
    assert commands.read(context(), before.identity, before).attributes == before.attributes


def test_an_object_of_which_the_plugin_knows_nothing_is_not_taken_over(commands, context):
    with pytest.raises(InvalidError, match="returned only the id of frame_local_Command abc"):
        commands.import_(context(), {"id": "abc"})


def test_a_secret_that_the_state_does_not_have_is_neither_drift_nor_a_change(commands, context):
    properties = {"create": "got $PW", "environment": {"PW": SECRET, "OPEN": "1"}}
    sensitive = [("environment", "PW")]
    before = made(commands, context, properties, sensitive)
    kept = as_kept(before, environment={"PW": WITHHELD, "OPEN": "1"}, stdout=WITHHELD)
    read = commands.read(context(sensitive=sensitive), kept.identity, kept)
    assert read.attributes["environment"] == {"PW": WITHHELD, "OPEN": "1"} and read.attributes["stdout"] is WITHHELD
    for part, name in (("inputs", "environment"), ("outputs", "environment"), ("outputs", "stdout")):
        assert read.private[part][name] == before.private[part][name]
    attributes, replace = commands.plan(context(sensitive=sensitive), read, properties)
    assert not replace and attributes["environment"] in ({"PW": SECRET, "OPEN": "1"}, read.attributes["environment"])
    changed = {**properties, "environment": {"PW": SECRET, "OPEN": "2"}}
    updated = commands.update(context(sensitive=sensitive), read, changed)
    assert updated.attributes["environment"]["OPEN"] == "2"
    commands.delete(context(), as_kept(updated, environment={"PW": WITHHELD, "OPEN": "2"}, stdout=WITHHELD))


@pytest.mark.parametrize(
    ("properties", "sensitive"),
    [
        ({"create": "got $PW", "environment": {"PW": SECRET}}, ("environment", "PW")),
        ({"create": f"echo got {SECRET}"}, ("create",)),
        ({"create": f"hide {SECRET}"}, ("create",)),
    ],
)
def test_a_secret_that_is_printed_is_not_in_the_note_and_comes_back_to_who_has_it(
    commands, context, properties, sensitive
):
    before = made(commands, context, properties, [sensitive])
    assert SECRET not in str(before.private)
    inputs, outputs = commands._recorded(before, properties)
    assert inputs == properties
    if not properties["create"].startswith("hide"):
        assert outputs["stdout"] == f"got {SECRET}"


def test_a_plugin_that_was_asked_to_give_up_is_asked_nothing_more(commands, context):
    made(commands, context, {"create": "x"})
    commands._client().cancel()
    assert made(commands, context, {"create": "again"}).attributes["stdout"] == "again"


def test_what_a_plugin_ends_because_its_time_is_over_says_so(commands, context):
    with pytest.raises(ProviderError, match=r"Create of x \(the 1 s timeout has passed\): signal: killed"):
        commands.create(context("x", timeout=1), {"create": "wait"}, "i")


def test_an_asset_of_something_unknown_is_unknown(commands, context):
    for file in (UNKNOWN, {"path": UNKNOWN}, {"assets": {"a": {"text": UNKNOWN}}}):
        assert commands.plan(context(), None, {"create": "x", "file": file})[0]["file"] is UNKNOWN


def test_a_description_is_told_to_the_end_of_its_first_paragraph(commands):
    properties = commands._about.form(holds_data=False)["schema"]["properties"]
    assert properties["create"]["description"] == "The command to run on create."
