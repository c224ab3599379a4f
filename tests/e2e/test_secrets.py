"""A secret that is planted in the environment is nowhere else: not in plans, state, journals, logs or messages."""

import base64
import json
from pathlib import Path

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
CONFIGURATION = """
locals {
  secret = "{{ env \\"PLANTED\\" }}"
}

task "leaky" {
  input {
    provider = "counter"
    config { max_count = 1 }
  }
  output {
    provider_path = "./leaky.sh"
    config {
      password = local.secret
      nested   = { deep = ["a", "x ${local.secret} y"] }
    }
  }
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
    (tmp_path / "dstream.hcl").write_text(CONFIGURATION)
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
