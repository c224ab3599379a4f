"""Attacks on trust by whoever can edit the configuration and its lock file: neither decides what is executed."""

from pathlib import Path

import pytest

from dstream.config.syntax.parser import parse_text
from dstream.diagnostics import DiagnosticsError
from dstream.engine.commands.validate import lint
from dstream.engine.setup.operation import OperationInputs
from dstream.registry.lockfile.lock_file import read_lock
from dstream.registry.trust.blocks import read_policies
from dstream.registry.trust.machine_trust import machine_trust
from tests.registry.conftest import HERE, User
from tests.registry.test_trust import make_keys, trusting
from tests.services.registry import Registry

COMMANDS = (("plan",), ("apply", "-auto-approve"), ("run", "-unapplied"))


@pytest.fixture
def signed(user: User, open_registry: Registry, request: pytest.FixtureRequest) -> tuple[User, str, Path]:
    """A user who has locked a signed version of a provider, and has an unsigned one in the cache as well."""
    source = f"{open_registry.host}/attack-{abs(hash(request.node.name))}/dstream-in-count"
    secret, public = make_keys(user.home, "ed25519")
    user.publish(f"{source}:v1.0.0", "one")
    user.publish(f"{source}:v1.1.0", "two")
    user.done("providers", "sign", f"{source}:v1.0.0", "-key", str(secret))
    trusting(user, source, public, pattern="*")
    user.done("init")
    user.done("providers", "pull", f"{source}:v1.1.0")
    return user, source, public


def unsigned_entry(user: User, source: str) -> dict[str, str]:
    """What a lock file has for the version without a signature."""
    kept = user.lock.read_text(), (user.folder / "dstream.hcl").read_text()
    user.lock.unlink()
    user.configure(f'provider_ref = "{source}:v1.1.0"')
    user.done("init")
    entry = read_lock(user.folder).providers[f"{source}:v1.1.0"]
    user.lock.write_text(kept[0])
    (user.folder / "dstream.hcl").write_text(kept[1])
    return {"manifest": entry.manifest, str(HERE): entry.platforms[str(HERE)]}


def test_an_unsigned_version_that_the_lock_file_calls_signed_is_not_executed(signed: tuple[User, str, Path]) -> None:
    user, source, _ = signed
    unsigned = unsigned_entry(user, source)
    entry = read_lock(user.folder).providers[f"{source}:v1.0.0"]
    assert entry.signed_by.startswith("key SHA256:")
    text = user.lock.read_text().replace(entry.manifest, unsigned["manifest"])
    text = text.replace(entry.platforms[str(HERE)], unsigned[str(HERE)])
    user.lock.write_text(text)
    for command in COMMANDS:
        for offline in ("", "1"):
            ended = user.dstream(*command, DSTREAM_OFFLINE=offline)
            assert ended.code == 1, ended.said
            assert ("Signature not verified" if offline else "Missing signature") in ended.said


def test_the_executable_of_another_version_is_not_executed_under_a_signed_manifest(
    signed: tuple[User, str, Path],
) -> None:
    """Manifest and signature stay: the digest of the executable, which is in the cache, is another one's."""
    user, source, _ = signed
    unsigned = unsigned_entry(user, source)
    entry = read_lock(user.folder).providers[f"{source}:v1.0.0"]
    user.lock.write_text(user.lock.read_text().replace(entry.platforms[str(HERE)], unsigned[str(HERE)]))
    for command in COMMANDS:
        ended = user.dstream(*command, DSTREAM_OFFLINE="1")
        assert ended.code == 1, ended.said
        assert "Provider mismatch with the lock file" in ended.said


def test_the_trust_of_the_machine_is_not_loosened_by_a_configuration(signed: tuple[User, str, Path]) -> None:
    user, source, public = signed
    machine = user.home / ".config" / "dstream" / "trust.hcl"
    machine.parent.mkdir(parents=True)
    machine.write_text('trust "*" {\n  keys = ["team.pub"]\n}\n')
    secret, own = make_keys(user.home, "ecdsa")
    (machine.parent / "team.pub").write_bytes(public.read_bytes())
    environment = {"XDG_CONFIG_HOME": ""}
    user.done("plan", **environment)
    lock = user.lock.read_text()
    user.configure(f'provider_ref = "{source}:v1.0.0"')  # the block is removed: the machine's still applies
    user.done("plan", **environment)
    user.configure(f'provider_ref = "{source}:v1.1.0"')
    assert "of this machine" in user.dstream("init", **environment).said
    # A key of the attacker's, whose signature is good for a block of the configuration.
    user.done("providers", "sign", f"{source}:v1.1.0", "-key", str(secret))
    head = f'dstream {{\n  trust "*" {{\n    keys = ["{own}"]\n  }}\n}}'
    user.configure(f'provider_ref = "{source}:v1.1.0"', head=head)
    ended = user.dstream("init", **environment)
    assert ended.code == 1
    assert "of this machine" in ended.said and "Missing signature" in ended.said
    # A configuration may require more than the machine: here, a signature that there is not.
    user.configure(f'provider_ref = "{source}:v1.0.0"', head=head)
    assert "Missing signature" in user.dstream("plan", **environment).said
    # What the machine requires is no part of the lock file, which other machines read.
    user.configure(f'provider_ref = "{source}:v1.0.0"')
    user.done("init", **environment)
    assert "signed_by" in lock and "signed_by" not in user.lock.read_text()
    user.done("init", "-lockfile=readonly", XDG_CONFIG_HOME=str(user.home / "none"))
    machine.write_text('trust "https://ghcr.io/*" {\n  keys = ["team.pub"]\n}\n')
    broken = user.dstream("plan", **environment)
    assert broken.code == 1 and "Trust block without effect" in broken.said and "trust.hcl:1" in broken.said


