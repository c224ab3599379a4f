"""A provider's schemas decide what is a secret: they are its own answer on this machine, whatever a checkout claims."""

import json
from pathlib import Path

from dstream.plugins import ProviderSource, probe, resolve
from dstream.plugins.binary import Binary
from dstream.plugins.digest import digest_of
from dstream.registry.machine_records import MachineRecords
from tests.e2e.commands import dstream
from tests.registry.conftest import User
from tests.services.registry import Registry
from tests.services.shebang import shebang

PASSWORD = "gener4ted-passw0rd"
PROVIDER = f"""{shebang()}import json, os, sys

def say(form):
    print(json.dumps(form), flush=True)

schema = {{"type": "object", "properties": {{"name": {{"type": "string"}}, "password": {{"type": "string"}}}}}}
vault = {{"schema": schema, "computed": ["password"], "sensitive": {{"password": "readable"}}, "identity": "assigned"}}
if os.environ.get("DSTREAM_PROBE"):
    say({{"protocol": 2, "provider": {{"name": "vault", "version": "1"}}, "roles": ["resource"],
         "schema": {{"config": {{"type": "object"}}, "resources": {{"vault_login": vault}}}}}})
    sys.exit()
sys.stdin.readline()
say({{"status": "ready", "protocol": 2}})
for line in sys.stdin:
    request = json.loads(line)
    answer = {{"id": request["id"], "status": "ok"}}
    if request["command"] == "init":
        answer.update(identity={{"id": "1"}}, attributes={{**request["desired"], "password": "{PASSWORD}"}})
    elif request["command"] == "status":
        answer.update(attributes=request["prior"])
    say(answer)
"""
CONFIGURATION = """
provider "vault" {
  provider_path = "./vault.py"
}
resource "vault_login" "ada" {
  name = "ada"
}
output "name" {
  value = vault_login.ada.name
}
"""


def vault(folder: Path) -> Path:
    program = folder / "vault.py"
    program.write_text(PROVIDER)
    program.chmod(0o755)
    (folder / "dstream.hcl").write_text(CONFIGURATION)
    return program


def plant(place: Path, program: Path) -> None:
    """Claim that nothing of the provider is sensitive, where a cache of probe answers is looked for."""
    answer = probe_answer(program)
    del answer["schema"]["resources"]["vault_login"]["sensitive"]
    digest = digest_of(program, neighbours=True).removeprefix("sha256:")
    place.mkdir(parents=True)
    (place / f"{digest}.json").write_text(json.dumps({"format": 1, "answer": answer}))


def probe_answer(program: Path) -> dict:
    from dstream.plugins.probe import ask

    return dict(ask(Binary((str(program),), ProviderSource("path", str(program)), "sha256:x"))[0])


def in_clear(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file() and PASSWORD in each.read_text(errors="replace")
            and each.name != "vault.py"]  # fmt: skip


def test_a_probe_answer_in_the_checkout_does_not_make_apply_write_a_secret(tmp_path: Path) -> None:
    program = vault(tmp_path)
    plant(tmp_path / ".dstream" / "probe", program)
    done = dstream(tmp_path, "apply", "-auto-approve")
    assert done.code == 0, done.said
    assert PASSWORD not in done.said
    assert in_clear(tmp_path) == []


def test_a_folder_of_records_in_the_checkout_is_not_the_machine_s(tmp_path: Path) -> None:
    """A record that was authenticated elsewhere, committed with its key: git keeps no file private."""
    program = vault(tmp_path)
    state = tmp_path / ".local" / "state"
    binary = resolve(ProviderSource("path", str(program)), tmp_path, "resource")
    records = MachineRecords(state / "dstream")
    probe(binary, records=records)
    (entry,) = (state / "dstream").glob("records/probe/*")
    forged = json.loads(entry.read_bytes()[32:])
    del forged["schema"]["resources"]["vault_login"]["sensitive"]
    records.write("probe", f"2 {binary.digest} {program}", json.dumps(forged).encode())
    for each in state.rglob("*"):
        each.chmod(0o755 if each.is_dir() else 0o644)
    done = dstream(tmp_path, "apply", "-auto-approve", env={"HOME": str(tmp_path), "XDG_STATE_HOME": ""})
    assert done.code == 0, done.said
    assert in_clear(tmp_path / ".dstream") == []


def test_the_probe_in_the_lock_file_is_held_against_the_provider_s_own(user: User, open_registry: Registry) -> None:
    source = f"{open_registry.host}/probed/dstream-in-count"
    user.publish(f"{source}:v1.0.0", "one")
    user.configure(f'provider_ref = "{source}:v1.0.0"')
    user.done("init")
    honest = user.lock.read_text()
    for old, new in (("counter", "another"), ("integer", "string")):
        assert old in honest.partition("probe")[2]
        head, found, tail = honest.partition("probe")
        user.lock.write_text(head + found + tail.replace(old, new))
        for command in (("plan",), ("apply", "-auto-approve"), ("run", "-unapplied")):
            ended = user.dstream(*command)
            assert ended.code == 1, ended.said
            assert "Lock file conflict" in ended.said
        readonly = user.dstream("init", "-lockfile=readonly")
        assert readonly.code == 1
        assert "Outdated lock file" in readonly.said
        user.done("init")
        assert user.lock.read_text() == honest
    # On a machine that has never started the provider, it is started before its answer is used.
    user.lock.write_text(honest.replace("integer", "string"))
    fresh = user.dstream("plan", XDG_STATE_HOME=str(user.home / "fresh"))
    assert fresh.code == 1 and "Lock file conflict" in fresh.said
