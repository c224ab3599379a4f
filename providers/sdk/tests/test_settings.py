"""Settings: what a configuration may look like, what its schema says, and that both agree."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from dstream_sdk import UNKNOWN, Deferred, SettingsError, decode, setting
from dstream_sdk.schema import make_schema


@dataclass(frozen=True, slots=True)
class Login:
    user: str
    password: str = setting("", sensitive=True)


@dataclass(frozen=True, slots=True)
class Settings:
    connection_string: str = setting(description="how to connect", aliases=("db_connection_string",))
    max_count: int = setting(0, minimum=0, maximum=100)
    ratio: float = 0.5
    price: Decimal | None = None
    follow: bool = False
    mode: Literal["fast", "safe"] = "safe"
    tables: list[str] = setting([])
    pair: tuple[int, ...] = (1,)
    labels: dict[str, str] = setting({})
    login: Login | None = None
    extra: Any = None


def test_numbers_and_booleans_may_be_strings() -> None:
    made = decode(Settings, {"connection_string": "x", "max_count": " 7 ", "ratio": "1e-1", "follow": "true"})
    assert (made.max_count, made.ratio, made.follow) == (7, 0.1, True)


def test_camel_case_and_aliases_name_the_same_setting() -> None:
    for name in ("connection_string", "connectionString", "db_connection_string"):
        assert decode(Settings, {name: "x", "maxCount": 3}).connection_string == "x"


def test_a_nested_block_arrives_as_a_list_of_one() -> None:
    assert decode(Settings, {"connection_string": "x", "login": [{"user": "u"}]}).login == Login("u")
    assert decode(Settings, {"connection_string": "x", "login": {"user": "u"}}).login == Login("u")


def test_a_decimal_keeps_the_digits_that_were_written() -> None:
    assert decode(Settings, {"connection_string": "x", "price": 0.1}).price == Decimal("0.1")


def test_every_problem_is_reported_with_its_path() -> None:
    with pytest.raises(SettingsError) as caught:
        decode(Settings, {"max_count": 101, "mode": "slow", "tabels": [], "tables": [1, {}], "login": {"usr": "u"}})
    found = {each["path"]: each["detail"] for each in caught.value.diagnostics()}
    assert set(found) == {
        "config.max_count",
        "config.mode",
        "config.tabels",
        "config.tables[1]",
        "config.login.usr",
        "config.login.user",
        "config.connection_string",
    }
    assert "did you mean tables?" in found["config.tabels"]
    assert "how to connect" in found["config.connection_string"]
    assert all(each["class"] == "invalid" for each in caught.value.diagnostics())


def test_the_same_setting_twice_is_an_error() -> None:
    with pytest.raises(SettingsError, match="set twice"):
        decode(Settings, {"connection_string": "x", "max_count": 1, "maxCount": 2})


def test_a_wrong_secret_is_not_repeated_in_the_error() -> None:
    with pytest.raises(SettingsError) as caught:
        decode(Settings, {"connection_string": {"secret": "hunter2"}})
    assert "hunter2" not in str(caught.value.diagnostics())


def test_an_unknown_value_defers_only_who_reads_it() -> None:
    made = decode(Settings, {"connection_string": UNKNOWN, "tables": ["a"]})
    assert made.tables == ["a"]
    assert made.max_count == 0
    with pytest.raises(Deferred) as caught:
        _ = made.connection_string
    assert caught.value.needs == ("config.connection_string",)


def test_an_unknown_inside_a_value_defers_the_whole() -> None:
    with pytest.raises(Deferred) as caught:
        decode(Settings, {"connection_string": "x", "tables": ["a", UNKNOWN]})
    assert caught.value.needs == ("config.tables[1]",)


def test_the_schema_tells_what_a_user_must_know() -> None:
    schema = make_schema(Settings)
    assert schema["properties"]["connection_string"]["description"] == "how to connect"
    assert schema["properties"]["db_connection_string"]["x-alias-of"] == "connection_string"
    assert schema["properties"]["max_count"]["default"] == 0
    nested = schema["properties"]["login"]["anyOf"][0]["anyOf"][0]
    assert nested["properties"]["password"]["x-sensitive"] is True
    assert schema["additionalProperties"] is False
    json.dumps(schema)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 105),
    st.sampled_from([0.5, 2.0]),
    st.sampled_from(["", "7", " 7 ", "7.5", "-1", "+3", "1e3", "true", "True", "yes", "fast", "x", "nan", "1_0", "٣"]),
)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=2),
    st.dictionaries(st.sampled_from(["user", "password", "a"]), scalars, max_size=2),
    st.lists(st.dictionaries(st.sampled_from(["user", "password"]), scalars, max_size=2), max_size=2),
)
names = st.sampled_from(
    [
        "connection_string",
        "connectionString",
        "db_connection_string",
        "max_count",
        "maxCount",
        "ratio",
        "price",
        "follow",
        "mode",
        "tables",
        "pair",
        "labels",
        "login",
        "extra",
        "other",
    ]
)


@given(st.dictionaries(names, values, max_size=4))
def test_the_schema_refuses_what_the_provider_refuses_and_little_more(config: dict[str, Any]) -> None:
    # `lint` believes the schema: what it accepts, the provider must accept, and the other way round. Bounds of
    # numbers in strings and a setting given under two names cannot be said in JSON Schema: the provider alone
    # refuses those.
    try:
        decode(Settings, config)
        refused = False
    except SettingsError as wrong:
        if all("must be at" in each.detail or "set twice" in each.detail for each in wrong.problems):
            return
        refused = True
    assert Draft202012Validator(make_schema(Settings)).is_valid(config) is not refused


def test_a_set_is_a_list_whose_order_means_nothing() -> None:
    @dataclass
    class Tagged:
        tags: frozenset[str] = frozenset({"b", "a"})

    assert decode(Tagged, {"tags": ["x", "y", "x"]}).tags == {"x", "y"}
    assert make_schema(Tagged, strict=True)["properties"]["tags"]["uniqueItems"] is True
    assert make_schema(Tagged)["properties"]["tags"]["default"] == ["a", "b"]
    assert "uniqueItems" not in make_schema(Tagged)["properties"]["tags"]
