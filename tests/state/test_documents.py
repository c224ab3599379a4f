"""The stored form of snapshots and records: exact, versioned, damaged ones refused with what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dstream_state import (
    V1_LIFECYCLE,
    Drop,
    FormatTooNew,
    Intent,
    ObjectState,
    OutputState,
    ProcessStarted,
    ProviderState,
    Put,
    PutOutput,
    PutProvider,
    PutTask,
    Result,
    Snapshot,
    StateDamaged,
    TaskState,
    Timeouts,
    fingerprint,
    overlay,
)
from dstream_state.codec import dumps, loads
from dstream_state.lock_metadata import Meta
from dstream_state.records import Record, SetKey, from_json
from dstream_state.sealing import read_snapshot, snapshot_bytes
from dstream_state.task_store import quote, unquote

numbers = st.integers() | st.decimals(allow_nan=False, allow_infinity=False)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
paths = st.lists(st.lists(st.text() | st.integers(0, 9), max_size=3).map(tuple), max_size=3).map(tuple)
seconds = st.none() | st.floats(0.001, 31_536_000)
timeouts = st.builds(Timeouts, seconds, seconds, seconds, seconds)
objects = st.builds(
    ObjectState,
    st.text(),
    st.text(),
    st.text(),
    values,
    st.dictionaries(st.text(), values, max_size=3),
    values,
    st.lists(st.text(), max_size=2).map(tuple),
    paths,
    st.integers(1, 9),
    st.sampled_from(["ok", "tainted", "pending", "unresolved"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    timeouts,
)
texts = st.text()
intents = st.builds(
    Intent,
    texts,
    texts,
    texts,
    texts,
    texts,
    texts,
    values,
    values,
    st.integers(0, 99).map(float),
    st.integers(0, 99).map(float),
    st.booleans(),
    st.lists(st.text(), max_size=2).map(tuple),
    timeouts,
)
providers = st.builds(ProviderState, values, texts, values, texts)
outputs = st.builds(OutputState, values, st.booleans())
tasks = st.builds(TaskState, texts, texts)
records: st.SearchStrategy[Record] = st.one_of(
    intents,
    st.builds(Result, texts, st.sampled_from(["ok", "gone", "error"]), st.none() | objects, texts),
    st.builds(ProcessStarted, st.integers(1), st.none() | st.integers(0), texts, texts),
    st.builds(Put, texts, objects),
    st.builds(Drop, texts),
    st.builds(PutProvider, texts, st.none() | providers),
    st.builds(PutOutput, texts, st.none() | outputs),
    st.builds(PutTask, texts, st.none() | tasks),
    st.builds(SetKey, st.binary(max_size=32)),
)
snapshots = st.builds(
    Snapshot,
    texts,
    st.integers(0),
    st.integers(0),
    st.dictionaries(texts, objects, max_size=3),
    st.dictionaries(texts, providers, max_size=2),
    st.dictionaries(texts, outputs, max_size=2),
    st.dictionaries(texts, tasks, max_size=2),
    st.lists(intents, max_size=2).map(lambda all_: {i.id: i for i in all_}),
    st.dictionaries(texts, st.integers(0), max_size=2),
    st.binary(max_size=32),
)


calmly = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""On a busy machine, making an example takes as long as it takes."""


@calmly
@given(snapshots)
def test_a_snapshot_is_read_as_it_was_written(snapshot: Snapshot) -> None:
    assert read_snapshot(snapshot_bytes(snapshot, None), None) == snapshot


@calmly
@given(records)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert from_json(loads(dumps(record.to_json()), "it")) == record


@calmly
@given(values)
def test_numbers_keep_every_digit(value: Any) -> None:
    text = dumps(value)
    assert b"\n" not in text
    assert loads(text, "it") == value
    assert "decimal-" not in json.dumps(json.loads(text)) or "decimal-" in repr(value)


def test_what_is_no_number_in_json_is_refused() -> None:
    for odd in (float("nan"), Decimal("Infinity"), {1, 2}):
        with pytest.raises((ValueError, TypeError)):
            dumps({"a": odd})


def test_a_newer_format_is_refused_by_number() -> None:
    form = Snapshot.new().to_json() | {"format_version": 2}
    with pytest.raises(FormatTooNew, match="format version 2"):
        read_snapshot(dumps(form), None)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"format_version":1}', '{"format_version":1,"resources":[]}', '{"a":1e9999999999999999999}'],
)
def test_a_damaged_document_says_what_to_do(text: str) -> None:
    with pytest.raises(StateDamaged, match="dstream state restore"):
        read_snapshot(text.encode(), None)


def test_an_overlay_leaves_its_base_alone() -> None:
    thing = ObjectState("p", "t", "k")
    base = Snapshot.new()
    after = overlay(base, [Put("a", thing), PutOutput("o", OutputState(1))])
    assert (dict(base.resources), dict(base.outputs)) == ({}, {})
    assert (dict(after.resources), dict(after.outputs)) == ({"a": thing}, {"o": OutputState(1)})
    assert not overlay(after, [Drop("a"), Drop("b"), PutOutput("o", None)]).resources


