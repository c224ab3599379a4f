"""Whatever a user types or writes: a message that says what, why and how to mend it, and never a traceback."""

import pytest

from tests.e2e.commands import dstream, example

TASK = """
task "t" {{
  input {{
    provider = "{input}"
    config {{ {settings} }}
  }}
  output {{ provider = "console" }}
}}
"""


def task(provider="counter", settings=""):
    """The text of a task with this input."""
    return TASK.format(input=provider, settings=settings)


WRONG = [
    ("a file that is not HCL", "task {{{", [":1", "dstream.hcl"]),
    ("a quote that is not closed", 'locals {\n  a = "b\n}\n', [":2"]),
    ("a block of an unknown kind", 'tusk "a" {}\n', ["tusk", ":1"]),
    ("a local that is not there", task(settings="interval = local.intervall") + "locals { interval = 5 }", ["local"]),
    ("a circle of locals", "locals {\n  a = local.b\n  b = local.a\n}\n", ["local.a", "local.b"]),
    ("one local in two blocks", "locals {\n  a = 1\n}\nlocals {\n  a = 2\n}\n", ["local.a", "line 2"]),
    ("a block inside locals", "locals {\n  a {}\n}\n", [":2"]),
    ("a provider that is not there", task("no-such-thing"), ["dstream-in-no-such-thing"]),
    ("a setting that is not there", task(settings="intervall = 5"), ["interval"]),
    ("a setting of the wrong type", task(settings='interval = "soon"'), ["interval"]),
    ("a task of the older kind", 'task "t" {\n  type = "plugin"\n}\n', ["plugin", "migration"]),
    ("an environment variable that is not set", task(settings='interval = env("NOT_SET_HERE")'), ["NOT_SET_HERE"]),
    ("a function that is not there", task(settings="interval = twice(5)"), ["twice"]),
    ("a variable without a value", 'variable "v" {}\n' + task(settings="interval = var.v"), ["v"]),
    ("a resource without a provider", 'resource "moon_base" "one" {}\n', ["moon_base"]),
]


@pytest.mark.parametrize(("text", "words"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_configuration_gets_a_message_that_names_it(tmp_path, text, words):
    (tmp_path / "dstream.hcl").write_text(text)
    planned = dstream(tmp_path, "plan")
    assert planned.code == 1, planned.said
    assert "Error" in planned.err
    assert "Unexpected error" not in planned.err
    assert [word for word in words if word not in planned.err] == [], planned.err


def test_several_mistakes_are_reported_in_one_go_with_file_line_and_caret(tmp_path):
    (tmp_path / "dstream.hcl").write_text("locals {\n  a = local.missing_one\n  b = local.missing_two\n}\n")
    linted = dstream(tmp_path, "lint")
    assert linted.code == 1
    for words in ("dstream.hcl:2", "dstream.hcl:3", "missing_one", "missing_two", "^"):
        assert words in linted.err


TYPED = [
    ("no such command", ["plam"], ["plan"]),
    ("no such option", ["plan", "-detailled-exitcode"], ["detailled"]),
    ("no such task", ["plan", "nope"], ["nope", "count"]),
    ("a variable that is not declared", ["plan", "-var", "colour=red"], ["colour"]),
    ("a variable without a value", ["plan", "-var", "count"], ["NAME=VALUE"]),
    ("a variable of the wrong type", ["plan", "-var", "count=many"], ["count"]),
    ("a configuration that is not there", ["plan", "-c", "nowhere.hcl"], ["nowhere.hcl"]),
    ("a folder that is not there", ["-chdir", "nowhere", "plan"], ["nowhere"]),
    ("an address that is not in the state", ["state", "show", "task.none"], ["task.none"]),
    ("an output that is not there", ["output", "nothing"], ["nothing"]),
    ("a task to run that is not there", ["run", "nope"], ["nope"]),
    ("a time that is none", ["apply", "-auto-approve", "-lock-timeout=soon"], ["soon"]),
    ("a lock that is not held", ["force-unlock", "0"], []),
    ("a provider to test that is not there", ["providers", "test", "./nothing"], ["nothing"]),
]


@pytest.mark.parametrize(("arguments", "words"), [row[1:] for row in TYPED], ids=[row[0] for row in TYPED])
def test_a_command_typed_wrongly_gets_a_message_that_names_it(tmp_path, arguments, words):
    folder = example("counter-to-console", tmp_path)
    done = dstream(folder, *arguments)
    assert done.code not in (0, 2) or (done.code == 2 and "Usage" in done.err), done.said
    assert done.err.strip()
    assert "Unexpected error" not in done.err
    assert [word for word in words if word not in done.err] == [], done.err


def test_apply_without_a_terminal_says_that_it_needs_auto_approve_and_changes_nothing(tmp_path):
    folder = example("counter-to-console", tmp_path)
    done = dstream(folder, "apply")
    assert done.code == 1
    assert "-auto-approve" in done.err
    assert dstream(folder, "plan", "-detailed-exitcode").code == 2


def test_a_folder_without_a_configuration_is_an_error_that_says_what_is_looked_for(tmp_path):
    done = dstream(tmp_path, "plan")
    assert done.code == 1
    assert ".hcl" in done.err


def test_help_and_version_need_no_configuration(tmp_path):
    assert "plan" in dstream(tmp_path, "--help").out
    assert dstream(tmp_path, "version").out.startswith("dstream ")
    assert dstream(tmp_path, "-version").out.startswith("dstream ")
