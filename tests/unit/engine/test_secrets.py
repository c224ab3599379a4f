"""Secrets never stand in a plan, and are told to a provider only where they are known anyway."""

from dstream.engine.evaluate.redaction import (
    echoed_secrets,
    fingerprint_paths,
    has_withheld,
    prior_for_provider,
    redact,
    reveal,
)
from dstream.engine.plan.resource_diff import merged
from dstream.lang import Unknown
from dstream.lang.markers import WITHHELD
from dstream.lang.secret_texts import SecretTexts

KEY = b"k" * 32
PATHS = {("password",), ("servers", 0, "token")}
CLEAR = {"user": "u", "password": "hunter2", "servers": [{"token": "t0ken", "host": "h"}]}


def test_a_sensitive_value_becomes_a_fingerprint_and_nothing_else_changes() -> None:
    redacted = redact(CLEAR, PATHS, KEY)
    assert "hunter2" not in str(redacted)
    assert "t0ken" not in str(redacted)
    assert redacted["user"] == "u"
    assert redacted["servers"][0]["host"] == "h"
    assert fingerprint_paths(redacted) == PATHS


def test_equal_values_have_equal_fingerprints_under_one_key_at_one_place_only() -> None:
    assert redact(CLEAR, PATHS, KEY) == redact(dict(CLEAR), PATHS, KEY)
    assert redact(CLEAR, PATHS, KEY) != redact(CLEAR, PATHS, b"j" * 32)
    assert redact({"a": "x"}, {("a",)}, KEY)["a"] != redact({"b": "x"}, {("b",)}, KEY)["b"]


def test_what_is_unknown_or_absent_has_no_fingerprint() -> None:
    assert redact({"password": None}, PATHS, KEY) == {"password": None}
    assert isinstance(redact({"password": Unknown()}, PATHS, KEY)["password"], Unknown)


def test_revealing_takes_the_first_clear_value_and_withholds_what_nobody_knows() -> None:
    redacted = redact(CLEAR, PATHS, KEY)
    assert reveal(redacted, CLEAR) == CLEAR
    assert reveal(redacted)["password"] == WITHHELD
    assert has_withheld(reveal(redacted))


def test_a_provider_is_told_a_prior_secret_only_if_it_is_the_desired_one() -> None:
    prior = redact(CLEAR, PATHS, KEY)
    assert prior_for_provider(prior, PATHS, KEY, CLEAR) == CLEAR
    changed = CLEAR | {"password": "other"}
    assert prior_for_provider(prior, PATHS, KEY, changed)["password"] == WITHHELD
    assert prior_for_provider(prior, PATHS, KEY, changed, CLEAR) == CLEAR
    assert prior_for_provider(prior, (), KEY)["password"] == WITHHELD


def test_what_a_provider_withholds_stays_withheld_and_what_looks_like_a_marker_is_wrapped() -> None:
    assert redact({"password": WITHHELD}, PATHS, KEY) == {"password": WITHHELD}
    assert prior_for_provider({"password": WITHHELD, "labels": {"$x": 1}}, PATHS, KEY) == {
        "password": WITHHELD,
        "labels": {"$object": {"$x": 1}},
    }


def test_where_a_provider_tells_a_secret_that_it_was_given_is_secret_too() -> None:
    wished = {"password": "hunter22\n", "command": "echo t0ken", "note": "hunter22 is open", "pin": "123"}
    told_back = {**wished, "out": "got hunter22", "list": [{"x": "no"}, {"x": "a t0ken"}], "short": "123", "n": 1}
    secrets = SecretTexts()
    secrets.add("t0ken")
    secrets.add("elsewhere")
    paths = {("password",), ("command",), ("pin",)}
    assert echoed_secrets(told_back, wished, paths, secrets) == {("out",), ("list", 1, "x")}
    assert echoed_secrets({"out": "elsewhere"}, wished, paths, secrets) == set(), "it was not given to this object"
    assert echoed_secrets(told_back, wished, (), secrets) == set()


def test_a_secret_that_only_the_state_knows_of_is_filled_in_from_the_state() -> None:
    prior = redact({"out": "got hunter22"}, {("out",)}, KEY)
    assert prior_for_provider(prior, (), KEY, {"out": "got hunter22"}) == {"out": "got hunter22"}
    assert prior_for_provider(prior, (), KEY, {"out": "something else"}) == {"out": WITHHELD}


def test_what_is_withheld_deep_in_an_answer_is_as_it_was_recorded() -> None:
    before = redact(CLEAR, PATHS, KEY)
    answer = {"user": "other", "password": WITHHELD, "servers": [{"token": WITHHELD, "host": "h2"}]}
    assert merged(before, answer) == {
        "user": "other",
        "password": before["password"],
        "servers": [{"token": before["servers"][0]["token"], "host": "h2"}],
    }
