"""The console output."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from dstream_sdk.testing import ProviderProcess, check_provider

ARGV = [sys.executable, "-m", "dstream_console"]
ROW: dict[str, Any] = {
    "data": {"id": 7, "name": "Zoë"},
    "metadata": {"TableName": "orders", "OperationType": "Update", "Key": {"id": 7}},
}
BARE = {"data": {"n": 1}}


def shown(config: dict[str, Any], *envelopes: Any) -> str:
    """Return what the user sees of envelopes under protocol 2."""
    with ProviderProcess(ARGV) as provider:
        provider.send({"command": "run", "protocol": 2, "role": "output", "config": config, "acks": True})
        provider.read()
        provider.send(*envelopes, {"checkpoint": {}, "n": 1}, {"end": True})
        assert provider.read() == {"checkpoint": {}, "n": 1}
        assert provider.rest() == []
        assert provider.wait() == 0
    return provider.stderr()


@pytest.mark.parametrize("form", ["simple", "json", "structured"])
def test_it_keeps_the_rules_of_the_protocol(form: str) -> None:
    check_provider(ARGV, config={"outputFormat": form})


def test_simple_is_a_line_with_the_data() -> None:
    assert shown({}, ROW, BARE) == 'orders Update  {"id": 7, "name": "Zoë"}\n{"n": 1}\n'


def test_numbers_are_shown_with_the_digits_they_came_with() -> None:
    with ProviderProcess(ARGV) as provider:
        provider.send({"command": "run", "protocol": 2, "role": "output", "config": {}, "acks": True})
        provider.send_text(b'{"data":{"price":99.50,"big":12345678901234567890.125}}\n{"end":true}\n')
        assert provider.wait() == 0
        assert provider.stderr() == '{"price": 99.50, "big": 12345678901234567890.125}\n'


def test_json_is_the_envelope_as_it_came() -> None:
    assert [json.loads(line) for line in shown({"output_format": "json"}, ROW, BARE).splitlines()] == [ROW, BARE]


def test_structured_is_a_line_for_each_column() -> None:
    text = shown({"output_format": "structured"}, ROW)
    assert text == 'orders Update\n  id    7\n  name  "Zoë"\n  · Key  {"id": 7}\n\n'


@pytest.mark.parametrize("form", ["simple", "json"])
def test_only_the_tables_that_are_named_are_shown_and_what_names_none(form: str) -> None:
    other = {"data": {"id": 8}, "metadata": {"TableName": "customers"}}
    text = shown({"output_format": form, "tables": ["orders"]}, ROW, other, BARE)
    assert len(text.splitlines()) == 2
    assert "Zoë" in text
    assert '"id": 8' not in text
    assert '"n"' in text


def test_under_version_1_the_text_goes_to_standard_output() -> None:
    lines = [{"command": "run", "config": {"outputFormat": "simple"}}, ROW]
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    done = subprocess.run(ARGV, input=text, capture_output=True, check=True, timeout=60)
    assert done.stdout.decode() == 'orders Update  {"id": 7, "name": "Zoë"}\n'


@pytest.mark.parametrize("form", ["simple", "json", "structured"])
def test_a_line_that_is_not_an_envelope_is_rejected(form: str) -> None:
    with ProviderProcess(ARGV) as provider:
        opening = {"command": "run", "protocol": 2, "role": "output", "config": {"outputFormat": form}}
        provider.send(opening | {"acks": False})
        provider.read()
        provider.send_text(b'oops\n{"level":"info"}\n{"data":[]}\n{"data":{"n":1}\n')
        provider.send(BARE, {"end": True})
        found = [json.loads(line)["reject"] for line in provider.rest()]
        assert provider.wait() == 0
    assert [each["envelope"] for each in found] == ["oops", {"level": "info"}, {"data": []}, '{"data":{"n":1}']
    assert all(each["reason"].startswith("not an envelope: ") for each in found)
    assert "1" in provider.stderr()
    assert "oops" not in provider.stderr()


def test_under_version_1_what_is_rejected_is_logged_and_counted() -> None:
    lines = [json.dumps({"command": "run", "config": {}}), "INFO started", json.dumps(BARE), '{"level":"info"}', ""]
    done = subprocess.run(ARGV, input="\n".join(lines).encode(), capture_output=True, check=True, timeout=60)
    assert done.stdout.decode() == '{"n": 1}\n'
    logged = done.stderr.decode()
    assert "rejected, not delivered: not an envelope: " in logged
    assert ": INFO started\n" in logged
    assert "2 lines were rejected and not delivered" in logged