def test_a_result_without_its_intent_changes_nothing() -> None:
    thing = ObjectState("p", "t", "k")
    base = overlay(Snapshot.new(), [Put("a", thing)])
    assert overlay(base, [Result("unknown", "gone"), Result("unknown", "ok", thing)]) == base


def test_a_failed_create_that_left_something_is_recorded() -> None:
    tainted = ObjectState("p", "t", "k", {"id": 1}, status="tainted")
    intent = Intent("1", "create", "a", "p", "t", "k")
    assert overlay(Snapshot.new(), [intent, Result("1", "error", tainted)]).resources == {"a": tainted}


@calmly
@given(st.text())
def test_any_text_names_a_task(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    assert unquote(quote(name)) == name
    assert all(c.isascii() and (c.isalnum() or c in "~-_") for c in quote(name))


def test_metadata_is_text_that_fits_into_headers() -> None:
    from dstream_state.holder import this_holder

    meta = Meta("lineage", 3, 4, ("a", "b"), this_holder("apply é\n", "id"))
    form = meta.store()
    assert Meta.load(form) == meta
    assert all(text.isascii() and text == text.strip() and "\n" not in text for text in form.values())
    assert Meta.load({}) == Meta()
    with pytest.raises(StateDamaged):
        Meta.load({"epoch": "many"})


def test_what_says_nothing_of_timeouts_has_the_form_that_it_always_had() -> None:
    assert "timeouts" not in ObjectState("p", "t", "k").to_json()
    assert "timeouts" not in Intent("1", "create", "a", "p", "t", "k").to_json()
    form = ObjectState("p", "t", "k", timeouts=Timeouts(delete=60.0)).to_json()
    assert form["timeouts"] == {"delete": 60.0}
    del form["timeouts"]
    assert ObjectState.from_json(form) == ObjectState("p", "t", "k")


def test_a_fingerprint_tells_equal_values_and_their_places() -> None:
    key = b"k" * 32
    one = fingerprint(key, ("a", 0), {"x": 1, "y": [Decimal("1.50")]})
    assert one == fingerprint(key, ("a", 0), {"y": (Decimal("1.5"),), "x": Decimal("1.0")})
    others = [
        fingerprint(b"K" * 32, ("a", 0), {"x": 1, "y": [Decimal("1.5")]}),
        fingerprint(key, ("a", 1), {"x": 1, "y": [Decimal("1.5")]}),
        fingerprint(key, ("a", 0), {"x": 1, "y": [Decimal("1.51")]}),
        fingerprint(key, ("a", 0), {"x": True, "y": [Decimal("1.5")]}),
        fingerprint(key, ("a", 0), {"x": "1", "y": [Decimal("1.5")]}),
    ]
    assert len({one, *others}) == 6


@pytest.mark.processes
@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import dstream_state", {"json", "dataclasses", "azure", "http", "cryptography", "dstream_state.snapshot"}),
        (
            "from dstream_state import open_backend, Snapshot, Intent, StateError",
            {"azure", "http", "cryptography", "ssl"},
        ),
        (
            (
                "from pathlib import Path; from dstream_state import open_backend; open_backend('azurerm', "
                "{'storage_account_name':'a','container_name':'ccc','key':'k','access_key':'a2V5'}, root=Path())"
            ),
            {"azure", "cryptography", "requests"},
        ),
    ],
)
def test_importing_loads_nothing_that_is_not_needed(code: str, absent: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; before = set(sys.modules); {code}; print(*(set(sys.modules) - before))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not absent & set(done.stdout.split())


@pytest.mark.parametrize(
    ("address", "type_"),
    [
        ("task.t.output.lifecycle", V1_LIFECYCLE),
        ('task.t["eu"].output["audit"].lifecycle', V1_LIFECYCLE),
        ("task.t.output.lifecycle#deposed", V1_LIFECYCLE),
        ('task.t.output.lifecycle["main"]', "lifecycle"),
        ('task.t.output.lifecycle["a.lifecycle"]', "lifecycle"),
        ("lifecycle.main", "lifecycle"),
        ('lifecycle.main["task.t.output.lifecycle"]', "lifecycle"),
    ],
)
def test_the_type_that_earlier_releases_stored_for_version_1_lifecycles_is_read_as_it_is_now(
    address: str, type_: str
) -> None:
    item = ObjectState("p", "lifecycle", "k")
    intent = Intent("1", "update", address, "p", "lifecycle", "k")
    snapshot = Snapshot("l", resources={address: item}, intents={"1": intent}, hmac_key=b"k")
    read = read_snapshot(snapshot_bytes(snapshot, None), None)
    assert (read.resources[address].type, read.intents["1"].type) == (type_, type_)
    journal: list[Record] = [Put(address, item), intent, Result("1", "error", item)]
    for count in (1, 3):
        records = [from_json(loads(dumps(each.to_json()), "a record")) for each in journal[:count]]
        assert overlay(Snapshot("l"), records).resources[address].type == type_
