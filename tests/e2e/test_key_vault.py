"""A state that is encrypted under a key of Azure Key Vault, through every command that reads or writes it."""

import base64
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from tests.e2e.commands import Ended, dstream, start
from tests.e2e.test_secrets import spellings
from tests.services.azure.key_vault import Key, KeyVault, key_vault
from tests.services.azurite import Azurite
from tests.services.recorder.world import World

A = 'resource "rec_secret" "s" {{\n  name = "s"\n  size = {0}\n  password = env("PLANTED")\n}}\n'
SECRET, PHRASE = "pl4nted-s3cret", "the passphrase of before, long"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def vault() -> Iterator[KeyVault]:
    with key_vault() as running:
        yield running


@pytest.fixture
def key(vault: KeyVault) -> Key:
    return vault.server.add_key("shop", "state")


def block(key_id: str, more: str = "") -> str:
    inner = f'azure_key_vault {{\n      key_id = "{key_id}"\n    }}' if key_id else 'passphrase = env("PASS")'
    return f"dstream {{\n  encryption {{\n    {inner}\n    {more}\n  }}\n}}\n"


def fallback(key_id: str) -> str:
    return f'fallback_azure_key_vault {{\n      key_id = "{key_id}"\n    }}'


def write(world: World, encryption: str, size: int = 1) -> None:
    world.backend = encryption
    world.write(A.format(size))


def run(world: World, vault: KeyVault, *arguments: str, code: int = 0, **env: str) -> Ended:
    done = dstream(
        world.folder, *arguments, env={"PLANTED": SECRET, "PASS": PHRASE, **vault.environment, **env}, timeout=120
    )
    assert done.code == code, done.said
    return done


def told(ended: Ended) -> str:
    """What a command said, on one line, without the frame."""
    return " ".join(ended.err.replace("│", " ").split())


def stored(world: World, ending: str = "") -> dict[Path, bytes]:
    """The files of the state whose names end so."""
    folder = world.folder / ".dstream" / "state"
    return {path: path.read_bytes() for path in folder.rglob(f"*{ending}") if path.is_file()}


def unwrapped(vault: KeyVault, world: World, key: Key) -> list[bytes]:
    """The keys that what is stored was encrypted with: the vault has what it takes."""
    texts = [*stored(world).values(), *(path.read_bytes() for path in world.folder.glob("*.plan"))]
    found = set()
    for text in texts:
        for line in text.splitlines():
            if b'"wrapped":"' in line:
                wrapped = line.split(b'"wrapped":"')[1].split(b'"')[0] + b"=="
                found.add(key.newest.unwrap("RSA-OAEP-256", base64.urlsafe_b64decode(wrapped)))
    return list(found)


def test_all_commands_work_with_one_unwrapping_each_and_no_key_is_anywhere(
    world: World, vault: KeyVault, key: Key
) -> None:
    write(world, block(key.id))
    said = run(world, vault, "apply", "-auto-approve").said
    assert (len(vault.server.asked("wrapkey")), len(vault.server.asked("get"))) == (1, 1)
    assert not any(SECRET.encode() in content or b"rec_secret" in content for content in stored(world).values())
    write(world, block(key.id), 2)
    for arguments, code in (
        (("plan", "-detailed-exitcode"), 2),
        (("plan", "-out", "next.plan"), 0),
        (("show", "next.plan"), 0),
        (("apply", "next.plan"), 0),
        (("plan", "-detailed-exitcode"), 0),
        (("state", "list"), 0),
        (("state", "pull", "kept.dsstate"), 0),
        (("state", "push", "kept.dsstate"), 0),
        (("state", "history"), 0),
        (("drift",), 0),
        (("state", "restore", "-force", "1"), 0),
        (("apply", "-auto-approve"), 0),
        (("destroy", "-auto-approve"), 0),
    ):
        vault.server.calls.clear()
        said += run(world, vault, *arguments, code=code, DSTREAM_DEBUG="1").said
        assert len(vault.server.asked("unwrapkey")) <= 1, arguments
        assert not vault.server.asked("wrapkey"), arguments
        assert not vault.server.asked("get"), arguments
    keys = unwrapped(vault, world, key)
    assert len(keys) == 1
    everything = {path: path.read_bytes() for path in world.folder.rglob("*") if path.is_file()}
    for spelling in (keys[0], keys[0].hex().encode(), base64.b64encode(keys[0]).rstrip(b"=")):
        assert spelling not in said.encode()
        assert not [path for path, content in everything.items() if spelling in content]
    for spelling in spellings(SECRET):
        assert spelling not in said.encode()


