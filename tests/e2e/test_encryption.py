"""An encrypted state: other passphrases, refusals to read or write in clear, and nothing overwritten by a wrong one."""

from pathlib import Path

import pytest

from tests.e2e.commands import Ended, dstream
from tests.services.recorder.world import World

A = 'resource "rec_secret" "s" {{\n  name = "s"\n  size = {0}\n  password = env("PLANTED")\n}}\n'
ONE, TWO = "the first passphrase, long", "the second passphrase, long"
SECRET = "pl4nted-s3cret"


def block(more: str = "", passphrase: str = 'env("PASS")') -> str:
    return f"dstream {{\n  encryption {{\n    passphrase = {passphrase}\n    {more}\n  }}\n}}\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(world: World, *arguments: str, code: int = 0, **env: str) -> Ended:
    done = dstream(world.folder, *arguments, env={"PASS": ONE, "PLANTED": SECRET, **env})
    assert done.code == code, done.said
    return done


def write(world: World, encryption: str, size: int = 1) -> None:
    world.backend = encryption
    world.write(A.format(size))


def stored(world: World) -> dict[Path, bytes]:
    """All files of the state."""
    folder = world.folder / ".dstream" / "state"
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sealed(world: World) -> bool:
    return not any(SECRET.encode() in content or b"rec_secret" in content for content in stored(world).values())


def test_a_passphrase_is_changed_with_the_earlier_one_as_fallback(world: World) -> None:
    write(world, block())
    run(world, "apply", "-auto-approve")
    assert sealed(world)
    refused = run(world, "plan", code=1, PASS=TWO)
    assert "fallback_passphrases" in refused.err
    write(world, block('fallback_passphrases = [env("BEFORE")]'), 2)
    run(world, "plan", PASS=TWO, BEFORE=ONE)
    run(world, "apply", "-auto-approve", PASS=TWO, BEFORE=ONE)
    assert sealed(world)
    write(world, block(), 2)
    run(world, "plan", "-detailed-exitcode", PASS=TWO)
    run(world, "plan", code=1, PASS=ONE)
    # What was kept of the time before can be read with the fallback.
    write(world, block('fallback_passphrases = [env("BEFORE")]'), 2)
    run(world, "state", "restore", "-force", "1", PASS=TWO, BEFORE=ONE)
    run(world, "plan", "-detailed-exitcode", "-refresh=false", code=2, PASS=TWO, BEFORE=ONE)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> World:
    """An encrypted state, a copy of it in `kept.dsstate`, and a plan of another size in `p.plan`."""
    world = World(tmp_path_factory.mktemp("kept"))
    write(world, block())
    run(world, "apply", "-auto-approve")
    run(world, "state", "pull", "kept.dsstate")
    write(world, block(), 2)
    run(world, "plan", "-out", "p.plan")
    return world


@pytest.mark.parametrize(
    "arguments",
    [
        ("apply", "-auto-approve"),
        ("destroy", "-auto-approve"),
        ("import", "rec_secret.s", "s"),
        ("state", "rm", "rec_secret.s"),
        ("state", "mv", "rec_secret.s", "rec_secret.t"),
        ("state", "restore", "-force", "1"),
        ("state", "push", "-force", "kept.dsstate"),
        ("apply", "p.plan"),
    ],
)
def test_a_wrong_passphrase_writes_nothing(kept: World, arguments: tuple[str, ...]) -> None:
    assert SECRET.encode() not in (kept.folder / "kept.dsstate").read_bytes()
    before = {path: content for path, content in stored(kept).items() if path.suffix == ".json"}
    refused = run(kept, *arguments, code=1, PASS=TWO)
    assert "State decryption failure" in refused.err
    assert {path: content for path, content in stored(kept).items() if path.suffix == ".json"} == before
    run(kept, "plan", "-detailed-exitcode", code=2)


def test_with_encryption_nothing_is_read_or_written_in_clear(world: World) -> None:
    write(world, "")
    run(world, "apply", "-auto-approve")
    run(world, "state", "pull", "clear.dsstate")
    run(world, "plan", "-out", "clear.plan")
    write(world, block())
    assert "Unencrypted state" in run(world, "plan", code=1).err
    assert "Unencrypted state" in run(world, "apply", "-auto-approve", code=1).err
    assert "Unencrypted state" in run(world, "apply", "clear.plan", code=1).err
    # It is taken over by one apply with the fallback.
    write(world, block("fallback_unencrypted {}"), 2)
    run(world, "apply", "-auto-approve")
    write(world, block("enforced = true"), 2)
    run(world, "plan", "-detailed-exitcode")
    assert "Unencrypted state" in run(world, "state", "push", "-force", "clear.dsstate", code=1).err
    assert "Unencrypted state" in run(world, "apply", "clear.plan", code=1).err
    assert "Unencrypted state" in run(world, "state", "restore", "-force", "1", code=1).err
    # Without the block the state cannot be read, and so not be written in clear.
    write(world, "", 3)
    refused = run(world, "apply", "-auto-approve", code=1)
    assert "encrypted" in refused.err
    assert world.recorder.objects()["rec_secret s"]["size"] == 2
