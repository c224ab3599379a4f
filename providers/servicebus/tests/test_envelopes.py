"""Envelopes are read as Python's own JSON would read them, and data goes on as it was written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dstream_servicebus.envelopes import parse, text_of
from dstream_servicebus.outgoing_messages import identity_of
from providers.servicebus.tests.harness import add, sending
from tests.services.azure.running import ServiceBus

VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text() | some.sampled_from(["\ud800", 2**80, "a\ud800é"]),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=8,
)
DEEP = b"[" * 200_000 + b"]" * 200_000
OBJECTS = some.dictionaries(some.text() | some.just("\udfff"), VALUES, max_size=4)


@pytest.fixture
def usual_depth() -> Iterator[None]:
    """As in a provider's process: reading configurations raises the limit, for good."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@given(data=OBJECTS, metadata=OBJECTS, escaped=some.booleans())
def test_what_is_read_is_what_was_written(data: dict[str, Any], metadata: dict[str, Any], escaped: bool) -> None:
    line = json.dumps({"metadata": metadata, "data": data}, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    try:
        line.decode()
    except UnicodeDecodeError:
        with pytest.raises(ValueError):
            parse(line)
        return
    found = parse(line)
    assert json.loads(bytes(found.data)) == data
    assert (found.metadata or {}) == metadata
    assert json.loads(text_of(metadata)) == json.loads(text_of(metadata, ordered=True)) == metadata


def test_numbers_keep_their_digits() -> None:
    numbers = '{"a":1.10,"b":12345678901234567890123.456,"c":1e400,"d":123456789012345678901234567890}'
    found = parse(f'{{"data":{numbers},"metadata":{numbers}}}'.encode())
    assert bytes(found.data) == numbers.encode()
    assert json.loads(text_of(found.metadata), parse_float=str) == json.loads(
        numbers.replace("e", "E+"), parse_float=str
    )


@pytest.mark.usefixtures("usual_depth")
@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"nonsense", "line 1 column 1"),
        (b"[]", "not an object"),
        (b"{}", "data"),
        (b'{"data":null}', "data"),
        (b'{"data":[{}]}', "data"),
        (b'{"data":{"a":01}}', "delimiter"),
        (b'{"data":{"a":NaN}}', "JSON"),
        (b'{"data":{},"metadata":{"a":1e9999999999999999999}}', "exponent"),
        (b'{"data":{"a":"\\ud800","b":1e-9999999999999999999}}', "exponent"),
        (b'{"data":{"a":"\xff"},"metadata":{}}', "utf-8"),
        (b'{"data":{"a":' + DEEP + b"}}", "deep"),
        (b'{"data":{"a":"\\ud800","b":' + DEEP + b"}}", "deep"),
    ],
)
def test_what_is_no_envelope_is_told(line: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(line)


@pytest.mark.parametrize("metadata", ["null", "7", "[]", '"TableName"'])
def test_metadata_that_is_no_object_is_none(metadata: str) -> None:
    found = parse(f'{{"data":{{}},"metadata":{metadata}}}'.encode())
    assert (found.metadata or {}, found.table) == ({}, "")


def test_the_order_of_columns_in_a_key_makes_no_other_change_of_it() -> None:
    one = identity_of("Orders", {"Position": "1", "Key": {"a": 1, "b": 2}})
    assert one == identity_of("Orders", {"Position": "1", "Key": {"b": 2, "a": 1}})
    assert one != identity_of("Orders", {"Position": "1", "Key": {"a": 2, "b": 1}})
    assert identity_of("Orders", {"Position": "\ud800"}) != identity_of("Orders", {"Position": "\ud801"})


@pytest.mark.usefixtures("trust", "usual_depth")
@pytest.mark.parametrize("format", ["envelope", "data", "cloudevents"])
def test_a_line_that_cannot_be_read_does_not_stop_those_behind_it(bus: ServiceBus, format: str) -> None:
    add(bus, "Orders_cdc_events")
    metadata = {"TableName": "Orders", "Position": "1", "data": "of another kind"}
    deep = f'{{"data":{{"a":{DEEP.decode()}}},"metadata":{json.dumps(metadata)}}}'
    with sending(bus, format=format) as output:
        output.send(
            deep,
            json.dumps({"data": {"n": float("nan")}, "metadata": metadata}),
            json.dumps({"data": {"n": 1}, "metadata": metadata}),
        )
    assert len(output.reasons) == 2
    (only,) = bus.store("Orders_cdc_events").history
    assert (only.json() if format == "data" else only.json()["data"]) == {"n": 1}
