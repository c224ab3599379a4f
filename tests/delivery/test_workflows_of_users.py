"""The actions of this repository, and the workflows that the page on pull requests offers for copying."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from click import Context, Group

from dstream.cli.main import root

ROOT = Path(__file__).resolve().parents[2]
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
PAGE = (ROOT / "docs/pull-requests.md").read_text()
OFFERED = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
GITHUB = [form for form in OFFERED if "jobs" in form]


def scripts():
    for path in ACTIONS:
        for step in yaml.safe_load(path.read_text())["runs"]["steps"]:
            if "run" not in step:
                continue
            yield f"{path.parent.name}: {step['name']}", step["run"]
    for form in OFFERED:
        for name, job in form.get("jobs", form).items():
            lines = [step["run"] for step in job.get("steps", ()) if "run" in step] or job.get("script", [])
            yield f"page: {name}", "\n".join(lines)


SCRIPTS = list(scripts())


@pytest.mark.parametrize("path", ACTIONS, ids=lambda path: path.parent.name)
def test_an_action_puts_no_input_into_a_script_and_the_token_into_one_step(path):
    form = yaml.safe_load(path.read_text())
    steps = [step for step in form["runs"]["steps"] if "run" in step]
    assert form["runs"]["using"] == "composite"
    assert all(step["shell"] == "bash" and "${{" not in step["run"] for step in steps)
    with_token = [step["run"] for step in steps if "inputs.token" in str(step["env"])]
    assert len(with_token) == 1
    assert "dstream ci" in with_token[0]
    assert "-chdir" not in with_token[0]  # it opens no project


def test_each_script_is_one_that_bash_accepts_with_commands_and_options_that_exist():
    found = 0
    for place, script in SCRIPTS:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        for line in re.findall(r"dstream ((?:-chdir \S+ )?[a-z].*)", script):
            words = re.split(r"[>|]", line.replace('"', ""))[0].split()
            words = words[2:] if words[0] == "-chdir" else words
            command = root.get_command(Context(root), words.pop(0))
            if isinstance(command, Group):
                command = command.get_command(Context(command), words.pop(0))
            known = {option for each in command.params for option in each.opts}
            assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known, place
            found += 1
    assert found >= 8


def test_an_offered_workflow_names_its_rights_and_an_action_that_is_here():
    assert len(GITHUB) == 3
    used = set()
    for form in GITHUB:
        triggers = form[True]  # YAML 1.1 reads `on` as a boolean
        assert "pull_request_target" not in str(triggers)
        assert form["permissions"]["contents"] == "read"
        for job in form["jobs"].values():
            for step in job["steps"]:
                if found := re.match(r"dstream/dstream/(.*)@", step.get("uses", "")):
                    used.add(found[1])
                    inputs = yaml.safe_load((ROOT / found[1] / "action.yml").read_text())["inputs"]
                    assert set(step["with"]) <= set(inputs)
                if step.get("uses", "").startswith("actions/checkout"):
                    assert step["with"]["persist-credentials"] is False
    assert used == {str(path.parent.relative_to(ROOT)) for path in ACTIONS}
