"""`plan -untrusted` starts a provider of a registry only if it is locked and the machine itself trusts its signer."""

from pathlib import Path

from tests.registry.conftest import User
from tests.registry.test_trust import make_keys, trusting
from tests.services.registry import Registry

TRUSTED = {"XDG_CONFIG_HOME": ""}


def test_a_provider_of_a_registry_starts_only_with_the_trust_of_the_machine(
    user: User, open_registry: Registry
) -> None:
    source = f"{open_registry.host}/untrusted/dstream-in-count"
    secret, public = make_keys(user.home, "ed25519")
    user.publish(f"{source}:v1.0.0", "one")
    user.publish(f"{source}:v1.1.0", "two")
    user.done("providers", "sign", f"{source}:v1.0.0", "-key", str(secret))
    trusting(user, source, public, pattern="*")
    user.done("init")
    command = ("plan", "-untrusted", "-allow-provider=console")
    # The trust block, the lock file and the signature are those of the checkout.
    assert "no trust block of this machine covers" in user.done(*command)
    machine = user.home / ".config" / "dstream" / "trust.hcl"
    machine.parent.mkdir(parents=True)
    machine.write_text('trust "*" {\n  keys = ["team.pub"]\n}\n')
    (machine.parent / "team.pub").write_bytes(public.read_bytes())
    # A key of the checkout that never ends is not even opened: what the machine requires is enough.
    trusting(user, source, Path("/dev/zero"), pattern="*")
    shown = user.done(*command, **TRUSTED)
    assert "task.t will be created" in shown and "machine" not in shown
    # Another version, locked by editing the lock file, has no signature.
    user.configure(f'provider_ref = "{source}:v1.1.0"')
    unlocked = user.dstream(*command, **TRUSTED)
    assert unlocked.code == 1 and "dstream init" in unlocked.said
    user.done("init", XDG_CONFIG_HOME=str(user.home / "of-the-attacker"))
    ended = user.dstream(*command, **TRUSTED)
    assert ended.code == 1 and "Missing signature" in ended.said
    # A lock file that is a link to a secret is not shown.
    user.lock.unlink()
    (user.home / "token").write_text("s3cret = s3cret s3cret\n")
    user.lock.symlink_to(user.home / "token")
    ended = user.dstream(*command, **TRUSTED)
    assert ended.code == 1 and "File outside the project" in ended.said and "s3cret" not in ended.said
