"""Objects of a plugin: planned, made, read, changed and deleted, over real gRPC with a plugin of our own."""

import os
import signal
import threading

import pytest

from dstream_pulumi.client import EXIT_OUTCOME_UNKNOWN
from dstream_pulumi.stable_outputs import stable_outputs
from dstream_sdk import (
    UNKNOWN,
    WITHHELD,
    ConflictError,
    InvalidError,
    Object,
    ProviderError,
    RetriableError,
)
from tests.events import until


def planned(kind, ctx, desired, prior=None):
    attributes, replace = kind.plan(ctx, prior, desired)
    return dict(attributes), list(replace)


def known(attributes):
    return {name: value for name, value in attributes.items() if value is not UNKNOWN}


def test_a_plan_shows_the_generated_name_and_what_is_known_after(kind, context):
    attributes, replace = planned(kind(), context(), {"size": 3})
    assert attributes["thing_name"].startswith("a") and len(attributes["thing_name"]) == 9
    assert attributes["address"] is UNKNOWN and attributes["access_key"] is UNKNOWN and attributes["id"] is UNKNOWN
    assert replace == []


def test_the_generated_name_of_the_plan_is_the_name_that_is_made(kind, context, asked):
    attributes, _ = planned(kind(), context(), {"size": 3})
    made = kind().create(context(), known(attributes), "intent")
    assert made.attributes["thing_name"] == attributes["thing_name"]
    assert asked.things() == [f"thing-{attributes['thing_name']}"]
    assert made.identity == {"id": f"thing-{attributes['thing_name']}"} and made.attributes["size"] == 3


def test_a_change_in_place_keeps_the_generated_name(kind, context):
    thing = kind()
    made = thing.create(context(), known(planned(thing, context(), {"size": 3})[0]), "i")
    attributes, replace = planned(thing, context(), {"size": 4}, made)
    assert replace == [] and attributes["size"] == 4
    assert attributes["thing_name"] == made.attributes["thing_name"]
    assert attributes["access_key"] is UNKNOWN and attributes["updated_at"] is UNKNOWN, "a secret, and a clock"
    changed = thing.update(context(), made, known(attributes))
    assert changed.identity == made.identity and changed.attributes["size"] == 4


def test_an_update_leaves_what_its_id_and_its_unchanged_inputs_determine():
    """All of it unknown would replace what refers to it (pulumi/pulumi-azure-nextgen#64)."""
    id_ = "/subscriptions/x/providers/Microsoft.ServiceBus/namespaces/shop"
    attributes = {
        "name": "shop", "type": "Microsoft.ServiceBus/Namespaces", "region": "north", "url": "sb://shop", "part": "sho",
        "etag": "shop", "port": 5, "key": WITHHELD,
    }  # fmt: skip
    prior = Object({"id": id_}, attributes, None)
    found = stable_outputs([*attributes, "gone"], prior, ["north", 5])
    assert found == {"name": "shop", "type": "Microsoft.ServiceBus/Namespaces", "region": "north"}


def test_a_change_that_replaces_says_why_and_generates_another_name(kind, context):
    thing = kind()
    made = thing.create(context(), known(planned(thing, context(), {"size": 3, "region": "north"})[0]), "i")
    attributes, replace = planned(thing, context(), {"size": 3, "region": "south"}, made)
    assert replace == ["region"]
    assert attributes["thing_name"] != made.attributes["thing_name"]


def test_nothing_changes_when_nothing_is_wished_otherwise(kind, context):
    thing = kind()
    properties = {
        "size": 3, "ratio": 0.5, "labels": {"CostCenter": "42"}, "limits": {"max_items": 5, "hard_limit": True},
        "rules": [{"rule_name": "a", "port_range": "1-2"}], "code": {"text": "print(1)"},
    }  # fmt: skip
    made = thing.create(context(), known(planned(thing, context(), properties)[0]), "i")
    assert made.attributes["limits"] == {"max_items": 5, "hard_limit": True}
    assert made.attributes["labels"] == {"CostCenter": "42"}
    assert made.attributes["rules"] == [{"rule_name": "a", "port_range": "1-2"}]
    read = thing.read(context(), made.identity, made)
    assert read.attributes == made.attributes
    attributes, replace = planned(thing, context(), properties, read)
    assert replace == []
    assert known(attributes).items() <= read.attributes.items()


def test_names_inside_an_input_may_be_those_of_pulumi(kind, context, asked):
    thing = kind()
    made = thing.create(context(), {"size": 1, "limits": {"maxItems": 5}, "labels": {"maxItems": "x"}}, "i")
    assert made.attributes["limits"] == {"max_items": 5} and made.attributes["labels"] == {"maxItems": "x"}
    assert planned(thing, context(), {"size": 1, "limits": {"maxItems": 5}}, made)[0]["limits"] == {"max_items": 5}


