"""Every example does what its introduction says, typed as a user would type it."""

import json
import os
from pathlib import Path

import pytest

from tests.e2e.commands import EXAMPLES, dstream, example

TESTS = Path(__file__).resolve().parent.parent


def records(text: str) -> list[dict]:
    """The data of the envelopes in a text."""
    return [json.loads(line)["data"] for line in text.splitlines() if line.startswith('{"data"')]


def test_each_example_is_run_by_a_test():
    here = ("counter-to-console", "seed", "bash-provider", "python-provider")
    tested = dict.fromkeys(here, "e2e/test_examples.py")
    tested |= {"demo": "e2e/test_demo.py", "postgres-to-jsonl": "e2e/conftest.py"}
    tested |= {"oci-validation": "registry/test_images.py", "mssql-to-asb": "e2e/test_mssql_to_asb.py"}
    tested |= {"mssql-to-asb-pulumi": "e2e/test_mssql_to_asb_pulumi.py"}
    tested |= {"try_azure": "e2e/test_try_azure.py"}
    tested |= {"mssql-to-console": "e2e/test_run_mssql.py"}
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(tested)
    missing = [name for name, where in tested.items() if name not in (TESTS / where).read_text().split("tested |=")[-1]]
    assert missing == []


def test_the_counter_counts_on_the_console_and_a_variable_says_how_far(tmp_path):
    folder = example("counter-to-console", tmp_path)
    assert dstream(folder, "apply", "-auto-approve", "-var", "count=3").code == 0
    ran = dstream(folder, "run", "count", "-var", "count=3")
    assert ran.code == 0, ran.said
    shown = [line for line in ran.said.splitlines() if "timestamp" in line]
    assert [f'"value": {n}' in line for n, line in enumerate(shown, 1)] == [True] * 3


def test_the_bash_provider_beats_as_often_as_its_configuration_says(tmp_path):
    folder = example("bash-provider", tmp_path)
    planned = dstream(folder, "plan")
    assert planned.code == 0, planned.said
    assert "delivery not confirmed" in planned.said
    assert dstream(folder, "apply", "-auto-approve").code == 0
    ran = dstream(folder, "run", "clock", "--until-idle")
    assert ran.code == 0, ran.said
    assert [f'"beat": {n}' in ran.said for n in (1, 2, 3, 4)] == [True, True, True, False]
    assert "clock: that was all" in ran.said


def test_the_python_provider_resumes_where_it_stopped(tmp_path):
    folder = example("python-provider", tmp_path)
    assert dstream(folder, "apply", "-auto-approve").code == 0
    first = dstream(folder, "run", "squares", "--max-records", "2")
    assert first.code == 0, first.said
    second = dstream(folder, "run", "squares")
    assert second.code == 0, second.said
    found = records((folder / "squares.jsonl").read_text())
    assert found == [{"n": n, "square": n * n} for n in range(1, 6)]


@pytest.mark.parametrize("with_type", [True, False], ids=["with type", "without type"])
def test_the_older_configuration_goes_from_plan_to_destroy_as_written(tmp_path, with_type):
    folder = example("seed", tmp_path)
    if not with_type:
        path = folder / "dstream.hcl"
        path.write_text(path.read_text().replace('  type = "providers"\n', ""))
    env = {"DATABASE_CONNECTION_STRING": 'Server=db;Password="p${x}'}
    assert dstream(folder, "lint").code == 0
    planned = dstream(folder, "plan", "-detailed-exitcode", env=env)
    assert planned.code == 2, planned.said
    applied = dstream(folder, "apply", "-auto-approve", env=env)
    assert applied.code == 0, applied.said
    assert sorted(os.listdir(folder / "queues")) == ["Customers", "Orders", "Products"]
    assert dstream(folder, "plan", "-detailed-exitcode", env=env).code == 0
    ran = dstream(folder, "run", "mssql-to-asb", "--until-idle", env=env)
    assert ran.code == 0, ran.said
    assert records((folder / "queues" / "received").read_text()) == [{"Id": 1}]
    destroyed = dstream(folder, "destroy", "-auto-approve", env=env)
    assert destroyed.code == 0, destroyed.said
    assert not (folder / "queues").exists()


def test_an_unset_environment_variable_is_named_with_its_place(tmp_path):
    folder = example("seed", tmp_path)
    planned = dstream(folder, "plan")
    assert planned.code == 1
    assert "DATABASE_CONNECTION_STRING" in planned.err
    assert "dstream.hcl:6" in planned.err


@pytest.mark.parametrize("program", ["bash-provider/clock.sh", "python-provider/squares.py"])
def test_the_providers_of_the_readme_keep_the_rules_of_the_protocol(tmp_path, program):
    tested = dstream(tmp_path, "providers", "test", str(EXAMPLES / program))
    assert tested.code == 0, tested.said
    assert " 0 failed" in tested.out
