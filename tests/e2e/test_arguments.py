"""`plan` and `apply` refuse arguments that a provider's schema does not take, at their place, and ask nobody before."""

import pytest

from tests.e2e.commands import dstream

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
