"""Providers travel through a real registry: published, chosen, locked, checked, run offline and from mirrors."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.registry.conftest import ELSEWHERE, HERE, User
from tests.services.registry import Registry

TEAM = "team/dstream-in-count"


def source_for(server: Registry, test: str) -> str:
    """A repository of one test alone: registries are shared."""
    return f"{server.host}/{test}/{TEAM}"


def shown(said: str) -> list[str]:
    return re.findall(r'"value": (\d+)', said)


def locked(user: User, name: str) -> str:
    match = re.search(rf'^ +{name} += "([^"]*)"', user.lock.read_text(), re.MULTILINE)
    return match[1] if match else ""


def test_two_versions_for_two_platforms_are_chosen_by_tag_constraint_and_digest(user: User, server: Registry) -> None:
    source = source_for(server, "chosen")
    one = user.publish(f"{source}:v1.0.0", "one", "-layout", "index")
    two = user.publish(f"{source}:v1.1.0", "two", "-layout", "files", "-tag", "latest")
    user.publish(f"{source}:v2.0.0-beta.1", "three")
    assert one != two
    choices = {
        f'provider_ref = "{source}:v1.0.0"': ("1.0.0", one),
        f'provider_ref = "{source}:latest"': ("1.1.0", two),
        f'provider_ref = "{source}@{one}"': ("1.0.0", one),
        f'provider_ref = "{source}"': ("1.1.0", two),
    }
    for launch, (version, digest) in choices.items():
        user.lock.unlink(missing_ok=True)
        user.configure(launch)
        user.done("init")
        assert (locked(user, "version"), locked(user, "manifest")) == (version, digest), launch
        assert {str(HERE), ELSEWHERE} <= set(re.findall(r"^    (\w+_\w+) +=", user.lock.read_text(), re.MULTILINE))
    for constraint, version in {"~> 1.0": "1.1.0", "~> 1.0.0": "1.0.0", "= 2.0.0-beta.1": "2.0.0-beta.1"}.items():
        user.lock.unlink(missing_ok=True)
        user.require(source, constraint)
        assert f"{source}: {version} (locked)" in user.done("init")
    user.require(source, "~> 3.0")
    ended = user.dstream("init", "-upgrade")
    assert ended.code == 1
    assert "No matching version" in ended.said
    assert "v1.0.0, v1.1.0, v2.0.0-beta.1" in " ".join(ended.said.split())


def test_what_is_locked_is_planned_applied_and_run(user: User, server: Registry) -> None:
    source = source_for(server, "run")
    user.publish(f"{source}:v1.0.0", "one")
    user.require(source, ">= 1")
    refused = user.dstream("plan")
    assert refused.code == 1
    assert "Provider not locked" in refused.said
    assert not user.cached()
    user.done("init")
    assert locked(user, "name") == "counter"  # what the provider says of itself
    user.done("apply", "-auto-approve")
    assert shown(user.done("run")) == ["1", "2", "3"]
    user.publish(f"{source}:v1.2.0", "two")
    assert f"{source}: 1.0.0 (unchanged)" in user.done("init")
    assert f"{source}: 1.2.0 (was 1.0.0)" in user.done("init", "-upgrade")
    listed = user.done("providers", "list", "-locked", "-cached")
    assert re.search(rf"locked +counter +1\.2\.0 +input +2 +{re.escape(source)}", listed)
    assert f"{source}:v1.0.0" in listed


def test_lint_knows_a_provider_by_the_lock_file_and_fetches_nothing(user: User, open_registry: Registry) -> None:
    source = source_for(open_registry, "linted")
    user.publish(f"{source}:v1.0.0", "one")
    user.configure(f'provider_ref = "{source}:v1.0.0"')
    user.done("init")
    shutil.rmtree(user.cache)
    assert "Valid" in user.done("lint")
    path = user.folder / "dstream.hcl"
    path.write_text(path.read_text().replace("max_count", "max_cuont"))
    wrong = user.dstream("lint")
    assert wrong.code == 1
    assert "max_cuont" in wrong.said
    assert not user.cache.exists()
    assert user.dstream("lint", "-run-providers").code == 1
    assert user.cached()


def test_a_blob_that_was_changed_on_the_registrys_disk_is_refused(user: User, open_registry: Registry) -> None:
    source = source_for(open_registry, "tampered")
    user.publish(f"{source}:v1.0.0", "good")
    user.configure(f'provider_ref = "{source}:v1.0.0"')
    user.done("init")
    blob = open_registry.blob(locked(user, str(HERE)))
    good = blob.read_bytes()
    evil = user.home / "evil"
    blob.write_bytes(good.replace(b"# good", f"touch {evil}\n#".encode()))
    shutil.rmtree(user.cache)
    blob.write_bytes(good.replace(b"# good", b"# evil"))
    same_size = user.dstream("plan")
    assert same_size.code == 1
    assert "Digest mismatch" in same_size.said
    blob.write_bytes(good + b"\ntouch " + str(evil).encode())
    longer = user.dstream("plan")
    assert longer.code == 1
    assert "mismatch" in longer.said
    blob.write_bytes(good[:-10])
    shorter = user.dstream("plan")
    assert shorter.code == 1
    assert not evil.exists()
    assert not [path for path in user.cached() if "partial" in path.name and path.read_bytes() != good[:-10]]
    blob.write_bytes(good)
    user.done("plan")


def test_a_manifest_that_was_changed_on_the_registrys_disk_is_refused(user: User, open_registry: Registry) -> None:
    source = source_for(open_registry, "manifest")
    digest = user.publish(f"{source}:v1.0.0", "good")
    user.configure(f'provider_ref = "{source}:v1.0.0"')
    path = open_registry.blob(digest)
    good = path.read_bytes()
    path.write_bytes(good.replace(b"v1", b"v2", 1) if b"v1" in good else good[:-1] + b" }")
    ended = user.dstream("init")
    assert ended.code == 1
    assert not user.lock.exists()
    path.write_bytes(good)
    user.done("init")


def test_a_moved_tag_is_explained_and_taken_over_only_on_request(user: User, server: Registry) -> None:
    source = source_for(server, "moved")
    first = user.publish(f"{source}:v1.0.0", "first")
    user.configure(f'provider_ref = "{source}:v1.0.0"')
    user.done("init")
    second = user.publish(f"{source}:v1.0.0", "second")
    for arguments in (("init",), ("providers", "lock"), ("init", "-lockfile=readonly")):
        ended = user.dstream(*arguments)
        assert ended.code == 1
        assert "Changed provider version" in ended.said
        assert first in "".join(ended.said.split()).replace("│", "")
    assert user.dstream("plan").code == 0  # what was locked goes on being used
    user.done("init", "-upgrade")
    assert locked(user, "manifest") == second


def test_a_readonly_lock_file_is_never_written(user: User, open_registry: Registry) -> None:
    source = source_for(open_registry, "readonly")
    user.publish(f"{source}:v1.0.0", "one")
    user.configure(f'provider_ref = "{source}:v1.0.0"')
    ended = user.dstream("init", "-lockfile=readonly")
    assert ended.code == 1
    assert "Outdated lock file" in ended.said
    assert not user.lock.exists()
    user.done("providers", "lock")
    before = user.lock.read_text()
    user.done("init", "-lockfile=readonly")
    user.publish(f"{source}:v1.1.0", "two")
    user.configure(f'provider_ref = "{source}:v1.1.0"')
    assert user.dstream("init", "-lockfile=readonly").code == 1
    assert user.lock.read_text() == before
    user.done("init")
    assert f"{source}:v1.0.0" not in user.lock.read_text()  # what is no longer used goes


def test_the_lock_file_decides_what_is_executed(user: User, open_registry: Registry) -> None:
    source = source_for(open_registry, "edited")
    user.publish(f"{source}:v1.0.0", "one")
    user.configure(f'provider_ref = "{source}:v1.0.0"')
    user.done("init")
    digest = locked(user, str(HERE))
    user.lock.write_text(user.lock.read_text().replace(digest, f"sha256:{'0' * 64}"))
    ended = user.dstream("plan")
    assert ended.code == 1
    assert "Provider mismatch with the lock file" in ended.said
    assert "Lock file conflict" in user.dstream("init").said
    user.lock.write_text("provider {")
    damaged = user.dstream("plan")
    assert damaged.code == 1
    assert ".dstream.lock.hcl" in damaged.said


def test_a_cached_provider_that_was_changed_is_not_executed(user: User, open_registry: Registry) -> None:
    source = source_for(open_registry, "cache")
    user.publish(f"{source}:v1.0.0", "one")
    user.configure(f'provider_ref = "{source}:v1.0.0"')
    user.done("init")
    path = user.cache / "blobs" / "sha256" / locked(user, str(HERE)).removeprefix("sha256:")
    evil = user.home / "evil"
    path.write_text(f"#!/bin/sh\ntouch {evil}\n")
    ended = user.dstream("plan")
    assert ended.code == 1
    assert "Modified provider in cache" in ended.said
    assert not evil.exists()
    user.done("init")
    user.done("plan")


def test_offline_the_cache_serves(user: User, open_registry: Registry) -> None:
    source = source_for(open_registry, "offline")
    user.publish(f"{source}:v1.0.0", "one")
    user.publish(f"{source}:v1.1.0", "two")
    user.require(source, "~> 1.0")
    user.done("init")
    user.done("providers", "pull", f"{source}:v1.0.0")
    offline = {"DSTREAM_OFFLINE": "1"}
    user.done("apply", "-auto-approve", **offline)
    assert shown(user.done("run", **offline)) == ["1", "2", "3"]
    user.done("init", **offline)
    user.lock.unlink()
    user.done("init", **offline)  # chosen among what the cache has
    assert locked(user, "version") == "1.1.0"
    user.configure(f'provider_ref = "{source}:v9.9.9"')
    ended = user.dstream("init", **offline)
    assert ended.code == 1
    assert "DSTREAM_OFFLINE" in ended.said


@pytest.mark.parametrize("kind", ["folder", "registry"])
def test_a_mirror_serves_instead_of_the_registry(
    user: User, guarded_registry: Registry, open_registry: Registry, kind: str
) -> None:
    source = source_for(guarded_registry, f"mirrored-{kind}")
    user.reaches(guarded_registry)
    user.publish(f"{source}:v1.0.0", "one")
    user.require(source, "~> 1.0")
    user.done("init")
    lock = user.lock.read_text()
    mirror = str(user.home / "mirror") if kind == "folder" else f"{open_registry.host}/mirror/{{registry}}"
    user.done("providers", "mirror", mirror)
    shutil.rmtree(user.cache)
    # Without the login and the authority, only the mirror can answer.
    alone = User(user.home, {key: user.environment[key] for key in ("HOME", "DSTREAM_CACHE_DIR")})
    settings = user.home / ".dstream" / "config.hcl"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(f'registry "*" {{\n  mirrors = ["{mirror}"]\n  only_mirrors = true\n}}\n')
    alone.done("init", "-lockfile=readonly")
    alone.done("apply", "-auto-approve")
    assert shown(alone.done("run")) == ["1", "2", "3"]
    assert user.lock.read_text() == lock
    if kind == "folder":
        blob = next(Path(mirror).rglob(f"blobs/sha256/{locked(user, str(HERE)).removeprefix('sha256:')}"))
        blob.write_bytes(blob.read_bytes().replace(b"# one", b"# two"))
        shutil.rmtree(user.cache)
        ended = alone.dstream("plan")
        assert ended.code == 1
        assert "Digest mismatch" in ended.said


@pytest.mark.parametrize("kind", ["folder", "registry"])
def test_an_upgrade_asks_the_registry_before_a_mirror_that_may_be_old(
    user: User, open_registry: Registry, guarded_registry: Registry, kind: str
) -> None:
    source = source_for(open_registry, f"stale-{kind}")
    user.reaches(guarded_registry)
    old = user.publish(f"{source}:v1.0.0", "old", "-tag", "latest")
    user.require(source, "~> 1.0")
    user.done("init")
    mirror = str(user.home / "mirror") if kind == "folder" else f"{guarded_registry.host}/stale"
    user.done("providers", "mirror", mirror)
    settings = user.home / ".dstream" / "config.hcl"
    settings.parent.mkdir(exist_ok=True)

    def mirrored(only: str) -> None:
        settings.write_text(f'registry "*" {{\n  mirrors = ["{mirror}"]\n  only_mirrors = {only}\n}}\n')

    mirrored("false")
    user.publish(f"{source}:v1.1.0", "new")
    user.lock.unlink()
    user.done("init")
    assert locked(user, "version") == "1.0.0"  # as the mirror has it
    user.done("init", "-upgrade")
    assert locked(user, "version") == "1.1.0"
    user.done("init")
    mirrored("true")
    assert "was 1.1.0" in user.done("init", "-upgrade")
    # The same with a tag that was moved.
    user.configure(f'provider_ref = "{source}:v1.0.0"')
    mirrored("false")
    user.done("init")
    assert locked(user, "manifest") == old
    moved = user.publish(f"{source}:v1.0.0", "moved")
    user.done("init")
    user.done("init", "-upgrade")
    assert locked(user, "manifest") == moved
    user.done("init")  # what the mirror still says is no reason to complain
    mirrored("true")
    assert "Changed provider version" in user.dstream("init").said
    user.done("init", "-upgrade")
    assert locked(user, "manifest") == old


def test_a_registry_that_wants_a_login_says_so(user: User, guarded_registry: Registry) -> None:
    reference = f"{source_for(guarded_registry, 'login')}:v1.0.0"
    user.environment.update(guarded_registry.environment)
    ended = user.dstream("providers", "pull", reference)
    assert ended.code == 1
    assert f"docker login {guarded_registry.host}" in " ".join(ended.said.split()).replace(" │", "")
    host = guarded_registry.host.replace(".", "_").replace(":", "_")
    wrong = user.dstream("providers", "pull", reference, **{f"DSTREAM_AUTH_{host}": "ada:wrong"})
    assert "Registry access denied" in wrong.said
    right = user.dstream("providers", "pull", reference, **{f"DSTREAM_AUTH_{host}": "ada:s3cret pass"})
    assert "does not exist" in right.said
    for ended in (wrong, right):
        assert "s3cret" not in ended.said


def test_a_certificate_of_nobody_known_is_refused(user: User, guarded_registry: Registry) -> None:
    host = guarded_registry.host
    for env in ({}, {"DSTREAM_INSECURE_REGISTRIES": host}):
        ended = user.dstream("providers", "pull", f"{host}/x/y:v1.0.0", **env)
        assert ended.code == 1
        assert f"The certificate of {host} is not trusted" in " ".join(ended.said.split()).replace(" │", "")


def test_a_published_artifact_has_annotations_and_a_list_of_parts(user: User, server: Registry, monkeypatch) -> None:
    from dstream.registry.oci.client import RegistryClient
    from dstream.registry.oci.transport import Transport
    from dstream.registry.settings import Settings

    source = source_for(server, "about")
    digest = user.publish(f"{source}:v1.0.0", "one", "-annotation", "org.opencontainers.image.source=https://a.example")
    for name, value in user.environment.items():
        monkeypatch.setenv(name, value)
    client = RegistryClient(server.host, Transport(Settings()))
    repository = source.removeprefix(f"{server.host}/")
    annotations = client.manifest(repository, "v1.0.0").annotations
    assert annotations["org.opencontainers.image.version"] == "1.0.0"
    assert annotations["org.opencontainers.image.source"] == "https://a.example"
    (about,) = client.referrers(repository, digest)
    assert about.artifact_type == "application/spdx+json"
    parts = client.manifest(repository, about.digest)
    assert b'"spdxVersion": "SPDX-2.3"' in client.blob_bytes(repository, parts.descriptors("layers")[0])


def test_the_cache_is_pruned_of_what_is_neither_locked_nor_used(user: User, open_registry: Registry) -> None:
    source = source_for(open_registry, "pruned")
    user.publish(f"{source}:v1.0.0", "one")
    user.publish(f"{source}:v1.1.0", "two")
    user.done("providers", "pull", f"{source}:v1.0.0")
    user.configure(f'provider_ref = "{source}:v1.1.0"')
    user.done("init")
    unfinished = user.cached()[0].with_name(f"{'0' * 64}.partial")
    unfinished.write_bytes(b"half")
    before = len(user.cached())
    user.done("providers", "prune", "-unused-for", "30")
    assert len(user.cached()) == before
    user.done("providers", "prune", "-unused-for", "0", "-dry-run")
    assert len(user.cached()) == before
    user.done("providers", "prune", "-unused-for", "0")
    assert 0 < len(user.cached()) < before
    assert not unfinished.exists()
    user.done("plan", DSTREAM_OFFLINE="1")


def test_a_registry_is_searched_by_its_catalogue(user: User, server: Registry) -> None:
    source = source_for(server, "searched")
    user.publish(f"{source}:v1.0.0", "one")
    user.publish(f"{source}:v1.1.0", "two")
    said = user.done("providers", "search", "searched", "-registry", server.host, "-versions")
    assert re.search(rf"{re.escape(source)} +v1\.0\.0, v1\.1\.0", said)
