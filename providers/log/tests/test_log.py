"""The log output."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

from dstream_sdk.testing import check_provider

ARGV = [sys.executable, "-m", "dstream_log"]


def logged(config: dict[str, Any], *envelopes: Any) -> list[str]:
    lines = [{"command": "run", "config": config}, *envelopes]
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    done = subprocess.run(ARGV, input=text, capture_output=True, check=True, timeout=60)
    return done.stdout.decode().splitlines()


def test_it_keeps_the_rules_of_the_protocol() -> None:
    check_provider(ARGV, config={"level": "debug"})


def test_a_line_has_time_level_table_operation_and_data() -> None:
    row = {"data": {"id": 1}, "metadata": {"TableName": "orders", "OperationType": "Insert"}}
    first, second = logged({"logLevel": "warn"}, row, {"data": {"text": "two\nlines"}})
    time, rest = first.split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", time)
    assert rest == 'WARN  table=orders operation=Insert data={"id":1}'
    assert second.endswith('table=- operation=- data={"text":"two\\nlines"}')


def test_long_data_is_cut_when_asked_for() -> None:
    (line,) = logged({"max_length": 10}, {"data": {"text": "x" * 100}})
    assert line.endswith('data={"text":"x…')
