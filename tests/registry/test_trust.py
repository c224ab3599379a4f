"""Signatures: what a trust block wants is checked when a provider is locked, and asked for when it is run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from msgspec.structs import replace

from dstream.config import load
from dstream.diagnostics import DiagnosticsError
from dstream.engine.providers.provider_config import source_from_state
from dstream.plugins import resolve
from dstream.registry.oci.client import RegistryClient
from dstream.registry.oci.push import Pusher
from dstream.registry.oci.transport import Transport
from dstream.registry.packaging.publish import attach
from dstream.registry.settings import Settings
from dstream.registry.trust import policy
from dstream_state import ProviderState
from tests.registry.conftest import User
from tests.registry.own_sigstore import BUNDLE, Sigstore
from tests.services.registry import Registry

WORKFLOW = "https://github.com/team/count/.github/workflows/release.yml@refs/tags/v1.0.0"
ISSUER = "https://token.actions.githubusercontent.com"


def make_keys(folder: Path, kind: str) -> tuple[Path, Path]:
    """Write a private and a public key."""
    private = {
        "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
    }[kind]()
    password = serialization.BestAvailableEncryption(b"pass word") if kind == "rsa" else serialization.NoEncryption()
    secret, public = folder / f"{kind}.pem", folder / f"{kind}.pub"
    secret.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, password))
    public.write_bytes(
        private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return secret, public


def trusting(user: User, source: str, *keys: Path, pattern: str) -> None:
    names = ", ".join(f'"{key}"' for key in keys)
    head = f'dstream {{\n  trust "{pattern}" {{\n    keys = [{names}]\n  }}\n}}'
    user.configure(f'provider_ref = "{source}:v1.0.0"', head=head)


@pytest.mark.parametrize("kind", ["ecdsa", "ed25519", "rsa"])
def test_a_signature_holds_for_its_payload_and_its_key_alone(tmp_path: Path, kind: str) -> None:
    secret, public = make_keys(tmp_path, kind)
    _, other = make_keys(tmp_path, "ecdsa" if kind != "ecdsa" else "ed25519")
    signature = policy.sign(secret, b"pass word" if kind == "rsa" else None, b"payload")
    assert policy.is_signed_by(public, b"payload", signature)
    assert not policy.is_signed_by(public, b"another", signature)
    assert not policy.is_signed_by(other, b"payload", signature)


def test_a_provider_is_locked_only_with_a_signature_by_a_trusted_key(user: User, open_registry: Registry) -> None:
    source = f"{open_registry.host}/signed/dstream-in-count"
    secret, public = make_keys(user.home, "rsa")
    _, other = make_keys(user.home, "ed25519")
    digest = user.publish(f"{source}:v1.0.0", "one")
    trusting(user, source, other, public, pattern=f"{open_registry.host}/signed*")
    unsigned = user.dstream("init")
    assert unsigned.code == 1
    assert "Missing signature" in unsigned.said
    assert not user.lock.exists()
    user.done(
        "providers",
        "sign",
        f"{source}:v1.0.0",
        "-key",
        str(secret),
        DSTREAM_KEY_PASSWORD="pass word",
    )
    assert "signed by key SHA256:" in user.done("init")
    user.done("plan", DSTREAM_OFFLINE="1")
    trusting(user, source, other, pattern="*")
    assert "by other signers or for other content" in " ".join(user.dstream("init").said.split())
    # A signature of other content does not count: here the first version's, moved to the second.
    second = user.publish(f"{source}:v1.0.0", "two")
    _move_signature(open_registry, source, digest, second)
    trusting(user, source, public, pattern="*")
    ended = user.dstream("init", "-upgrade")
    assert ended.code == 1
    assert "Missing signature" in ended.said


def _move_signature(server: Registry, source: str, old: str, new: str) -> None:
    client = RegistryClient(server.host, Transport(Settings()))
    repository = source.removeprefix(f"{server.host}/")
    signature = client.manifest(repository, f"{old.replace(':', '-')}.sig")
    Pusher(client, repository).manifest(signature, f"{new.replace(':', '-')}.sig")


def test_a_trust_block_added_later_holds_for_what_is_locked_already(user: User, open_registry: Registry) -> None:
    source = f"{open_registry.host}/later/dstream-in-count"
    secret, public = make_keys(user.home, "ecdsa")
    user.publish(f"{source}:v1.0.0", "one")
    user.configure(f'provider_ref = "{source}:v1.0.0"')
    user.done("init")
    trusting(user, source, public, pattern="*/later/*")
    ended = user.dstream("plan")
    assert ended.code == 1
    assert "Missing signature" in ended.said
    user.done("providers", "sign", f"{source}:v1.0.0", "-key", str(secret))
    user.done("plan")
    user.done("init")
    trusting(user, source, public, pattern="elsewhere.example/*")  # a block about others asks for nothing here
    user.done("init")


def test_a_key_that_is_exchanged_is_noticed_by_every_command(user: User, open_registry: Registry) -> None:
    source = f"{open_registry.host}/exchanged/dstream-in-count"
    (old_secret, old), (secret, new) = (make_keys(user.home, kind) for kind in ("ecdsa", "ed25519"))
    trusted = user.home / "trusted.pub"
    trusted.write_bytes(old.read_bytes())
    user.publish(f"{source}:v1.0.0", "one")
    user.done("providers", "sign", f"{source}:v1.0.0", "-key", str(old_secret))
    trusting(user, source, trusted, pattern="*")
    user.done("init")
    user.done("apply", "-auto-approve")
    trusted.write_bytes(new.read_bytes())  # the block is the same: its key is not
    for command in (("plan",), ("apply", "-auto-approve"), ("run",), ("run", "-unapplied")):
        ended = user.dstream(*command)
        assert ended.code == 1, command
        assert "Missing signature" in ended.said
        offline = user.dstream(*command, DSTREAM_OFFLINE="1")
        assert offline.code == 1, command
        assert "Signature not verified" in offline.said
    assert "Missing signature" in user.dstream("init").said
    user.done("providers", "sign", f"{source}:v1.0.0", "-key", str(secret))
    user.done("init")
    user.done("plan", DSTREAM_OFFLINE="1")
    trusting(user, source, old, new, pattern="*")  # any of several is enough
    user.done("plan")


@pytest.mark.parametrize("kind", ["ecdsa", "ed25519", "rsa"])
def test_a_fingerprint_is_the_same_with_and_without_the_library(tmp_path: Path, kind: str, monkeypatch) -> None:
    _, public = make_keys(tmp_path, kind)
    quick = policy.fingerprint(public)
    monkeypatch.setattr(policy, "_spki", lambda key: None)
    assert policy.fingerprint(public) == quick


def test_an_identity_that_is_changed_accepts_only_who_fits_it(tmp_path: Path) -> None:
    signer = policy.Signer("", WORKFLOW, ISSUER)
    right = policy.Policy("*", identity="https://github.com/team/*@refs/tags/v*", issuer=ISSUER)
    assert right.accepts(signer)
    assert not right.accepts(replace(signer, issuer=""))  # verified before the block named an issuer
    assert replace(right, issuer="").accepts(signer)
    assert not replace(right, issuer="https://other.example").accepts(signer)
    assert not replace(right, identity="https://github.com/other/*").accepts(signer)
    assert not replace(right, identity="").accepts(signer)
    assert not right.accepts(policy.Signer("SHA256:" + "0" * 32))
    root = tmp_path / "root.json"
    root.write_text("{}")
    rooted = replace(right, trusted_root=root)
    verified = replace(signer, roots=policy.file_fingerprint(root))
    assert rooted.accepts(verified)
    assert replace(rooted, issuer="").accepts(verified)
    assert not rooted.accepts(signer)  # held against the public roots
    assert not right.accepts(verified)
    root.write_text("{ }")
    assert not rooted.accepts(verified)


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        ("https://github.com/team/x@refs/tags/v1.?", "https://github.com/team/x@refs/tags/v1.9"),
        ("https://github.com/tea[mn]/x", "https://github.com/team/x"),
        ("https://github.com/team/x.y", "https://github.com/team/xzy"),
        ("https://github.com/team/*", "https://evil.example/https://github.com/team/x"),
        ("*@team.example", "a@team.example\nb"),
        ("a@team.example", "A@team.example"),
        ("a@team.example", f"a@team.example ({ISSUER})"),
    ],
)
def test_only_a_star_stands_for_other_characters_of_an_identity(identity: str, name: str) -> None:
    found = policy.Policy("*", identity=identity)
    assert found.accepts(policy.Signer("", identity.replace("*", "any/thing")))
    assert not found.accepts(policy.Signer("", name))


@pytest.mark.parametrize("kind", ["ref", "image"])
def test_what_the_state_recorded_needs_the_signature_that_the_configuration_wants_now(
    user: User, kind: str, monkeypatch
) -> None:
    monkeypatch.setenv("DSTREAM_OFFLINE", "1")
    _, public = make_keys(user.home, "ed25519")
    user.folder.mkdir()
    (user.folder / "dstream.hcl").write_text(
        f'dstream {{\n  trust "ghcr.io/team/*" {{\n    keys = ["{public}"]\n  }}\n}}\n'
    )
    config = load(user.folder)
    container = {"network": "none", "volumes": ["./a:/a"]} if kind == "image" else {}
    for name, wanted in (("team", True), ("other", False)):
        form = {"kind": kind, "value": f"ghcr.io/{name}/dstream-resource-x:v1.0.0", "container": container}
        source = source_from_state(ProviderState(source=form, version="1", config={}, role="resource"), config)
        assert bool(source.trusted) == wanted
        refused = "Signature not verified" if wanted else "Provider not locked"
        if kind == "ref":
            (user.folder / ".dstream.lock.hcl").write_text(
                f'provider "{form["value"]}" {{\n  manifest = "sha256:{0:064}"\n  platforms = {{\n  }}\n}}\n'
                if wanted
                else ""
            )
            with pytest.raises(DiagnosticsError, match=refused):
                resolve(source, user.folder, "resource")


def test_a_mirror_has_the_signatures_too(user: User, open_registry: Registry) -> None:
    source = f"{open_registry.host}/mirrored-signed/dstream-in-count"
    secret, public = make_keys(user.home, "ed25519")
    user.publish(f"{source}:v1.0.0", "one")
    user.done("providers", "sign", f"{source}:v1.0.0", "-key", str(secret))
    trusting(user, source, public, pattern="*")
    user.done("init")
    user.done("providers", "mirror", str(user.home / "mirror"))
    shutil.rmtree(user.cache)
    user.lock.unlink()
    settings = user.home / ".dstream" / "config.hcl"
    settings.write_text(f'registry "*" {{\n  mirrors = ["{user.home}/mirror"]\n  only_mirrors = true\n}}\n')
    assert "signed by key" in user.done("init")


def test_a_broken_trust_block_is_an_error(user: User) -> None:
    for inside in ('keys = "x"', "", 'keys = ["a.pub"]\n colour = 1', "keys = [var.x]"):
        head = f'dstream {{\n  trust "*" {{\n    {inside}\n  }}\n}}'
        user.configure('provider_ref = "ghcr.io/x/y:v1"', head=head)
        ended = user.dstream("init")
        assert ended.code == 1
        assert "trust block" in ended.said or "Value expected" in ended.said
    user.configure('provider_ref = "ghcr.io/x/y:v1"', head='dstream {\n  trust "*" {\n    keys = ["none.pub"]\n  }\n}')
    assert "Provider not locked" in user.dstream("plan").said


def statement(digest: str) -> dict[str, object]:
    """What a build says of its outcome."""
    subject = {"name": "count", "digest": {"sha256": digest.removeprefix("sha256:")}}
    return {"_type": "https://in-toto.io/Statement/v1", "subject": [subject], "predicateType": "x", "predicate": {}}


@pytest.mark.parametrize("kind", ["signature", "statement"])
def test_a_sigstore_bundle_counts_if_identity_issuer_roots_and_content_are_right(
    user: User, open_registry: Registry, kind: str
) -> None:
    own, other = Sigstore(), Sigstore()
    roots = {name: each.trusted_root(user.home / f"{name}.json") for name, each in (("own", own), ("other", other))}
    source = f"{open_registry.host}/bundle-{kind}/dstream-in-count"
    repository = source.removeprefix(f"{open_registry.host}/")
    digest = user.publish(f"{source}:v1.0.0", "one")
    client = RegistryClient(open_registry.host, Transport(Settings()))
    subject = client.manifest(repository, digest)

    def bundle(content: bytes, about: str) -> bytes:
        if kind == "signature":
            return own.sign(content, WORKFLOW, ISSUER)
        return own.attest(statement(about), WORKFLOW, ISSUER)

    def init(identity: str, issuer: str = ISSUER, root: str = "own") -> str:
        inside = f'identity = "{identity}"\n    issuer = "{issuer}"\n    trusted_root = "{roots[root]}"'
        head = f'dstream {{\n  trust "*" {{\n    {inside}\n  }}\n}}'
        user.configure(f'provider_ref = "{source}:v1.0.0"', head=head)
        user.lock.unlink(missing_ok=True)
        ended = user.dstream("init")
        assert (ended.code == 0) == user.lock.exists(), ended.said
        return " ".join(ended.said.replace("│", " ").split())

    right = "https://github.com/team/count/*@refs/tags/v*"
    attach(Pusher(client, repository), subject, BUNDLE, bundle(b"another manifest", f"sha256:{'0' * 64}"), "x.json")
    assert "Missing signature" in init(right)  # a bundle of the right signer about other content
    attach(Pusher(client, repository), subject, BUNDLE, bundle(subject.raw, digest), "y.json")
    assert f"signed by {WORKFLOW}" in init(right)
    user.done("plan")
    own_roots = roots["own"].read_bytes()
    roots["own"].write_bytes(roots["other"].read_bytes())  # the block is the same: its roots are not
    assert "Missing signature" in user.dstream("plan").said
    roots["own"].unlink()
    assert "Missing signature" in user.dstream("plan").said
    roots["own"].write_bytes(own_roots)
    user.done("plan")
    assert f"The bundle is signed by {WORKFLOW}" in init("https://github.com/evil/*")
    assert "cannot be verified" in init(right, "https://issuer.example")
    assert "cannot be verified" in init(right, root="other")
    assert user.dstream("plan").code == 1


def test_a_broken_bundle_and_a_missing_root_are_explained(user: User, open_registry: Registry) -> None:
    source = f"{open_registry.host}/bundle-broken/dstream-in-count"
    repository = source.removeprefix(f"{open_registry.host}/")
    digest = user.publish(f"{source}:v1.0.0", "one")
    client = RegistryClient(open_registry.host, Transport(Settings()))
    attach(Pusher(client, repository), client.manifest(repository, digest), BUNDLE, b"{}", "x.json")
    root = Sigstore().trusted_root(user.home / "root.json")
    for path, said in ((root, "cannot be verified"), (user.home / "none.json", "none.json")):
        head = f'dstream {{\n  trust "*" {{\n    identity = "a@b.example"\n    trusted_root = "{path}"\n  }}\n}}'
        user.configure(f'provider_ref = "{source}:v1.0.0"', head=head)
        ended = user.dstream("init")
        assert ended.code == 1
        assert said in ended.said
