"""With `-json`, what goes wrong is told in the JSON of the command, to programs, and in words to people."""

import json
from pathlib import Path

import pytest

from tests.e2e.commands import dstream
from tests.services.recorder.world import World

A = 'resource "rec_marked" "a" {\n  name = "a"\n}\n'


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("command", ["apply -auto-approve", "destroy -auto-approve"])
def test_a_configuration_that_cannot_be_read_is_told_as_events(world: World, command: str) -> None:
    (world.folder / "dstream.hcl").write_text('resource "rec_marked" "a" {\n  name =\n}\n')
    ended = dstream(world.folder, *command.split(), "-json")
    version, *told, outcome = [json.loads(line) for line in ended.out.splitlines()]
    assert (ended.code, version["type"], outcome["type"], outcome["status"]) == (1, "version", "outcome", "error")
    assert [(each["type"], each["@level"]) for each in told] == [("diagnostic", "error")]
    assert told[0]["diagnostic"]["range"]["start"]["line"] == 2
    assert told[0]["@message"] == "Error: {summary} [{code}]".format(**told[0]["diagnostic"])
    assert outcome["diagnostics"] == [told[0]["diagnostic"]]
    assert told[0]["diagnostic"]["summary"] in ended.err


def test_a_task_that_there_is_not_is_told_as_an_event(world: World) -> None:
    world.write(A)
    ended = dstream(world.folder, "apply", "-json", "nowhere")
    told = [json.loads(line) for line in ended.out.splitlines()]
    assert [each["type"] for each in told] == ["version", "diagnostic", "outcome"]
    assert "nowhere" in told[1]["diagnostic"]["detail"]


WRONG_LINES = {
    "apply -json too many": "Got unexpected extra argument (many)",
    "apply -auto-approve -json=true -lock-timeout soon": "'soon' is not a duration",
    "apply -json -nosuch": "No such option '-nosuch'",
    "apply --json -parallelism zero": "'zero' is not a valid integer range",
    "apply -json -refresh-only -destroy": "-refresh-only changes only the state",
    "destroy -json -target": "requires an argument",
    "-chdir nowhere destroy -json": "cannot enter nowhere",
}


@pytest.mark.parametrize("line", WRONG_LINES)
def test_a_command_line_that_cannot_be_read_is_told_as_events(world: World, line: str) -> None:
    world.write(A)
    ended = dstream(world.folder, *line.split())
    told = [json.loads(each) for each in ended.out.splitlines()]
    assert (ended.code, [each["type"] for each in told]) == (1, ["version", "diagnostic", "outcome"])
    assert WRONG_LINES[line] in told[1]["diagnostic"]["detail"] and WRONG_LINES[line] in ended.err
    assert told[2]["diagnostics"] == [told[1]["diagnostic"]] and told[2]["status"] == "error"
    assert world.recorder.calls() == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("plan -json -no-such-option", "No such option '-no-such-option'"),
        ("plan -format json one two", "Got unexpected extra argument (two)"),
        ("plan -format=json -var nothing", "'nothing' is not NAME=VALUE"),
        ("-chdir=nowhere plan --json", "cannot enter nowhere"),
        ("-nosuch plan -json", "No such option"),
        ("drift -json one", "Got unexpected extra argument (one)"),
        ("drift -json -config nowhere", "nowhere"),
        ("plann -json", "Did you mean 'plan'?"),
        ("-json", "No such option"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_told_as_a_document(world: World, line: str, says: str) -> None:
    world.write(A)
    ended = dstream(world.folder, *line.split())
    document = json.loads(ended.out)
    [found] = document["diagnostics"]
    assert (ended.code, document["errored"], found["severity"]) == (1, True, "error")
    assert says in found["detail"] and says in ended.err.replace("│ ", "")
    assert ("applyable" in document) == ("plan" in line.split()) and ("exit_code" in document) == ("drift" in line)


def test_a_command_line_of_lint_that_cannot_be_read_is_what_lint_found(world: World) -> None:
    ended = dstream(world.folder, "validate", "-json", "one", "two")
    document = json.loads(ended.out)
    assert (ended.code, document["valid"], document["error_count"]) == (1, False, 1)
    assert "(two)" in document["diagnostics"][0]["detail"] and "(two)" in ended.err


@pytest.mark.parametrize("line", ["run -json nowhere", "run -json -grace soon copy", "run -json -nosuch"])
def test_why_nothing_runs_is_an_event_where_the_others_would_be(world: World, line: str) -> None:
    world.write(world.task("one"))
    ended = dstream(world.folder, *line.split())
    [outcome] = [json.loads(each) for each in ended.err.splitlines()]
    assert (ended.code, ended.out, outcome["type"], outcome["status"]) == (1, "", "outcome", "error")
    assert outcome["diagnostics"][0]["severity"] == "error"


@pytest.mark.parametrize(
    "line", ["plan -nosuch", "apply -json -no-json -nosuch", "apply -json=false -nosuch", "plan -nosuch -- -json"]
)
def test_without_json_there_are_words_alone(world: World, line: str) -> None:
    ended = dstream(world.folder, *line.split())
    assert (ended.code, ended.out) == (1, "") and "No such option '-nosuch'" in ended.err


def test_a_plan_that_cannot_be_made_is_a_document_that_says_so(world: World) -> None:
    world.write(A)
    assert json.loads(dstream(world.folder, "plan", "-json").out)["errored"] is False
    world.write('resource "rec_marked" "a" {\n  name = 5 + "x"\n}\n')
    ended = dstream(world.folder, "plan", "-json")
    document = json.loads(ended.out)
    assert (ended.code, document["errored"], document["applyable"]) == (1, True, False)
    assert document["diagnostics"][0]["summary"] in ended.err