def test_no_key_and_no_token_is_in_the_process_list_while_a_command_runs(
    world: World, vault: KeyVault, key: Key
) -> None:
    write(world, block(key.id))
    run(world, vault, "apply", "-auto-approve")
    (data_key,) = unwrapped(vault, world, key)
    vault.server.fault("POST .*/unwrapkey", delay=3.0)
    process = start(world.folder, "plan", env={"PLANTED": SECRET, **vault.environment})
    lines = set()
    while process.poll() is None:
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.add(each.read_bytes())
            except OSError:
                continue
        time.sleep(0.05)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert any(b"plan" in line for line in lines)
    for spelling in (base64.b64encode(data_key).rstrip(b"="), data_key.hex().encode(), b"eyJhbGci"):
        assert not [line for line in lines if spelling in line]


def test_from_a_passphrase_to_a_vault_and_from_key_to_key_and_back(world: World, vault: KeyVault, key: Key) -> None:
    second = vault.server.add_key("other", "state")
    write(world, block(""))
    run(world, vault, "apply", "-auto-approve")
    sources = (
        (block(key.id), block(key.id, 'fallback_passphrases = [env("PASS")]')),
        (block(second.id), block(second.id, fallback(key.id))),
        (block(""), block("", fallback(second.id))),
    )
    for size, (new, both) in enumerate(sources, start=2):
        before = stored(world, ".json")
        write(world, new, size)
        assert "fallback_" in run(world, vault, "apply", "-auto-approve", code=1).err
        assert stored(world, ".json") == before
        write(world, both, size)
        run(world, vault, "apply", "-auto-approve")
        write(world, new, size)
        run(world, vault, "plan", "-detailed-exitcode")


def test_after_the_vaults_key_was_rotated_nothing_has_to_be_done(world: World, vault: KeyVault, key: Key) -> None:
    write(world, block(key.id))
    run(world, vault, "apply", "-auto-approve")
    run(world, vault, "plan", "-out", "early.plan", "-destroy")
    key.rotate()
    run(world, vault, "plan", "-detailed-exitcode")
    write(world, block(key.identifier(key.newest)), 2)
    run(world, vault, "apply", "-auto-approve")
    assert key.newest.version.encode() in b"".join(stored(world).values())
    run(world, vault, "state", "restore", "-force", "1")


@pytest.mark.parametrize(
    ("why", "says"),
    [
        ("denied", "Key Vault Crypto User"),
        ("disabled", "--enabled true"),
        ("deleted", "az keyvault key recover"),
        ("nobody", "Check the name of the vault"),
    ],
)
def test_a_vault_that_refuses_stops_every_command_and_nothing_is_overwritten(
    world: World, vault: KeyVault, key: Key, why: str, says: str
) -> None:
    write(world, block(key.id))
    run(world, vault, "apply", "-auto-approve")
    run(world, vault, "state", "pull", "kept.dsstate")
    write(world, block(key.id), 2)
    run(world, vault, "plan", "-out", "next.plan")
    before = stored(world, ".json")
    if why == "denied":
        vault.server.permissions.remove("unwrapKey")
    key.newest.enabled = why != "disabled"
    key.deleted = why == "deleted"
    commands: tuple[tuple[str, ...], ...] = (
        ("plan",),
        ("apply", "-auto-approve"),
        ("apply", "next.plan"),
        ("state", "push", "-force", "kept.dsstate"),
        ("state", "rm", "rec_secret.s"),
        ("destroy", "-auto-approve"),
    )
    if why == "nobody":
        vault.server.hosts.clear()
        commands = commands[:1]  # It is waited for.
    for arguments in commands:
        refused = run(world, vault, *arguments, code=1)
        assert "Unusable state key" in told(refused), arguments
        assert says in told(refused), refused.err
    assert stored(world, ".json") == before
    key.newest.enabled, key.deleted = True, False
    vault.server.permissions.add("unwrapKey")
    vault.server.hosts.add(key.host)
    run(world, vault, "plan", "-detailed-exitcode", code=2)
    assert world.recorder.objects()["rec_secret s"]["size"] == 1


