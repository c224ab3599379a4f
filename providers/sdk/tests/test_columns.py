"""Streams carry their columns in the answer to plan and in mid-stream; hosts without the capability are unaffected."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from dstream_sdk import Column, InputSession, Stream
from dstream_sdk.channel import LineReader, Writer
from dstream_sdk.model import version_of

SCHEMAS = Path(__file__).resolve().parents[2] / "protocol/schemas"
PRICE = Column("price", "decimal", nullable=False, source="numeric(12,2)", precision=12, scale=2)
MOOD = Column("mood", "enum", source="mood", values=("sad", "glad"))
STREAM = Stream("public.orders", ("id",), columns=(Column("id", "int64", nullable=False), PRICE, MOOD))


def problems(name: str, line: object) -> list[str]:
    forms = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    registry: Registry[object] = Registry().with_resources(
        [(each, Resource.from_contents(form)) for each, form in forms.items()]
    )
    return [each.message for each in Draft202012Validator(forms[name], registry=registry).iter_errors(line)]


def said(opening: dict[str, object]) -> bytes:
    reading, writing = os.pipe()
    writer = Writer(writing)
    session = InputSession({"task": "t", **opening}, LineReader(reading), writer, 2)
    session.schema(STREAM)
    session.flush()
    os.close(writing)
    return os.read(reading, 10_000)


def test_a_stream_survives_the_wire():
    form = json.loads(json.dumps(STREAM.to_json()))
    assert problems("stream.json", form) == []
    back = Stream.from_json(form)
    assert (back.key, back.columns) == (STREAM.key, STREAM.columns)
    assert back.version == version_of(STREAM.key, STREAM.columns)


def test_a_stream_without_columns_travels_as_before():
    assert Stream("t", ("id",)).to_json() == {"name": "t", "key": ["id"]}
    assert Stream.from_json({"name": "t"}).columns == ()


def test_members_and_types_of_a_later_protocol_are_ignored():
    column = Column.from_json({"name": "v", "type": "vector", "dimensions": 3})
    assert (column.type, column.nullable) == ("vector", True)


@pytest.mark.parametrize("other", [STREAM.columns[:2], STREAM.columns[::-1], (Column("id", "int32"),)])
def test_the_version_differs_whenever_the_columns_do(other: tuple[Column, ...]):
    assert version_of(("id",), other) != version_of(("id",), STREAM.columns)
    assert version_of((), STREAM.columns) != version_of(("id",), STREAM.columns)


def test_columns_are_announced_to_a_host_that_takes_them():
    line = said({"acks": True, "schemas": True})
    assert line.startswith(b'{"schema":') and line.endswith(b"\n") and line.count(b"\n") == 1
    form = json.loads(line)
    assert problems("schema.json", form) == []
    assert form["schema"]["stream"] == "public.orders"
    assert [Column.from_json(each) for each in form["schema"]["columns"]] == list(STREAM.columns)


@pytest.mark.parametrize("opening", [{"acks": True}, {"acks": False, "schemas": True}])
def test_no_other_host_sees_a_line_that_it_does_not_know(opening: dict[str, object]):
    assert said(opening) == b""
