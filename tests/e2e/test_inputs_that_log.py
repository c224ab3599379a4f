"""Version 1 inputs that log to standard output, as the older project's ingesters do, with each of our outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import Ended, dstream
from tests.services.azure.running import ServiceBus, service_bus
from tests.services.shebang import shebang

pytestmark = pytest.mark.timeout(300)

INGESTER = r"""
import json, pathlib, sys
opening = json.loads(sys.stdin.read())
def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
def change(number):
    metadata = {"TableName": "cars", "OperationType": "Insert", "LSN": "%020x" % number, "Key": {"id": number}}
    say(json.dumps({"data": {"id": number, "name": "car"}, "metadata": metadata}, separators=(",", ":")))
say("2026/01/02 03:04:05 INFO watching cars, password " + opening["config"]["password"])
change(1)
say('{"time":"2026-01-02T03:04:05Z","level":"INFO","msg":"batch read","data":7}')
change(2)
say('{"data":{"id":3,"name":"cut short"')
say("")
change(4)
pathlib.Path(opening["config"]["offsets"]).write_text("4")
say("INFO done")
"""
TASK = """
task "cars" {{
  input {{
    provider_path = "./ingester"
    config {{
      tables   = ["cars"]
      password = sensitive("s3cret")
      offsets  = "{folder}/offsets"
    }}
  }}
  output {{
    {output}
  }}
}}
"""


@pytest.fixture(scope="module")
def bus() -> Iterator[ServiceBus]:
    with service_bus() as running:
        yield running


class Cars:
    """A folder with the ingester and one output."""

    def __init__(self, folder: Path, output: str, env: dict[str, str] | None = None) -> None:
        self.folder, self.env = folder, env
        folder.joinpath("ingester").write_text(shebang() + INGESTER)
        folder.joinpath("ingester").chmod(0o755)
        folder.joinpath("dstream.hcl").write_text(TASK.format(folder=folder, output=output))

    def dstream(self, *arguments: str) -> Ended:
        return dstream(self.folder, *arguments, env=self.env)

    def run(self) -> Ended:
        return self.dstream("run", "cars", "-unapplied")

    def letters(self) -> list[dict[str, Any]]:
        return list(json.loads(self.dstream("dlq", "list", "cars", "-json").out))


def check(cars: Cars, ended: Ended, refused: int = 0) -> None:
    """Records arrive but for `refused`, the torn one is a dead letter, the log lines are shown and counted."""
    assert ended.code == 3, ended.said
    assert "cars: ended, 4 records" in ended.err
    letters = "1 dead letter" if not refused else f"{1 + refused} dead letters"
    assert f"{letters}, 3 lines of text" in ended.err
    assert "input: 2026/01/02 03:04:05 INFO watching cars, password" in ended.err
    assert "s3cret" not in ended.said
    assert "input: INFO done" in ended.err
    torn = [each["key"] for each in cars.letters() if "not an envelope: " in each["reason"]]
    assert (len(torn), len(cars.letters())) == (1, 1 + refused)
    assert "cut short" in cars.dstream("dlq", "show", "cars", torn[0]).out
    assert '"id":4' not in cars.dstream("checkpoint", "show", "cars").said


@pytest.mark.parametrize(
    "output", ['provider = "console"', 'provider = "console"\nconfig { outputFormat = "json" }', 'provider = "log"']
)
def test_what_is_shown_is_the_records(tmp_path: Path, output: str) -> None:
    cars = Cars(tmp_path, output)
    ended = cars.run()
    check(cars, ended)
    assert sum('"name"' in line for line in ended.err.splitlines()) == 3


@pytest.mark.parametrize("name", ["all.jsonl", "{table}.jsonl"])
def test_a_file_holds_the_records_alone(tmp_path: Path, name: str) -> None:
    cars = Cars(tmp_path, f'provider = "jsonl"\nconfig {{ path = "{tmp_path}/{name}" }}')
    check(cars, cars.run())
    lines = (tmp_path / name.replace("{table}", "cars")).read_text().splitlines()
    assert [json.loads(line)["data"]["id"] for line in lines] == [1, 2, 4]


def test_a_queue_gets_the_records_alone(tmp_path: Path, bus: ServiceBus) -> None:
    config = 'config {\n connection_string = env("ASB")\n tables = ["cars"]\n }'
    cars = Cars(tmp_path, f'provider = "asb"\n{config}', {"ASB": bus.connection_string, **bus.environment})
    applied = cars.dstream("apply", "-auto-approve")
    assert applied.code == 0, applied.said
    check(cars, cars.run())
    assert [each.json()["data"]["id"] for each in bus.store("cars_cdc_events").history] == [1, 2, 4]


def test_a_table_gets_the_records_that_it_takes(tmp_path: Path, postgres: Any) -> None:
    url = postgres.create_database("cars")
    postgres.execute("CREATE TABLE cars (id int PRIMARY KEY CHECK (id <> 2), name text)", dbname="cars")
    cars = Cars(tmp_path, 'provider = "postgres"\nconfig { connection_string = env("URL") }', {"URL": url})
    check(cars, cars.run(), refused=1)
    assert [row[0] for row in postgres.execute("SELECT id FROM cars ORDER BY id", dbname="cars")] == [1, 4]


def test_a_version_1_output_gets_what_may_be_an_envelope(tmp_path: Path) -> None:
    cars = Cars(tmp_path, 'provider_path = "./sink"')
    tmp_path.joinpath("sink").write_text('#!/bin/sh\nread -r opening; cat >"$0.got"\n')
    tmp_path.joinpath("sink").chmod(0o755)
    ended = cars.run()
    assert ended.code == 0, ended.said
    assert "3 lines of text" in ended.err
    got = (tmp_path / "sink.got").read_text().splitlines()
    assert len(got) == 4
    assert all(line.startswith('{"data":{') for line in got)


def test_the_count_is_in_the_outcome_for_programs(tmp_path: Path) -> None:
    ended = Cars(tmp_path, 'provider = "console"').dstream("run", "cars", "-unapplied", "-json")
    events = [json.loads(line) for line in ended.err.splitlines() if line.startswith("{")]
    outcome = next(each for each in events if each["type"] == "outcome")
    assert (outcome["records"], outcome["dead_letters"], outcome["text_lines"]) == (4, 1, 3)
    assert sum(each["type"] == "log" and each["side"] == "input" for each in events) == 3
