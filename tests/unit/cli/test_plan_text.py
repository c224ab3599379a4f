"""Plans on the terminal: the legend, one line for each object, and the outputs after an apply."""

import re

from tests.unit.cli.mistakes import TASK

OUTPUTS = 'output "tables" {\n  value = ["a", "b"]\n}\noutput "key" {\n  value = "s3cret"\n  sensitive = true\n}\n'
FILES = {"dstream.hcl": TASK + OUTPUTS}


def test_the_legend_has_the_symbols_that_the_plan_uses_and_no_others(run):
    assert run("a", FILES, ["plan"])[1].startswith("Symbols: + create\n\n")
    assert run("a", FILES, ["apply", "-auto-approve"])[0] == 0
    changed = {"dstream.hcl": TASK.replace("= 5", "= 6") + OUTPUTS.replace('output "key"', 'output "id"')}
    assert run("a", changed, ["plan"])[1].startswith("Symbols: + create   ~ change in place   - destroy or remove\n")
    assert "Symbols" not in run("a", FILES, ["plan"])[1]


def test_a_concise_plan_has_one_line_for_each_task_and_output_and_no_attributes(run):
    expected = "  + task.copy: will be created\n  + output tables\n  + output key\n\nPlan: "
    for words in (["plan", "-concise"], ["apply", "-concise", "-auto-approve"]):
        out = run("a", FILES, words)[1]
        assert out.startswith(expected) and " Tasks: 1 to add.\n" in out
        assert "interval" not in out
    assert run("a", FILES, ["plan", "-concise"])[1] == run("a", FILES, ["plan"])[1]


def test_an_apply_ends_with_the_outputs_and_hides_secrets(run):
    _, out, _ = run("a", FILES, ["apply", "-auto-approve"])
    assert out.endswith('\nOutputs:\n\nkey = (sensitive value)\ntables = [\n    "a",\n    "b",\n]\n')
    assert "s3cret" not in out
    again = run("a", FILES, ["apply", "-auto-approve"])[1]
    assert again.startswith("No changes.") and "\nOutputs:\n" in again
    assert "Outputs:" not in run("b", {"dstream.hcl": TASK}, ["apply", "-auto-approve"])[1]
    assert "\nOutputs:\n\n" not in run("a", FILES, ["destroy", "-auto-approve"])[1]


def test_help_lists_every_option_once_and_validate_and_every_command_has_help(run):
    out = run("a", {}, ["help"])[1] if (run("a", FILES, ["version"])[0] == 0) else ""
    for name in ("validate", "lint", "help"):
        assert re.search(rf"^  {name} ", out, re.MULTILINE)
    for command in ("plan", "apply", "run", "drift"):
        _, shown, _ = run("a", {}, ["help", command])
        options = re.findall(r"^  (-.*?)(?:\s{2,}|$)", shown, re.MULTILINE)
        names = [name for each in options for name in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", each)]
        assert len(names) == len(set(names)) > 5 and not [name for name in names if name.startswith("--")]
        assert shown == run("a", {}, [command, "-help"])[1]
    assert run("a", {}, ["help", "state", "mv"])[1].startswith("Usage: dstream state mv ")
    assert run("a", {}, ["help", "pln"])[0] == 1
