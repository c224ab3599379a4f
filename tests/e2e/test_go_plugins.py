"""Plugins in Go, with the framework that most of Pulumi's plugins have, through the commands of dstream."""

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.commands import PROGRAMS, dstream, start
from tests.events import PATIENCE, until
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
def environment(home):
    return {
        "HOME": str(home),
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "STATE_PASSPHRASE": "a passphrase of many characters",
        "TOKEN": SECRET,
    }


@pytest.fixture
def typed(folder, environment):
    return lambda *arguments: dstream(folder, *arguments, env=environment, timeout=300)


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


def commands(folder: Path, plugin: Path, text: str, *, encrypted: bool = True) -> None:
    provider = f"""
provider "command" {{
  provider = "pulumi"
  config {{
    plugin = "command"
    path   = "{plugin}"
  }}
}}
"""
    (folder / "dstream.hcl").write_text((ENCRYPTION if encrypted else "") + provider + text)


def lifecycle(folder: Path, word: str, trigger: str) -> str:
    return f"""
resource "command_local_Command" "a" {{
  create        = "read line; echo \\"$line $WORD\\" | tee made.txt; echo oops >&2"
  update        = "echo \\"was $PULUMI_COMMAND_STDOUT, is $WORD\\""
  delete        = "echo \\"gone after $PULUMI_COMMAND_STDOUT\\" >> log.txt; rm made.txt"
  stdin         = "hello\\n"
  dir           = "{folder}"
  environment   = {{ WORD = "{word}" }}
  triggers      = ["{trigger}", 2, true]
  asset_paths   = ["*.txt", "!log.txt"]
  archive_paths = ["made.txt"]
}}
resource "command_local_Command" "b" {{
  create = "echo 'heard ${{command_local_Command.a.stdout}}'"
}}
output "said" {{
  value = command_local_Command.a.stdout
}}
output "heard" {{
  value = command_local_Command.b.stdout
}}
output "files" {{
  value = keys(command_local_Command.a.assets)
}}
"""


def drive_command(folder, typed, plugin):
    """By the documentation of pulumi-command: created, updated, replaced, destroyed."""

    def apply(word, trigger, said):
        commands(folder, plugin, lifecycle(folder, word, trigger))
        planned = typed("plan").out
        done = typed("apply", "-auto-approve")
        assert done.code == 0, done.said
        assert typed("output", "-raw", "said").out.strip() == said
        again = typed("apply", "-auto-approve")
        assert again.code == 0, again.said
        assert typed("output", "-raw", "heard").out.strip() == f"heard {said}"
        assert typed("plan", "-detailed-exitcode").code == 0 and typed("drift").code == 0
        return planned, done.said

    planned, _ = apply("one", "1", "hello one")
    assert "Plan: 2 to add, 0 to change, 0 to destroy" in planned
    assert (folder / "made.txt").read_text() == "hello one\n"
    assert "made.txt" in typed("output", "files").out
    planned, said = apply("two", "1", "was hello one, is two")
    assert "Plan: 0 to add, 2 to change, 0 to destroy" in planned, "what refers to its output follows"
    assert "Inconsistent value during apply" not in said
    planned, _ = apply("two", "x", "hello two")
    assert "# forces replacement" in planned and "1 to add, 1 to change, 1 to destroy" in planned
    assert (folder / "log.txt").read_text() == "gone after was hello one, is two\n"
    assert typed("destroy", "-auto-approve").code == 0
    assert not (folder / "made.txt").exists()


def drive_failures(folder, typed, plugin):
    """What a command that fails leaves behind: its output in the error, and the state as it was."""
    block = 'resource "command_local_Command" "a" {{\n  create = "{}"\n  delete = "{}"\n}}\n'
    commands(folder, plugin, block.format("echo so far; echo broken >&2; exit 3", "true"))
    done = typed("apply", "-auto-approve")
    assert done.code == 1
    assert all(word in done.said for word in ("exit status 3", "so far", "broken")), done.said
    assert typed("state", "list").out == ""
    commands(folder, plugin, block.format("echo fine", "echo not now; exit 4"))
    assert typed("apply", "-auto-approve").code == 0
    done = typed("destroy", "-auto-approve")
    assert done.code == 1 and "exit status 4" in done.said and "not now" in done.said
    assert typed("state", "list").out.strip() == "command_local_Command.a"
    commands(folder, plugin, block.format("exit 5", "true"))
    assert typed("apply", "-auto-approve").code == 1
    assert 'create                     = "echo fine"' in typed("state", "show", "command_local_Command.a").out
    commands(folder, plugin, block.format("echo fine", "true"))
    assert typed("apply", "-auto-approve").code == 0 and typed("destroy", "-auto-approve").code == 0
    commands(folder, plugin, block.format("echo fine", "true"))
    taken = typed("import", "command_local_Command.a", "an-id")
    assert taken.code == 1 and "knows nothing of" in taken.said
    commands(folder, plugin, block.format("echo fine", "true").replace("create", "creat"))
    assert "Did you mean create?" in typed("lint").said


