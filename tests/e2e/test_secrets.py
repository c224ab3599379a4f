"""A secret that is planted in the environment is nowhere else: not in plans, state, journals, logs or messages."""

import base64
import json
from pathlib import Path

from tests.events import PATIENCE, until

SECRET = 'pl4nted"s3cret${x}\\with-everything'


def spellings(secret: str) -> list[bytes]:
    """How a secret looks as it is, inside JSON, and in base64."""
    return [
        secret.encode(),
        json.dumps(secret)[1:-1].encode(),
        base64.b64encode(secret.encode()),
        base64.b64encode(secret.encode()).rstrip(b"=")[:-4],
    ]


def files(folder: Path) -> dict[Path, bytes]:
    """Everything that lies below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


LEAKY = """#!/bin/sh
# A provider of version 1 that tells everybody everything it was given.
IFS= read -r opening
echo "I was given: $opening" >&2
echo '{"status":"success","message":"fine"}'
"""
TASK = """
task "leaky" {
  input {
    provider = "counter"
    config { max_count = 1 }
  }
  output {
    provider_path = "./leaky.sh"
    config {
      %s
    }
  }
}
"""
CONFIGURATION = """
locals {
  secret = "{{ env \\"PLANTED\\" }}"
}

output "password" {
  value     = local.secret
  sensitive = true
}
"""


def test_a_secret_is_in_no_output_and_in_no_file_although_a_provider_shouts_it(tmp_path):
    from tests.e2e.commands import dstream

    (tmp_path / "leaky.sh").write_text(LEAKY)
    (tmp_path / "leaky.sh").chmod(0o755)
    settings = 'password = local.secret\nnested = { deep = ["a", "x ${local.secret} y"] }'
    (tmp_path / "dstream.hcl").write_text(TASK % settings + CONFIGURATION)
    env = {"PLANTED": SECRET, "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path / "home")}
    said = ""
    for arguments in (
        ["plan"],
        ["plan", "-json"],
        ["apply", "-auto-approve"],
        ["plan"],
        ["state", "list"],
        ["output"],
        ["output", "-json"],
        ["run", "leaky", "--until-idle"],
        ["status"],
        ["drift"],
        ["destroy", "-auto-approve"],
    ):
        done = dstream(tmp_path, *arguments, env=env)
        said += f"\n$ dstream {' '.join(arguments)}\n{done.said}"
    assert "I was given" in said
    for spelling in spellings(SECRET):
        assert spelling not in said.encode(), said
        assert [path for path, content in files(tmp_path).items() if spelling in content] == []


def test_a_provider_that_tells_a_part_of_a_secret_tells_nothing(tmp_path):
    """The password of a connection string, and what a text was made of."""
    from tests.e2e.commands import dstream

    token = """$(echo "$opening" | sed 's/.*Bearer \\([^"]*\\)".*/\\1/')"""
    told = LEAKY.replace("I was given: $opening", f"login with pl4nted-passw0rd failed, and so did {token}")
    settings = 'connection_string = env("CONNECTION")\nheader = "Bearer ${env("TOKEN")}"'
    (tmp_path / "dstream.hcl").write_text(TASK % settings)
    env = {"CONNECTION": "Server=x;User ID=me;Password=pl4nted-passw0rd", "TOKEN": "t0ken-of-mine"}
    env |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path / "home")}
    for script, code, arguments in (
        (told.replace("success", "error"), 1, ["apply", "-auto-approve"]),
        (told, 0, ["apply", "-auto-approve"]),
        (told + "cat >/dev/null\n", 0, ["run", "leaky", "-until-idle"]),
    ):
        (tmp_path / "leaky.sh").write_text(script)
        (tmp_path / "leaky.sh").chmod(0o755)
        done = dstream(tmp_path, *arguments, env=env)
        assert done.code == code, done.said
        assert "pl4nted" not in done.said and "t0ken" not in done.said, done.said
    assert "login with (sensitive value) failed, and so did (sensitive value)" in done.said, done.said


def test_the_password_of_a_database_is_in_no_output_and_in_no_file(shop, tmp_path):
    password = "pl4nted-passw0rd"
    url = shop.environment["DATABASE_URL"]
    shop.environment["DATABASE_URL"] = url.replace("postgresql://postgres@", f"postgresql://postgres:{password}@")
    assert password in shop.environment["DATABASE_URL"]
    said = ""
    for arguments in (
        ["plan"],
        ["plan", "-json"],
        ["apply", "-auto-approve"],
        ["plan", "-json"],
        ["drift", "-json"],
        ["state", "list"],
        ["destroy", "-auto-approve", "-allow-data-loss"],
    ):
        done = shop.dstream(*arguments)
        assert done.code in (0, 2), done.said
        said += done.said
    assert password not in said
    assert [path for path, content in files(shop.folder).items() if password.encode() in content] == []


SHOUTING = """
import base64, json, os, sys, time
from dataclasses import dataclass
from pathlib import Path
import dstream_sdk as sdk

@dataclass
class Settings:
    password: str = sdk.setting("", sensitive=True)

@dataclass
class Thing:
    name: str
    key: str = ""
    token: str | None = None

