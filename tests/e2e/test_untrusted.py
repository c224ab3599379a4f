"""`dstream plan -untrusted` as typed: what an allowed provider sees, and what the options refuse."""

import json
from pathlib import Path

import pytest

from tests.e2e.commands import dstream
from tests.services.shebang import shebang

SPY = f"""{shebang()}import json, os, pathlib, sys

seen = {{"env": dict(os.environ), "folder": os.getcwd(), "files": os.listdir(".")}}
pathlib.Path(FILE).write_text(json.dumps(seen))
if os.environ.get("DSTREAM_PROBE"):
    print(json.dumps({{"protocol": 2, "provider": {{"name": "spy", "version": "1"}}, "roles": ["input"],
                      "schema": {{"config": {{"type": "object"}}}}}}))
    sys.exit()
sys.stdin.readline()
print(json.dumps({{"status": "done"}}))
"""
TASK = """
task "t" {
  input {
    provider = "spy"
    env = ["TOKEN", "REGION"]
  }
  output {
    provider = "console"
  }
}
"""


@pytest.fixture
def spied(tmp_path):
    """A checkout, programs on PATH beside it, and the file in which the provider notes what it sees."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "checkout").mkdir()
    program = tmp_path / "bin" / "dstream-in-spy"
    program.write_text(SPY.replace("FILE", repr(str(tmp_path / "seen"))))
    program.chmod(0o755)
    (tmp_path / "checkout" / "dstream.hcl").write_text(TASK)
    (tmp_path / "checkout" / "json.py").write_text("raise SystemExit(7)")
    return tmp_path


def test_an_allowed_provider_finds_neither_checkout_nor_home_nor_secrets(spied):
    env = {"TOKEN": "s3cret", "REGION": "weu", "PATH": f"{spied / 'bin'}:/usr/bin:/bin"}
    checkout = spied / "checkout"
    command = ("plan", "-untrusted", "-allow-provider=console", "-json")
    refused = dstream(checkout, *command, env=env)
    assert not (spied / "seen").exists()
    assert [each["name"] for each in json.loads(refused.out)["left_out"]] == ["task.t", "state"]
    done = dstream(checkout, *command, "-allow-provider=spy", "-allow-env=REGION", env=env)
    assert done.code == 0, done.said
    left_out = [each["name"] for each in json.loads(done.out)["left_out"]]
    assert left_out == ["TOKEN", "state"], done.said
    seen = json.loads((spied / "seen").read_text())
    assert "TOKEN" not in seen["env"]
    assert seen["env"]["REGION"] == "weu"
    assert seen["env"]["DSTREAM_UNTRUSTED"] == "1"
    assert seen["env"]["HOME"] == seen["folder"] != str(checkout)
    assert seen["files"] == []
    assert not Path(seen["folder"]).exists(), "the folder is removed at the end"


def test_options_that_save_or_write_are_refused(spied):
    for option in ("-out=p", "-generate-config-out=g.hcl", "-refresh-only"):
        ended = dstream(spied / "checkout", "plan", "-untrusted", option)
        assert ended.code == 2 or ended.code == 1
        assert "-untrusted cannot be combined" in ended.said
    for option in ("-allow-env=A", "-allow-provider=a", "-state=s"):
        assert "need -untrusted" in dstream(spied / "checkout", "plan", option).said
    assert sorted(path.name for path in (spied / "checkout").iterdir()) == ["dstream.hcl", "json.py"]
