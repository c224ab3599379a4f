"""Releases: a version means one content, the same content has one digest, and other tools' artifacts are read."""

import json
from pathlib import Path

import pytest

from dstream.registry.errors import RegistryError
from dstream.registry.oci.artifact import read_artifact
from dstream.registry.oci.client import RegistryClient
from dstream.registry.oci.content import Descriptor, digest_of, make_manifest
from dstream.registry.oci.push import EMPTY, Pusher
from dstream.registry.oci.transport import Transport
from dstream.registry.packaging.publish import publish
from dstream.registry.packaging.single_file import created, sbom
from dstream.registry.platforms import Platform
from dstream.registry.settings import Settings
from tests.registry.conftest import HERE, User, counting
from tests.services.registry import Registry

LINUX, MAC = Platform("linux", "amd64"), Platform("darwin", "arm64")
TAR = "application/vnd.oci.image.layer.v1.tar"


@pytest.fixture
def pusher(open_registry: Registry, request: pytest.FixtureRequest) -> Pusher:
    client = RegistryClient(open_registry.host, Transport(Settings()))
    return Pusher(client, f"releases-{abs(hash(request.node.name))}/dstream-in-count")


def files(folder: Path, text: str) -> dict[Platform, Path]:
    for name in ("one", "two"):
        (folder / name).write_text(f"{text} {name}")
    return {MAC: folder / "two", LINUX: folder / "one"}


@pytest.mark.parametrize("layout", ["index", "files"])
def test_a_released_version_is_not_replaced_and_other_tags_move(pusher: Pusher, tmp_path: Path, layout: str) -> None:
    first = publish(pusher, files(tmp_path, "a"), ("v1.0.0", "latest"), {"x": "1", "a": "2"}, layout=layout)
    again = publish(pusher, files(tmp_path, "a"), ("v1.0.0", "latest"), {"a": "2", "x": "1"}, layout=layout)
    assert again.digest == first.digest
    for tags in (("v1.0.0",), ("latest", "v1.0.0"), ("1.0.0", "v1.0.0")):
        with pytest.raises(RegistryError, match="Released version exists"):
            publish(pusher, files(tmp_path, "b"), tags, {}, layout=layout)
    assert pusher.digest_of("v1.0.0") == pusher.digest_of("latest") == first.digest
    assert pusher.digest_of("1.0.0") is None, "either all tags are written, or none"
    moved = publish(pusher, files(tmp_path, "b"), ("latest",), {}, layout=layout)
    assert pusher.digest_of("latest") == moved.digest
    forced = publish(pusher, files(tmp_path, "b"), ("v1.0.0",), {}, layout=layout, force=True)
    assert pusher.digest_of("v1.0.0") == forced.digest != first.digest


def test_the_same_content_has_the_same_digest_and_one_list_of_parts(
    user: User, open_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = user.home / "program"
    program.write_text(counting("one"))
    source = f"{open_registry.host}/same/dstream-in-count"
    command = ("providers", "publish", f"{source}:v1.0.0", "-binary", f"{HERE}={program}", "-tag", "latest")
    said = [user.done(*command) for _ in range(2)]
    assert said[0] == said[1]
    client = RegistryClient(open_registry.host, Transport(Settings()))
    digest = client.manifest("same/dstream-in-count", "v1.0.0").digest
    assert len(client.referrers("same/dstream-in-count", digest)) == 1
    program.write_text(counting("two"))
    refused = user.dstream(*command)
    assert refused.code == 1 and "Released version exists" in refused.said
    assert client.manifest("same/dstream-in-count", "latest").digest == digest
    user.done(*command, "-force")
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert created() is None
    assert json.loads(sbom("x", "1", (), {}))["creationInfo"]["created"] == "1980-01-01T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert created() == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("launch", ["constraint", "tag"])
def test_an_upgrade_without_a_registry_fails_and_changes_nothing(
    user: User, open_registry: Registry, launch: str
) -> None:
    """The cache has what is locked, and the tags that were there: neither says what is newest."""
    source = f"{open_registry.host}/upgrade-{launch}/dstream-in-count"
    user.publish(f"{source}:v1.0.0", "one", "-tag", "latest")
    if launch == "constraint":
        user.require(source, "~> 1.0")
    else:
        user.configure(f'provider_ref = "{source}:latest"')
    user.done("init")
    before = user.lock.read_text()
    ended = user.dstream("init", "-upgrade", DSTREAM_OFFLINE="1")
    assert ended.code == 1, ended.said
    assert "Offline" in ended.said
    assert user.lock.read_text() == before
    user.done("init", DSTREAM_OFFLINE="1")
    # The same from a registry that does not answer.
    config = user.folder / "dstream.hcl"
    for path in (user.lock, config):
        path.write_text(path.read_text().replace(open_registry.host, "127.0.0.1:1"))
    before = user.lock.read_text()
    ended = user.dstream("init", "-upgrade")
    assert ended.code == 1, ended.said
    assert "Registry unreachable" in ended.said
    assert user.lock.read_text() == before


def layer(pusher: Pusher, title: str, text: str, media_type: str = TAR, **annotations: str) -> Descriptor:
    found = pusher.blob(text.encode())
    return Descriptor(media_type, found.digest, found.size, {"org.opencontainers.image.title": title, **annotations})


def oras(pusher: Pusher, *layers: Descriptor, tag: str = "v1.0.0") -> str:
    """Push what `oras push REF FILE...` does: files as they are, of the type of a tar, and an empty configuration."""
    pusher.blob(b"{}", EMPTY.media_type)
    form = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.unknown.artifact.v1",
        "config": {**EMPTY.to_json(), "data": "e30="},
        "layers": [each.to_json() for each in layers],
        "annotations": {"org.opencontainers.image.created": "2026-01-01T00:00:00Z"},
    }
    return pusher.manifest(make_manifest(form), tag).digest


def test_what_oras_pushes_is_a_provider(user: User, open_registry: Registry, pusher: Pusher) -> None:
    text = counting("oras")
    oras(pusher, layer(pusher, HERE.filename, text), layer(pusher, "dist/plugin.plan9_mips", "other"))
    user.configure(f'provider_ref = "{pusher.place}:v1.0.0"')
    user.done("init")
    assert digest_of(text.encode()) in user.lock.read_text() and "plan9_mips" in user.lock.read_text()
    assert "1" in user.done("run", "-unapplied")


def test_what_is_packed_or_ambiguous_is_none(pusher: Pusher) -> None:
    folder = {"io.deis.oras.content.unpack": "true"}
    client = pusher._client
    for number, (layers, said) in enumerate((
        ([layer(pusher, "plugin.linux_amd64", "x", f"{TAR}+gzip", **folder)], "Artifact without a provider"),
        ([layer(pusher, "plugin.linux_amd64", "x", f"{TAR}+gzip")], "Artifact without a provider"),
        ([layer(pusher, "plugin.linux_amd64", "x", TAR, **folder)], "Artifact without a provider"),
        ([layer(pusher, "program", "x")], "Artifact without a provider"),
        ([layer(pusher, "plugin.linux_amd64", "x"), layer(pusher, "a/plugin.linux_amd64", "y")], "Malformed manifest"),
    )):  # fmt: skip
        repository = pusher.place.partition("/")[2]
        manifest = client.manifest(repository, oras(pusher, *layers, tag=f"t{number}"))
        with pytest.raises(RegistryError, match=said):
            read_artifact(client, repository, manifest)