def test_what_is_unknown_is_sent_as_pulumis_unknown(kind, context, asked):
    attributes, _ = planned(kind(), context(), {"size": UNKNOWN, "note": "x"})
    assert attributes["size"] is UNKNOWN and attributes["note"] == "x"
    assert asked.calls("Check")[0][1]["size"] == "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def test_drift_is_seen_and_put_back(kind, context, asked):
    thing = kind()
    made = thing.create(context(), known(planned(thing, context(), {"size": 3})[0]), "i")
    file = asked.folder / made.identity["id"]
    file.write_text(file.read_text().replace('"size": 3', '"size": 9'))
    read = thing.read(context(), made.identity, made)
    assert read.attributes["size"] == 9
    attributes, _ = planned(thing, context(), {"size": 3}, read)
    assert attributes["size"] == 3
    assert thing.update(context(), read, known(attributes)).attributes["size"] == 3


def test_what_changes_by_itself_is_no_drift(kind, context):
    thing = kind()
    made = thing.create(context(), {"size": 3}, "i")
    for _ in range(3):
        read = thing.read(context(), made.identity, made)
        assert read.attributes["updated_at"] == made.attributes["updated_at"] == "1"


def test_what_is_gone_is_gone_and_deleting_it_is_no_error(kind, context, asked):
    thing = kind()
    made = thing.create(context(), {"size": 3}, "i")
    thing.delete(context(), made)
    assert asked.things() == []
    assert thing.read(context(), made.identity, made) is None
    thing.delete(context(), made)


def test_an_object_is_taken_over_by_its_id(kind, context):
    thing = kind()
    made = thing.create(context(), {"size": 3, "labels": {"a": "b"}}, "i")
    taken = thing.import_(context(), {"id": made.identity["id"]})
    assert taken.attributes["labels"] == {"a": "b"}
    attributes, replace = planned(thing, context(), {"size": 3, "labels": {"a": "b"}}, taken)
    assert replace == [] and known(attributes).items() <= taken.attributes.items()


def test_secrets_reach_the_plugin_marked_and_never_the_note(kind, context, asked):
    thing = kind()
    secret = [("password",), ("note",)]
    properties = {"size": 3, "password": "p4ss", "note": "wh1sper"}
    made = thing.create(context(sensitive=secret), known(planned(thing, context(sensitive=secret), properties)[0]), "i")
    sent = asked.calls("Create")[0][1]
    assert sent["password"]["value"] == "p4ss" and sent["note"]["value"] == "wh1sper", "both are marked"
    assert made.attributes["password"] == "p4ss" and made.attributes["access_key"].startswith("key of")
    for word in ("p4ss", "wh1sper", "key of"):
        assert word not in str(made.private)


def test_a_secret_that_did_not_change_is_no_change_and_one_that_did_is(kind, context):
    thing = kind()
    properties = {"size": 3, "password": "p4ss"}
    made = thing.create(context(sensitive=[("password",)]), properties, "i")
    same, _ = planned(thing, context(sensitive=[("password",)]), properties, made)
    assert same["password"] == "p4ss"
    withheld = Object(made.identity, {**made.attributes, "password": WITHHELD, "access_key": WITHHELD}, made.private)
    other, replace = planned(thing, context(sensitive=[("password",)]), {**properties, "password": "other"}, withheld)
    assert other["password"] == "other" and replace == []
    again, _ = planned(thing, context(sensitive=[("password",)]), properties, withheld)
    assert again["password"] == "p4ss"


def test_deleting_gives_the_plugin_the_secrets_that_the_state_has(kind, context, asked):
    thing = kind()
    made = thing.create(context(sensitive=[("password",)]), {"size": 3, "password": "p4ss"}, "i")
    thing.delete(context(), made)
    assert asked.calls("Delete")[0][1]["password"] == "p4ss"


def test_what_only_the_plugin_calls_a_secret_is_not_told(kind, context):
    thing = kind()
    attributes, _ = planned(thing, context(), {"size": 3, "note": "private"})
    assert attributes["note"] is UNKNOWN
    made = thing.create(context(), known(attributes) | {"note": "private"}, "i")
    assert "made up" not in str(made.attributes.get("note")) and "made up" not in str(made.private)


def test_what_the_plugin_refuses_names_the_argument(kind, context):
    with pytest.raises(InvalidError) as raised:
        planned(kind(), context(), {"size": 13})
    assert "13 is bad luck" in raised.value.detail and raised.value.path == "attributes.size"


def test_an_object_that_does_not_become_ready_is_told_with_the_error(kind, context, asked):
    thing = kind()
    with pytest.raises(ProviderError) as raised:
        thing.create(context(), {"size": 3, "mood": "failing", "thing_name": "x"}, "i")
    assert raised.value.summary == "Object exists, but did not become ready" and "not answer" in raised.value.detail
    assert raised.value.object.identity == {"id": "thing-x"} and raised.value.object.attributes["size"] == 3
    made = thing.create(context(), {"size": 3, "thing_name": "y"}, "i")
    with pytest.raises(ProviderError) as raised:
        thing.update(context(), made, {"size": 4, "mood": "failing", "thing_name": "y"})
    assert raised.value.object.attributes["size"] == 4


