"""pulumi-command's remote types, against a real sshd: commands and copies on another machine, which is this one."""

import os
from pathlib import Path

import pytest

from tests.e2e.commands import PROGRAMS, dstream
from tests.services.pulumi.building import command_plugin
from tests.services.sshd import Sshd, sshd

pytestmark = pytest.mark.timeout(900)


def configuration(plugin: Path, server: Sshd, folder: Path, word: str, host: str = "127.0.0.1") -> str:
    return f"""
dstream {{
  encryption {{
    passphrase = env("STATE_PASSPHRASE")
  }}
}}
provider "command" {{
  provider = "pulumi"
  config {{
    plugin = "command"
    path   = "{plugin}"
  }}
}}
locals {{
  connection = {{
    host             = "{host}"
    port             = {server.port}
    user             = "{server.user}"
    private_key      = file("{server.key}")
    dial_error_limit = 1
  }}
}}
resource "command_remote_Command" "a" {{
  connection  = local.connection
  create      = "cat; echo \\" and $WORD\\"; touch {folder}/there"
  update      = "echo \\"was $PULUMI_COMMAND_STDOUT, is $WORD\\""
  delete      = "rm {folder}/there"
  stdin       = "in"
  environment = {{ WORD = "{word}" }}
}}
resource "command_remote_CopyToRemote" "folder" {{
  connection {{
    host        = "{host}"
    port        = {server.port}
    user        = "{server.user}"
    private_key = file("{server.key}")
  }}
  source      = "parts"
  remote_path = "{folder}/copied"
}}
resource "command_remote_CopyToRemote" "file" {{
  connection  = local.connection
  source      = {{ path = "parts/a.txt" }}
  remote_path = "{folder}/a.txt"
  triggers    = [command_remote_Command.a.stdout]
}}
output "said" {{
  value = command_remote_Command.a.stdout
}}
"""


def drive_remote(tmp_path, home, plugin):
    config, there = tmp_path / "config", tmp_path / "there"
    (config / "parts" / "sub").mkdir(parents=True)
    there.mkdir()
    (config / "parts" / "a.txt").write_text("one")
    (config / "parts" / "sub" / "b.txt").write_text("two")
    env = {
        "HOME": str(home),
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "STATE_PASSPHRASE": "a passphrase of many characters",
    }

    def typed(*arguments, code=0):
        done = dstream(config, *arguments, env=env, timeout=300)
        assert done.code == code, done.said
        assert key not in done.said
        return done

    with sshd(tmp_path / "ssh") as server:
        key = server.key.read_text().splitlines()[1]
        (config / "dstream.hcl").write_text(configuration(plugin, server, there, "one"))
        typed("apply", "-auto-approve")
        assert typed("output", "-raw", "said").out.strip() == "in and one"
        assert (there / "a.txt").read_text() == "one"
        assert (there / "copied" / "parts" / "sub" / "b.txt").read_text() == "two"
        typed("plan", "-detailed-exitcode")
        typed("drift")
        (config / "parts" / "a.txt").write_text("changed")
        (config / "dstream.hcl").write_text(configuration(plugin, server, there, "two"))
        assert "Plan: 0 to add, 3 to change, 0 to destroy" in typed("plan").out
        typed("apply", "-auto-approve")
        assert (there / "a.txt").read_text() == (there / "copied" / "parts" / "a.txt").read_text() == "changed"
        assert typed("output", "-raw", "said").out.strip() == "was in and one, is two"
        assert "Plan: 1 to add, 0 to change, 1 to destroy" in typed("apply", "-auto-approve").out, "by its trigger"
        typed("plan", "-detailed-exitcode")
        (config / "dstream.hcl").write_text(configuration(plugin, server, there, "three", host="127.0.0.2"))
        assert "connection refused" in typed("apply", "-auto-approve", code=1).said
        (config / "dstream.hcl").write_text(configuration(plugin, server, there, "three"))
        typed("apply", "-auto-approve")
        typed("destroy", "-auto-approve")
        assert not (there / "there").exists()
        state = b"".join(path.read_bytes() for path in (config / ".dstream").rglob("*") if path.is_file())
        assert key.encode() not in state


def test_commands_run_and_files_are_copied_on_another_machine(tmp_path, home):
    drive_remote(tmp_path, home, command_plugin(fetch=False))


@pytest.mark.soak
def test_pulumi_command_is_fetched_and_driven_on_another_machine(tmp_path, home):
    drive_remote(tmp_path, home, command_plugin(fetch=True))
