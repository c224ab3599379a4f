"""`plan` and `apply` refuse arguments that a provider's schema does not take, at their place, and ask nobody before."""

import json
from pathlib import Path

import pytest

from tests.e2e.commands import dstream
from tests.services.shebang import shebang

CONFIGURATION = """
provider "postgres" {
  config {
    connection_string = "postgres://nobody@127.0.0.1:1/none"
  }
}

resource "postgres_publication" "all" {
  name   = "all"
  tabels = ["a"]
}

task "count" {
  input {
    provider = "counter"
    config {
      maxCuont = 3
    }
  }
  output {
    provider = "console"
  }
}
"""


@pytest.mark.parametrize("command", ["plan", "apply -auto-approve", "lint"])
def test_wrong_names_and_missing_ones_are_told_at_their_place(tmp_path, command):
    (tmp_path / "dstream.hcl").write_text(CONFIGURATION)
    done = dstream(tmp_path, *command.split())
    assert done.code == 1
    assert "dstream.hcl:10:3" in done.said
    assert "does not take tabels. Did you mean tables?" in done.said
    assert "postgres_publication needs tables." in done.said
    assert "does not take maxCuont. Did you mean maxCount?" in done.said


@pytest.mark.parametrize("command", ["plan", "lint"])
def test_a_secret_that_is_not_taken_is_not_shown(tmp_path, command):
    (tmp_path / "dstream.hcl").write_text(
        'task "count" {\n  input {\n    provider = "counter"\n    config {\n      interval = env("SECRET")\n'
        '    }\n  }\n  output {\n    provider = "console"\n  }\n}\n',
    )
    done = dstream(tmp_path, command, env={"SECRET": "very-secret"})
    assert done.code == 1
    assert "sensitive, so it is not shown" in done.said
    assert "very-secret" not in done.said


TYPED = """
provider "typed" {
  provider_path = "./typed"
  config {
    region  = 7
    retries = "3"
    pin     = env("PIN")
  }
}

resource "typed_server" "first" {
  name    = 5432
  port    = "5432"
  ratio   = "0.50"
  enabled = "true"
  labels  = { zone = 1, spare = false }
  ports   = ["1", 2]
  either  = "8"
  limits {
    cpus = "4"
  }
}

resource "typed_server" "second" {
  name    = true
  port    = typed_server.first.said
  enabled = env("SWITCH")
}
"""


def typed(folder, text):
    program = folder / "typed"
    program.write_text(shebang("-S") + (Path(__file__).parent / "typed_provider.py").read_text())
    program.chmod(0o755)
    (folder / "dstream.hcl").write_text(text)


def told(folder):
    return [json.loads(line) for line in (folder / "told.jsonl").read_text().splitlines()]


def test_texts_and_numbers_become_what_the_schema_takes(tmp_path):
    typed(tmp_path, TYPED)
    secrets = {"PIN": "90210", "SWITCH": "true"}
    assert dstream(tmp_path, "lint", "-run-providers", env=secrets).code == 0
    plan = dstream(tmp_path, "plan", "-out", "plan.file", env=secrets)
    assert plan.code == 0
    assert '+ name    = "5432"' in plan.out
    assert "+ port    = 5432" in plan.out
    assert "90210" not in plan.said
    done = dstream(tmp_path, "apply", "plan.file", env=secrets)
    assert done.code == 0, done.said
    opening, *requests = told(tmp_path)[-3:]
    assert opening["config"] == {"region": "7", "retries": 3, "pin": 90210}
    desired = {request["key"]: request["desired"] for request in requests}
    assert desired["typed_server.first"] == {
        "name": "5432",
        "port": 5432,
        "ratio": 0.5,
        "enabled": True,
        "labels": {"zone": "1", "spare": "false"},
        "ports": [1, 2],
        "limits": [{"cpus": 4}],
        "either": "8",
    }
    assert desired["typed_server.second"] == {"name": "true", "port": 7, "enabled": True}
    assert dstream(tmp_path, "plan", "-detailed-exitcode", env=secrets).code == 0
    assert dstream(tmp_path, "drift", env=secrets).code == 0


@pytest.mark.parametrize("command", ["plan", "lint -run-providers"])
def test_what_does_not_convert_is_told_at_its_place(tmp_path, command):
    typed(
        tmp_path,
        'provider "typed" {\n  provider_path = "./typed"\n}\n\nresource "typed_server" "first" {\n'
        '  name    = "a"\n  port    = "54.32"\n  enabled = "yes"\n  ports   = ["1", "x"]\n  ratio   = true\n}\n',
    )
    done = dstream(tmp_path, *command.split())
    assert done.code == 1
    for place, what in (
        ("dstream.hcl:7:13", "port: this is a number, and it takes a whole number."),
        ("dstream.hcl:8:13", "enabled: this is a text, and it takes true or false."),
        ("dstream.hcl:9:19", "ports[1]: this is a text, and it takes a whole number."),
        ("dstream.hcl:10:13", "ratio: this is true or false, and it takes a number."),
    ):
        assert place in done.said
        assert what in done.said
