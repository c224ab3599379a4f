"""Plugins in Go, with the framework that most of Pulumi's plugins have, through the commands of dstream."""

import os
from pathlib import Path

import pytest

from tests.e2e.commands import PROGRAMS, dstream
from tests.services.pulumi.building import command_plugin, own_plugin

pytestmark = pytest.mark.timeout(1800)
ENCRYPTION = """
dstream {
  encryption {
    passphrase = env("STATE_PASSPHRASE")
  }
}
"""
SECRET = "correct horse battery staple"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "config"
    made.mkdir()
    return made


@pytest.fixture
def typed(folder, home):
    env = {
        "HOME": str(home),
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "STATE_PASSPHRASE": "a passphrase of many characters",
        "TOKEN": SECRET,
    }
    return lambda *arguments: dstream(folder, *arguments, env=env, timeout=300)


def files(folder: Path, plugin: Path, *, encrypted: bool = True, content: str = "hello", target: str = "a.txt") -> None:
    text = f"""
provider "gofiles" {{
  provider = "pulumi"
  config {{
    plugin = "gofiles"
    path   = "{plugin}"
  }}
}}
resource "gofiles_File" "a" {{
  path    = "{folder / target}"
  content = "{content}"
  token   = env("TOKEN")
  labels  = {{ CostCenter = "42" }}
}}
output "size" {{
  value = gofiles_File.a.size
}}
"""
    (folder / "dstream.hcl").write_text((ENCRYPTION if encrypted else "") + text)


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".txt")


def drive_own_plugin(folder, typed, plugin):
    files(folder, plugin, encrypted=False)
    refused = typed("plan")
    assert refused.code == 1 and "encryption" in refused.said, "a type with secrets needs an encrypted state"
    files(folder, plugin)
    planned = typed("plan", "-detailed-exitcode")
    assert planned.code == 2 and SECRET not in planned.said, planned.said
    done = typed("apply", "-auto-approve")
    assert done.code == 0 and SECRET not in done.said, done.said
    assert (folder / "a.txt").read_text() == f"hello\ntoken={SECRET}"
    assert typed("plan", "-detailed-exitcode").code == 0
    assert typed("drift").code == 0
    assert typed("output", "size").out.strip() == str(len((folder / "a.txt").read_text()))
    assert SECRET.encode() not in everything_in(folder)
    files(folder, plugin, content="changed")
    assert "Plan: 0 to add, 1 to change, 0 to destroy" in typed("plan").out
    assert typed("apply", "-auto-approve").code == 0
    assert (folder / "a.txt").read_text().startswith("changed")
    files(folder, plugin, content="changed", target="b.txt")
    assert "Plan: 1 to add, 0 to change, 1 to destroy" in typed("plan").out
    assert typed("apply", "-auto-approve").code == 0
    assert not (folder / "a.txt").exists() and (folder / "b.txt").exists()
    done = typed("destroy", "-auto-approve")
    assert done.code == 0, done.said
    assert not (folder / "b.txt").exists()


def test_a_plugin_in_go_makes_changes_replaces_and_deletes_files(folder, typed):
    drive_own_plugin(folder, typed, own_plugin(build=False))


@pytest.mark.soak
def test_a_plugin_in_go_is_built_and_driven(folder, typed):
    drive_own_plugin(folder, typed, own_plugin(build=True))


def drive_command(folder, typed, plugin):
    """By the documentation of pulumi-command."""
    (folder / "dstream.hcl").write_text(f"""
provider "command" {{
  provider = "pulumi"
  config {{
    plugin = "command"
    path   = "{plugin}"
  }}
}}
resource "command_local_Command" "a" {{
  create = "echo made | tee {folder}/made.txt"
  delete = "rm {folder}/made.txt"
}}
output "said" {{
  value = command_local_Command.a.stdout
}}
""")
    done = typed("apply", "-auto-approve")
    assert done.code == 0, done.said
    assert (folder / "made.txt").read_text() == "made\n"
    assert typed("output", "said").out.strip().strip('"') == "made"
    assert typed("plan", "-detailed-exitcode").code == 0
    assert typed("destroy", "-auto-approve").code == 0
    assert not (folder / "made.txt").exists()


def test_pulumi_command_runs_commands(folder, typed):
    drive_command(folder, typed, command_plugin(build=False))


@pytest.mark.soak
def test_pulumi_command_is_built_and_runs_commands(folder, typed):
    drive_command(folder, typed, command_plugin(build=True))
