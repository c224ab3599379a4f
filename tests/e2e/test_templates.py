"""Templates of the environment as typed: what they yield arrives at the provider as it is."""

import json
import re

from tests.e2e.commands import dstream

KEEPING = """#!/bin/sh
# A provider of version 1 that keeps what it was told.
IFS= read -r opening
printf '%s\\n' "$opening" > told.json
echo '{"status":"success","message":"fine"}'
"""
CONFIGURATION = """
# {{ env "NOT_SET" }} in a comment is a comment
locals {
  quoted = "{{ env "PASSWORD" }}"
  heredoc = <<-EOT
    {{ env `PASSWORD` }} and {{ this }}
  EOT
}

task "t" {
  input {
    provider = "counter"
    config { max_count = 1 }
  }
  output {
    provider_path = "./keeping.sh"
    config {
      old     = "{{ env \\"PASSWORD\\" }}"
      bare    = {{ env "PASSWORD" }}
      inside  = "user:{{ env "PASSWORD" }}@host"
      quoted  = local.quoted
      heredoc = local.heredoc
      call    = env("PASSWORD")
      default = "{{ env "NOT_SET" | default "none" }}"
    }
  }
}
"""
PASSWORD = 'a"b${c}%{d}\\'


def test_a_value_of_the_environment_arrives_at_the_provider_as_it_is(tmp_path):
    (tmp_path / "keeping.sh").write_text(KEEPING)
    (tmp_path / "keeping.sh").chmod(0o755)
    (tmp_path / "dstream.hcl").write_text(CONFIGURATION)
    applied = dstream(tmp_path, "apply", "-auto-approve", env={"PASSWORD": PASSWORD})
    assert applied.code == 0, applied.said
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["config"] == {
        "old": PASSWORD,
        "bare": PASSWORD,
        "inside": f"user:{PASSWORD}@host",
        "quoted": PASSWORD,
        "heredoc": f"{PASSWORD} and {{{{ this }}}}\n",
        "call": PASSWORD,
        "default": "none",
    }


def test_all_names_that_are_not_set_are_said_at_once_with_their_places(tmp_path):
    text = (
        'locals {\n  a = "{{ env "FIRST" }}-{{ env "SECOND" }}"\n  b = [env("THIRD")]\n}\n'
        'output "o" {\n  value = nonsensitive(join("", [local.a, local.b[0]]))\n}\n'
    )
    (tmp_path / "dstream.hcl").write_text(text)
    planned = dstream(tmp_path, "plan")
    assert planned.code == 1
    for number, line in enumerate(text.splitlines(), 1):
        for name in re.findall(r'"([A-Z]+)"', line):
            place = f"dstream.hcl:{number}:{line.index(name)}"
            assert f"{place}:" in planned.err and f"variable {name} is not set" in planned.err
    assert dstream(tmp_path, "lint").code == 0