def test_a_first_apply_without_the_right_to_wrap_creates_nothing(world: World, vault: KeyVault, key: Key) -> None:
    write(world, block(key.id))
    vault.server.permissions.remove("wrapKey")
    refused = run(world, vault, "apply", "-auto-approve", code=1)
    assert "wrapKey returned 403" in told(refused)
    assert "Key Vault Crypto User" in told(refused)
    assert not world.recorder.objects()
    vault.server.permissions.add("wrapKey")
    run(world, vault, "apply", "-auto-approve")
    assert list(world.recorder.objects()) == ["rec_secret s"]


def test_throttling_is_waited_out(world: World, vault: KeyVault, key: Key) -> None:
    write(world, block(key.id))
    vault.server.fault("GET .*", status=429, headers={"Retry-After": "1"}, times=2)
    run(world, vault, "apply", "-auto-approve")
    vault.server.fault("POST .*/unwrapkey", status=429, headers={"Retry-After": "1"}, times=2)
    run(world, vault, "plan", "-detailed-exitcode")


def test_it_works_with_the_state_in_azure_blob_storage(
    world: World, vault: KeyVault, key: Key, azurite: Azurite
) -> None:
    container = f"kv{uuid.uuid4().hex[:16]}"
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        service.create_container(container)
        backend = f'dstream {{\n  backend "azurerm" {{\n    container_name = "{container}"\n    key = "s"\n  }}'
        for size in (1, 2):
            write(world, block(key.id).replace("dstream {", backend, 1), size)
            connection = {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string}
            run(world, vault, "apply", "-auto-approve", **connection)
            run(world, vault, "plan", "-detailed-exitcode", **connection)
        content = service.get_blob_client(container, "s").download_blob().readall()
    assert key.newest.version.encode() in content
    assert b"rec_secret" not in content


def test_what_is_in_clear_is_refused(world: World, vault: KeyVault, key: Key) -> None:
    write(world, "")
    run(world, vault, "apply", "-auto-approve")
    write(world, block(key.id, "enforced = true"))
    assert "Unencrypted state" in run(world, vault, "apply", "-auto-approve", code=1).err
    write(world, block(key.id, "fallback_unencrypted {}"), 2)
    run(world, vault, "apply", "-auto-approve")
    write(world, block(key.id, "enforced = true"), 2)
    run(world, vault, "plan", "-detailed-exitcode")


def test_a_key_id_that_is_sensitive_is_refused_with_the_way_out(world: World, vault: KeyVault, key: Key) -> None:
    secretive = block(key.id).replace(f'"{key.id}"', 'env("KEY_ID")')
    write(world, secretive)
    assert "key_id = nonsensitive(" in told(run(world, vault, "plan", code=1, KEY_ID=key.id))
    write(world, secretive.replace('env("KEY_ID")', 'nonsensitive(env("KEY_ID"))'))
    run(world, vault, "apply", "-auto-approve", KEY_ID=key.id)
    assert key.newest.version.encode() in b"".join(stored(world).values())