class Things(sdk.ResourceType[Settings]):
    type = "shout_thing"
    attributes = Thing
    computed = ("token",)
    sensitive = {"key": "write_only", "token": "readable"}
    identity = "planned"
    identity_attributes = ("name",)

    def shout(self, ctx):
        for secret in (ctx.config.password, "t0ken-of-mine"):
            for text in (secret, json.dumps(secret), base64.b64encode(secret.encode()).decode()):
                print("provider says", text, file=sys.stderr, flush=True)

    def found(self, name):
        return sdk.Object({"name": name}, {"name": name, "key": sdk.WITHHELD, "token": "t0ken-of-mine"})

    def read(self, ctx, identity, prior):
        self.shout(ctx)
        return self.found(identity["name"]) if Path(identity["name"]).exists() else None

    def create(self, ctx, desired, intent):
        self.shout(ctx)
        if desired["name"] == "broken":
            raise RuntimeError("cannot with " + ctx.config.password)
        while Path("hold").exists():
            time.sleep(0.05)
        if Path("crash").exists():
            os.abort()
        Path(desired["name"]).touch()
        return self.found(desired["name"])

    def update(self, ctx, prior, desired):
        return self.create(ctx, desired, None)

    def delete(self, ctx, prior):
        Path(prior.identity["name"]).unlink()

sdk.main(sdk.Provider("shout", "1.0", resources=(Things(),)))
"""
SHOUT = """
provider "shout" {
  provider_path = "./shout"
  config { password = env("PLANTED") }
}
variable "given" {
  sensitive = true
}
resource "shout_thing" "a" {
  name = "a"
  key  = "is ${env("PLANTED")} and ${var.given}"
}
resource "shout_thing" "b" {
  name = "b"
  key  = shout_thing.a.token
}
output "o" {
  value     = shout_thing.a.token
  sensitive = true
}
"""
GIVEN = "g1ven-secret"


def command_lines() -> bytes:
    """The command lines of all processes of this machine."""
    found = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes()
        except OSError:
            continue
    return found


def test_secrets_are_not_in_saved_plans_what_shows_them_crash_output_or_the_list_of_processes(tmp_path):
    """Of the configuration, of a variable, and one that a provider makes up and another object needs."""
    import sys

    from tests.e2e.commands import dstream, start

    (tmp_path / "shout.py").write_text(SHOUTING)
    (tmp_path / "shout").write_text(f"#!/bin/sh\nexec '{sys.executable}' '{tmp_path}/shout.py'\n")
    (tmp_path / "shout").chmod(0o755)
    configuration = tmp_path / "dstream.hcl"
    configuration.write_text(SHOUT)
    env = {"PLANTED": SECRET, "DSTREAM_VAR_given": GIVEN, "DSTREAM_DEBUG": ""}
    said = b""

    def run(*arguments: str, code: int = 0, **more: str) -> None:
        nonlocal said
        done = dstream(tmp_path, *arguments, env=env | more)
        said += f"\n$ dstream {' '.join(arguments)}\n{done.said}".encode()
        assert done.code == code, said.decode()

    def clean() -> None:
        for secret in (SECRET, GIVEN, "t0ken-of-mine"):
            for spelling in spellings(secret):
                assert spelling not in said, said.decode()
                for path, content in files(tmp_path).items():
                    assert path.name == "shout.py" or spelling not in content, path

    run("plan", "-out", "p.plan")
    env["DSTREAM_LOG"] = "debug"  # what the provider shouts is shown from now on, when the redactor knows the token
    (tmp_path / "hold").touch()
    applying = start(tmp_path, "apply", "p.plan", env=env)
    try:

        def journals() -> bytes:
            state = files(tmp_path / ".dstream").items()
            return b"".join(content for path, content in state if path.suffix == ".log")

        until(lambda: b"shout_thing" in journals(), "the first record", process=applying)
        recorded = journals()
        lines = command_lines()
        assert b"p.plan" in lines
        for secret in (SECRET, GIVEN):
            assert not [spelling for spelling in spellings(secret) if spelling in lines + recorded]
    finally:
        (tmp_path / "hold").unlink()
        out, err = applying.communicate(timeout=PATIENCE)
    said += (out + err).encode()
    assert applying.returncode == 0, said.decode()
    assert b"provider.shout: provider says (sensitive value)" in said
    run("plan", "-detailed-exitcode")
    # The plan of a change that needs the made up secret again, which is read again when it is carried out.
    configuration.write_text(
        SHOUT.replace("and $", "or $").replace("= shout_thing.a.token\n}\nout", '= "x${shout_thing.a.token}"\n}\nout')
    )
    run("plan", "-out", "p.plan")
    for form in ("text", "markdown", "json", "html"):
        run("show", "-format", form, "p.plan")
        run("show", "-format", form)
        run("plan", "-format", form)
    clean()
    run("apply", "p.plan", code=1, PLANTED="another")
    run("apply", "p.plan", code=1, DSTREAM_VAR_given="another")
    assert said.count(b"Stale saved plan") == 2
    del env["DSTREAM_LOG"]  # a token that is shouted and never told, since nothing was made, nobody can know
    run("apply", "-json", "p.plan")
    run("plan", "-detailed-exitcode")
    run("drift", "-json")
    clean()
    # A provider that fails with a secret in its words, and one that is killed in the middle.
    configuration.write_text(SHOUT + 'resource "shout_thing" "c" {\n  name = "broken"\n}\n')
    run("apply", "-auto-approve", code=1, DSTREAM_DEBUG="1")
    configuration.write_text(SHOUT + 'resource "shout_thing" "d" {\n  name = "d"\n}\n')
    (tmp_path / "crash").touch()
    run("apply", "-auto-approve", code=1, DSTREAM_DEBUG="1")
    assert b"provider says" in said
    clean()