@pytest.mark.parametrize(
    "text",
    ["team = 1\n", 'task "x" {\n}\n', 'trust "*" {\n', 'trust "*" {\n  keys = [env("KEY")]\n}\n', "\ufeff\x00", None],
)
def test_a_trust_file_that_cannot_be_understood_is_an_error(tmp_path: Path, text: str | None) -> None:
    """Ignored, it would open what it was written to close."""
    path = tmp_path / "dstream" / "trust.hcl"
    path.parent.mkdir()
    if text is None:
        path.mkdir()
    else:
        path.write_text(text)
    with pytest.raises(DiagnosticsError):
        machine_trust({"XDG_CONFIG_HOME": str(tmp_path)})
    assert machine_trust({"XDG_CONFIG_HOME": str(tmp_path / "none")}) == []


def test_a_relative_folder_of_settings_lies_in_the_checkout_and_is_not_used(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("dstream", "home/.config/dstream"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "trust.hcl").write_text(f'trust "{name.partition("/")[0]}.example/*" {{ keys = ["x"] }}\n')
    (found,) = machine_trust({"XDG_CONFIG_HOME": ".", "HOME": str(tmp_path / "home")})
    assert [each.pattern for each in found] == ["home.example/*"]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("https://ghcr.io/team/*", "write ghcr.io/team/*"),
        ("oci://ghcr.io/team/*", "no scheme"),
        ("ghcr.io/team/x:v1.0.0", "write ghcr.io/team/x"),
        ("ghcr.io/team/*:*", "no tag"),
        ("*:*", "no repository"),
        ("ghcr.io/Team/*", "write ghcr.io/team/*"),
        ("GHCR.io/team/*", "lower case"),
        ("ghcr.io/team/x@sha256:*", "no digest"),
        ("ghcr.io", "write ghcr.io/*"),
        ("localhost:5000", "write localhost/*"),
        ("ghcr.io/", "not part of a repository"),
        ("ghcr.io/team//x", "not part of a repository"),
        ("/team/x", "not a registry"),
        ("team/x", "such as docker.io/team/x"),
        ("ghcr.io/tea?/x", "not part of a repository"),
        ("ghcr.io/[a-z]*/x", "not part of a repository"),
        ("ghcr.io/team/x ", "spaces"),
        ("", "empty"),
        ("ghcr.io/-team/x", "not part of a repository"),
    ],
)
def test_a_trust_block_that_can_match_nothing_is_an_error_with_its_place(pattern: str, why: str) -> None:
    with pytest.raises(DiagnosticsError) as problem:
        blocks(f'\ntrust "{pattern}" {{\n  keys = ["x.pub"]\n}}\n')
    (found,) = problem.value.diagnostics
    assert found.summary == "Trust block without effect"
    assert why in found.detail
    assert found.subject is not None and found.subject.start.line == 2


def test_lint_finds_a_block_without_effect_though_no_provider_needs_it(tmp_path: Path) -> None:
    (tmp_path / "dstream.hcl").write_text('dstream {\n  trust "*:*" {\n    keys = ["x.pub"]\n  }\n}\n')
    found = lint(OperationInputs(tmp_path), start=False)
    assert [(each.summary, each.subject.start.line) for each in found.diagnostics if each.subject] == [
        ("Trust block without effect", 2)
    ]


@pytest.mark.parametrize(
    "text",
    [
        'trust "*" { keys = ["a"] }\ntrust "ghcr.io/team/*" { keys = ["b"] }',
        'trust "ghcr.io/*" { keys = ["a"] }\ntrust "ghcr.io/team/x" { keys = ["b"] }',
        'trust "ghcr.io/a/*" { keys = ["a"] }\ntrust "ghcr.io/a/*" { keys = ["b"] }',
        'trust "*" { identity = "*" }',
        'trust "*" { identity = "**" }',
        'trust "*" {\n keys = ["a"]\n issuer = "https://x.example"\n}',
    ],
)
def test_a_block_that_decides_nothing_is_an_error(text: str) -> None:
    with pytest.raises(DiagnosticsError, match="Trust block without effect"):
        blocks(text)


def test_patterns_that_protect_something_are_read() -> None:
    names = (
        "ghcr.io/team/x",
        "ghcr.io/team-*/x.y_z",
        "localhost:5000/x",
        "[::1]:5000/*",
        "*.example/x",
        "ghcr.io/*",
        "*",
    )
    found = blocks("\n".join(f'trust "{name}" {{ keys = ["x"] }}' for name in names))
    assert [each.pattern for each in found] == list(names)


def blocks(text: str):
    parsed = parse_text(text.replace("}", "\n}").replace("{ ", "{\n"), "dstream.hcl")
    assert not parsed.diagnostics
    return read_policies(parsed.body.blocks, Path())