def test_errors_are_sorted_by_what_may_help(kind, context):
    thing = kind()
    with pytest.raises(RetriableError, match="quota exceeded"):
        thing.create(context(), {"size": 3, "mood": "refused"}, "i")
    thing.create(context(), {"size": 3, "thing_name": "x"}, "i")
    with pytest.raises(ConflictError, match="already exists"):
        thing.create(context(), {"size": 3, "thing_name": "x"}, "i")


def test_a_cancelled_request_asks_the_plugin_to_give_up(kind, context, asked):
    ctx = context()
    thing = kind()
    raised = []

    def create():
        try:
            thing.create(ctx, {"size": 3, "mood": "slow"}, "i")
        except ProviderError as problem:
            raised.append(problem)

    thread = threading.Thread(target=create)
    thread.start()
    until(lambda: asked.calls("Create"), "the plugin to create it")
    ctx.cancelled = True
    thread.join(30)
    assert "given up" in str(raised[0])


def test_a_plugin_without_read_is_believed_and_one_without_secrets_gets_none(kind, context):
    thing = kind("acme_stuff_Plain")
    made = thing.create(context("acme_stuff_Plain.a"), {"text": "hello"}, "i")
    assert thing.read(context("acme_stuff_Plain.a"), made.identity, made) == made
    with pytest.raises(InvalidError, match="does not support reading"):
        thing.import_(context("acme_stuff_Plain.a"), made.identity)


def test_a_plugin_that_died_while_nothing_was_changed_is_started_again(kind, context, running):
    thing = kind()
    planned(thing, context(), {"size": 3})
    first = running.client().pid
    os.kill(first, signal.SIGKILL)
    until(lambda: not running._client.alive, "the plugin's end to be noticed")
    assert planned(thing, context(), {"size": 3})[0]["size"] == 3
    assert running.client().pid != first


def test_many_objects_are_asked_about_at_once(kind, context):
    thing = kind()
    failed = []

    def one(number):
        try:
            made = thing.create(
                context(f"acme_stuff_Thing.t{number}"), {"size": number, "thing_name": f"t{number}"}, "i"
            )
            assert thing.read(context(), made.identity, made).attributes["size"] == number
        except BaseException as problem:  # noqa: BLE001 - told below
            failed.append(problem)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(20, 36)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failed


def test_of_what_was_taken_over_only_what_is_asked_for_is_compared(kind, context):
    thing = kind()
    made = thing.create(context(), {"size": 3, "region": "north", "labels": {"a": "b"}}, "i")
    taken = thing.import_(context(), made.identity)
    again = thing.read(context(), taken.identity, taken)
    for found in (taken, again):
        attributes, replace = planned(thing, context(), {"size": 3}, found)
        assert replace == [] and known(attributes).items() <= found.attributes.items()
        assert planned(thing, context(), {"size": 3, "region": "south"}, found)[1] == ["region"]
    changed = thing.update(context(), again, {"size": 4, "thing_name": made.attributes["thing_name"]})
    assert "guessed" not in changed.private


def test_an_argument_that_is_taken_away_and_forces_replacement_is_seen_to_be_gone(kind, context):
    thing = kind()
    made = thing.create(context(), {"size": 3, "region": "north"}, "i")
    attributes, replace = planned(thing, context(), {"size": 3}, made)
    assert replace == ["region"] and "region" not in attributes


def test_a_change_without_an_answer_in_time_ends_the_provider_so_that_the_engine_asks(kind, context, monkeypatch):
    ended = []

    def leave(code):
        ended.append(code)
        raise SystemExit(code)

    thing = kind()
    thing._client()
    monkeypatch.setattr("dstream_pulumi.client._GRACE", 0.0)
    monkeypatch.setattr("os._exit", leave)
    with pytest.raises(SystemExit):
        thing.create(context(timeout=10), {"size": 3, "mood": "slow"}, "i")
    assert ended == [EXIT_OUTCOME_UNKNOWN]


def test_the_note_on_what_was_taken_over_tells_no_values(kind, context, asked):
    thing = kind()
    properties = {"size": 3, "note": "wh1sper", "labels": {"pin": "1234"}}
    made = thing.create(context(sensitive=[("note",), ("labels",)]), properties, "i")
    assert "wh1sper" not in str(made.private) and "1234" not in str(made.private)
    taken = thing.import_(context(), made.identity)
    assert "wh1sper" not in str(taken.private) and "1234" not in str(taken.private)
    again = thing.read(context(), taken.identity, taken)
    attributes, replace = planned(thing, context(), properties, again)
    assert replace == [] and known(attributes).items() <= again.attributes.items()
    changed = thing.update(context(sensitive=[("note",)]), again, {**known(attributes), "size": 4})
    assert changed.attributes["size"] == 4 and "wh1sper" not in str(changed.private)
    assert known(planned(thing, context(), {**properties, "size": 4}, changed)[0]).items() <= changed.attributes.items()


def test_secrets_that_are_no_texts_are_not_in_the_note_either(kind, context):
    thing = kind()
    made = thing.create(context(sensitive=[("size",), ("address",)]), {"size": 271828}, "i")
    assert "271828" not in str(made.private) and "example.com" not in str(made.private)
    assert planned(thing, context(sensitive=[("size",)]), {"size": 271828}, made)[0]["size"] == 271828
