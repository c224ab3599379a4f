"""What a provider emits becomes one line of exact JSON in UTF-8, or an error."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstream_sdk import show
from dstream_sdk.channel import encode, unwrap, wrap
from dstream_sdk.output import parse

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_any_value_survives_on_one_line(value: Any) -> None:
    line = encode(value)
    assert b"\n" not in line
    assert b"\r" not in line
    assert json.loads(line) == value


@given(st.dictionaries(st.sampled_from(["$unknown", "$object", "$x", "a"]), values, max_size=3))
def test_keys_with_a_dollar_sign_survive_the_wire(value: dict[str, Any]) -> None:
    assert unwrap(json.loads(encode(wrap({"inside": [value], **value})))) == {"inside": [value], **value}


def test_a_lone_surrogate_travels_as_an_escape() -> None:
    assert encode({"a": "\ud800"}) == b'{"a":"\\ud800"}'


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_is_an_error(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"a": value})


@pytest.mark.parametrize("value", [{1}, b"x", MappingProxyType({})])
def test_what_json_does_not_have_is_an_error(value: object) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        encode({"a": value})


@pytest.mark.parametrize("text", ["99.50", "-0.10", "1E+30", "123456789012345678901234567890.5", "0"])
def test_a_decimal_keeps_its_digits(text: str) -> None:
    line = encode({"price": Decimal(text), "note": "number"})
    assert line.startswith(b'{"price":' + text.encode() + b",")
    assert show([Decimal(text)]) == f"[{text}]"
    assert parse(b'{"data":{"price":99.50}}', exact_numbers=True).data == {"price": Decimal("99.50")}


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("sNaN1"), Decimal("-Infinity")])
def test_a_decimal_that_is_no_number_is_an_error(value: Decimal) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"a": value})
