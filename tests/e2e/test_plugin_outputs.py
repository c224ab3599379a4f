"""What a plugin puts out that no plan foresees, through the commands of dstream: other values, and secrets.

The plugin is a stand-in with the habits of pulumi-command (`tests/services/pulumi/frame.py`); the rest is real.
"""

import os
from pathlib import Path

import pytest

from tests.e2e.commands import PROGRAMS, dstream
from tests.services.pulumi.serving import install

pytestmark = pytest.mark.timeout(900)
ENCRYPTION = """
dstream {
  encryption {
    passphrase = env("STATE_PASSPHRASE")
  }
}
"""
SECRET = "correct horse"


@pytest.fixture
def write(tmp_path):
    plugin = install(tmp_path / "bin", "frame", "tests.services.pulumi.frame")
    folder = tmp_path / "config"
    folder.mkdir()
    config = f'  config {{\n    plugin = "frame"\n    path   = "{plugin}"\n  }}\n'
    provider = f'provider "frame" {{\n  provider = "pulumi"\n{config}}}\n'

    def make(text, *, encrypted=False):
        (folder / "dstream.hcl").write_text((ENCRYPTION if encrypted else "") + provider + text)

    make.folder = folder
    return make


@pytest.fixture
def typed(write, home):
    env = {
        "HOME": str(home),
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "STATE_PASSPHRASE": "a passphrase of many characters",
        "TOKEN": SECRET,
    }

    def run(*arguments, code=0, **more):
        done = dstream(write.folder, *arguments, env={**env, **more})
        assert done.code == code, done.said
        return done

    return run


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


CHAIN = """
resource "frame_local_Command" "first" {{
  create = "{0}"
}}
locals {{
  said = frame_local_Command.first.stdout
}}
resource "frame_local_Command" "second" {{
  create = "heard ${{local.said}}"
}}
resource "frame_local_Command" "third" {{
  create      = "on its own"
  environment = {{ ID = frame_local_Command.first.id }}
}}
output "said" {{
  value = frame_local_Command.first.stdout
}}
output "heard" {{
  value = frame_local_Command.second.stdout
}}
"""


def test_what_an_update_computes_is_unknown_until_it_is_done_and_what_refers_to_it_follows(write, typed):
    write(CHAIN.format("one"))
    assert "Inconsistent value" not in typed("apply", "-auto-approve").said
    write(CHAIN.format("two"))
    planned = typed("plan").out
    assert "Plan: 0 to add, 2 to change, 0 to destroy" in planned
    assert "frame_local_Command.third" not in planned, "it refers to what stays as it is"
    assert "Inconsistent value" not in typed("apply", "-auto-approve").said
    assert typed("output", "-raw", "said").out.strip() == "two", "the output is as the object is"
    assert typed("output", "-raw", "heard").out.strip() == "heard two"
    typed("plan", "-detailed-exitcode")


SECRETS = """
resource "frame_local_Command" "a" {{
  create      = "got $PW {0}"
  environment = {{ PW = env("TOKEN") }}
}}
resource "frame_local_Command" "b" {{
  create = "{1} ${{env("TOKEN")}}"
}}
"""


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
def test_a_secret_that_comes_back_in_another_attribute_stays_one(write, typed, encrypted):
    for word in ("one", "two"):
        write(SECRETS.format(word, "is"), encrypted=encrypted)
        assert SECRET not in typed("apply", "-auto-approve").said
        for name in ("a", "b"):
            lines = typed("state", "show", f"frame_local_Command.{name}").out.splitlines()
            assert [line.split(" = ")[1] for line in lines if line.split()[:1] == ["stdout"]] == ["(sensitive value)"]
        assert SECRET not in typed("plan", "-detailed-exitcode").said
        typed("drift")
        assert SECRET.encode() not in everything_in(write.folder)
    changed = typed("plan", TOKEN="another secret")
    assert "PW = (sensitive value, changed)" in changed.out
    assert not any(text in changed.said for text in (SECRET, "another secret", "$hmac"))
    write(SECRETS.format("two", "fail is"), encrypted=encrypted)
    failed = typed("apply", "-auto-approve", code=1)
    assert "exit status 3" in failed.said and "broke: is (sensitive value)" in failed.said and SECRET not in failed.said
    typed("destroy", "-auto-approve")


REFERENCE = """
output "said" {
  value     = frame_local_Command.a.stdout
  sensitive = true
}
resource "frame_local_Command" "c" {
  create      = "heard $IT"
  environment = { IT = frame_local_Command.a.stdout }
}
"""


def test_a_secret_that_came_back_can_be_referred_to_where_the_state_has_it(write, typed):
    text = SECRETS.format("one", "is")
    write(text, encrypted=True)
    typed("apply", "-auto-approve")
    write(text + REFERENCE.replace("  sensitive = true\n", ""), encrypted=True)
    assert "Sensitive value in an output" in typed("plan", code=1).said
    write(text + REFERENCE, encrypted=True)
    typed("apply", "-auto-approve")
    assert typed("output", "-raw", "said").out.strip() == f"got {SECRET} one"
    assert SECRET not in typed("plan", "-detailed-exitcode").said
    assert SECRET.encode() not in everything_in(write.folder)


def test_a_secret_of_another_object_in_a_text_is_blotted_out_by_itself(write, typed):
    failing = 'resource "frame_local_Command" "d" {\n  create = "fail is ${frame_local_Command.a.stdout}"\n}\n'
    write(SECRETS.format("one", "is") + failing, encrypted=True)
    done = typed("apply", "-auto-approve", code=1)
    assert "broke: is (sensitive value)\n" in done.said and "(sensitive value) one" not in done.said


def test_where_the_state_does_not_have_it_a_reference_says_what_to_do(write, typed):
    text = SECRETS.format("one", "is")
    write(text)
    typed("apply", "-auto-approve")
    write(text + REFERENCE)
    done = typed("plan", code=1)
    assert done.said.count("Secret not in the state") == 2 and "encryption" in done.said


def test_what_a_plugin_logs_is_in_the_log(write, typed):
    write(CHAIN.format("one"))
    assert "running first" in typed("apply", "-auto-approve", DSTREAM_LOG="info").err
    assert "running first" not in typed("plan").said