def drive_secrets(folder, typed, plugin, *, encrypted):
    """A secret in the environment, in a text and on standard output: nowhere in clear."""

    def text(word):
        return f"""
resource "command_local_Command" "a" {{
  create      = "echo \\"pw is $PW\\"; echo {word} $PW >&2"
  delete      = "echo \\"$PW $PULUMI_COMMAND_STDOUT\\" > deleted.txt"
  environment = {{ PW = env("TOKEN") }}
}}
resource "command_local_Command" "b" {{
  create = "echo 'got ${{env("TOKEN")}}'"
}}
"""

    output = 'output "said" {\n  value = command_local_Command.a.stdout\n  sensitive = true\n}\n'
    for word in ("one", "two"):
        commands(folder, plugin, text(word), encrypted=encrypted)
        done = typed("apply", "-auto-approve")
        assert done.code == 0 and SECRET not in done.said, done.said
        for name in ("a", "b"):
            shown = typed("state", "show", f"command_local_Command.{name}").out
            assert "stdout                     = (sensitive value)" in shown, shown
        planned = typed("plan", "-detailed-exitcode")
        assert planned.code == 0 and SECRET not in planned.said, planned.said
        assert typed("drift").code == 0
        assert SECRET.encode() not in everything_in(folder)
    commands(folder, plugin, text("two") + output, encrypted=encrypted)
    done = typed("apply", "-auto-approve")
    assert done.code == (0 if encrypted else 1) and ("Secret not in the state" in done.said) is not encrypted
    commands(folder, plugin, text("three; exit 3"), encrypted=encrypted)
    failed = typed("apply", "-auto-approve")
    assert failed.code == 1 and "exit status 3" in failed.said and SECRET not in failed.said
    done = typed("destroy", "-auto-approve")
    assert done.code == 0 and SECRET not in done.said, done.said
    told = f"{SECRET} pw is {SECRET}\n" if encrypted else " \n"
    assert (folder / "deleted.txt").read_text() == told, "secrets of the past are known to an encrypted state only"


def drive_interruption(folder, typed, plugin, environment):
    """The first Ctrl-C lets a command end; the second ends it, and the next apply says that nobody knows."""
    block = 'resource "command_local_Command" "a" {\n  create = "touch began; sleep 2; touch ended"\n}\n'
    commands(folder, plugin, block)
    running = start(folder, "apply", "-auto-approve", env=environment)
    interrupt(running, folder / "began")
    running.communicate(timeout=PATIENCE)
    assert (folder / "ended").exists() and typed("state", "list").out.strip() == "command_local_Command.a"
    assert typed("destroy", "-auto-approve").code == 0
    (folder / "began").unlink()
    commands(folder, plugin, block.replace("sleep 2", "sleep 300"))
    running = start(folder, "apply", "-auto-approve", env=environment)
    interrupt(running, folder / "began")
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=PATIENCE)
    assert running.returncode == 130
    again = typed("apply", "-auto-approve")
    assert again.code == 1 and "Unresolved object" in again.said


def interrupt(running, began: Path) -> None:
    """Press Ctrl-C once a command has begun, and wait until that was heard."""
    until(began.exists, "the command to begin")
    running.send_signal(signal.SIGINT)
    for line in running.stderr:
        if line.startswith("Stopping:"):
            return
    raise AssertionError("nobody stopped")


def drive_all_of_command(folder, typed, plugin, environment):
    drive_command(folder, typed, plugin)
    drive_failures(folder, typed, plugin)
    drive_interruption(folder, typed, plugin, environment)


def test_pulumi_command_runs_commands(folder, typed, environment):
    drive_all_of_command(folder, typed, command_plugin(fetch=False), environment)


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
def test_pulumi_command_keeps_secrets(folder, typed, encrypted):
    drive_secrets(folder, typed, command_plugin(fetch=False), encrypted=encrypted)


@pytest.mark.soak
def test_pulumi_command_is_fetched_and_driven(folder, typed, environment, tmp_path):
    plugin = command_plugin(fetch=True)
    drive_all_of_command(folder, typed, plugin, environment)
    for encrypted in (True, False):
        another = tmp_path / f"encrypted-{encrypted}"
        another.mkdir()
        run = lambda *arguments, into=another: dstream(into, *arguments, env=environment, timeout=300)  # noqa: E731
        drive_secrets(another, run, plugin, encrypted=encrypted)
