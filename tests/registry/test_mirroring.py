"""Images are copied whole: every platform, layer and signature, byte for byte, and nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from dstream.registry.errors import NotThere, RegistryError, Tampered
from dstream.registry.lockfile.installer import Installer
from dstream.registry.lockfile.lock_file import LockedImage
from dstream.registry.mirror import FolderTarget, mirror_image, target_of
from dstream.registry.oci.cache import Cache
from dstream.registry.oci.client import RegistryClient
from dstream.registry.oci.content import OCI_MANIFEST, Descriptor, Manifest, make_manifest
from dstream.registry.oci.image_names import image_reference, references_of
from dstream.registry.oci.layout_folder import Folder
from dstream.registry.oci.push import Pusher, index_of
from dstream.registry.oci.transport import Transport
from dstream.registry.packaging.publish import attach
from dstream.registry.platforms import Platform
from dstream.registry.settings import RegistrySettings, Settings
from tests.services.registry import Registry

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def image(pusher: Pusher, name: str, *more: Descriptor) -> Manifest:
    config = pusher.blob(f'{{"made":"{name}"}}'.encode(), "application/vnd.oci.image.config.v1+json")
    layers = [pusher.blob(f"layer {name} {number}".encode(), LAYER) for number in range(2)]
    form = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config.to_json()}
    made = make_manifest({**form, "layers": [each.to_json() for each in (*layers, *more)]})
    pusher.manifest(made)
    return made


def pushed(server: Registry, repository: str) -> tuple[LockedImage, list[Manifest]]:
    """An index of two platforms and what a build says of one, signed; and its parts."""
    pusher = Pusher(RegistryClient(server.host, Transport(Settings())), repository)
    parts = [image(pusher, each) for each in ("amd64", "arm64", "about")]
    forms = [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64"},
        {"os": "unknown", "architecture": "unknown"},
    ]
    index = index_of([replace(m.descriptor, platform=form) for m, form in zip(parts, forms, strict=True)])
    pusher.manifest(index, "v1")
    attach(pusher, index, "application/x-about", b"said of it", "about.txt")
    return LockedImage(f"{server.host}/{repository}:v1", index.digest), parts


def blobs(manifest: Manifest) -> list[Descriptor]:
    config = manifest.one("config")
    return [*([config] if config else []), *manifest.descriptors("layers")]


def installer(folder: Path, settings: Settings | None = None) -> Installer:
    return Installer(settings or Settings(), Cache(folder / "cache"))


@pytest.mark.parametrize("kind", ["folder", "registry"])
def test_an_image_is_copied_with_all_that_it_is_made_of_and_what_refers_to_it(
    tmp_path: Path, open_registry: Registry, kind: str
) -> None:
    locked, parts = pushed(open_registry, f"copied-{kind}/box")
    mirror = str(tmp_path / "mirror") if kind == "folder" else f"{open_registry.host}/copies/{{registry}}"
    transport = Transport(Settings())
    target = target_of(mirror, image_reference(locked.source), transport)
    assert mirror_image(installer(tmp_path), locked, target).digest == locked.digest
    assert not list((tmp_path / "cache").glob("mirror-*"))  # layers are no providers: the cache does not keep them
    # Only the mirror may answer now.
    only = Settings({"*": RegistrySettings((mirror,), only_mirrors=True)})
    source = installer(tmp_path / "again", only).source(open_registry.host)
    repository = f"copied-{kind}/box"
    assert source.manifest(repository, "v1").digest == locked.digest
    for part in parts:
        assert source.manifest(repository, part.digest).raw == part.raw
        assert all(source.blob_bytes(repository, each) for each in blobs(part))
    (about,) = source.referrers(repository, locked.digest)
    (layer,) = source.manifest(repository, about.digest).descriptors("layers")
    assert source.blob_bytes(repository, layer) == b"said of it"


def test_a_folder_may_have_the_image_of_one_platform_only(tmp_path: Path, open_registry: Registry) -> None:
    locked, (amd64, arm64, about) = pushed(open_registry, "partial/box")
    target = FolderTarget(tmp_path / "mirror", image_reference(locked.source))
    mirror_image(installer(tmp_path), locked, target, [Platform("linux", "arm64")])
    folder = Folder(tmp_path / "mirror", open_registry.host)
    assert folder.manifest("partial/box", "v1").digest == locked.digest
    for part in (arm64, about):
        assert all(folder.blob_bytes("partial/box", each) for each in blobs(part))
    with pytest.raises(NotThere):
        folder.manifest("partial/box", amd64.digest)


def test_a_mirror_is_given_what_it_does_not_have_and_what_is_damaged_there(
    tmp_path: Path, open_registry: Registry
) -> None:
    locked, (amd64, *_) = pushed(open_registry, "twice/box")
    target = FolderTarget(tmp_path / "mirror", image_reference(locked.source))
    fetched: list[str] = []
    here = installer(tmp_path)
    here.report = lambda what, done, size: fetched.append(what) if done == size else None
    mirror_image(here, locked, target)
    assert len(fetched) == 9  # three images with a configuration and two layers
    fetched.clear()
    mirror_image(here, locked, target)
    assert fetched == []
    layer = amd64.descriptors("layers")[1]
    path = Folder(tmp_path / "mirror", open_registry.host).path_for("twice/box", layer.digest)
    path.write_bytes(b"damaged")
    mirror_image(here, locked, target)
    assert fetched == [locked.source]
    assert path.read_bytes() == b"layer amd64 1"


def test_a_layer_that_is_not_what_its_digest_says_reaches_no_mirror(tmp_path: Path, open_registry: Registry) -> None:
    repository = "evil/box"
    pusher = Pusher(RegistryClient(open_registry.host, Transport(Settings())), repository)
    layer = pusher.blob(b"only in this test: good", LAYER)
    made = image(pusher, "evil", layer)
    open_registry.blob(layer.digest).write_bytes(b"only in this test: evil")
    target = FolderTarget(tmp_path / "mirror", image_reference(f"{open_registry.host}/{repository}"))
    with pytest.raises(Tampered):
        mirror_image(installer(tmp_path), LockedImage(f"{open_registry.host}/{repository}", made.digest), target)
    mirrored = [path.read_bytes() for path in (tmp_path / "mirror").rglob("*") if path.is_file()]
    assert not any(b"evil" in each and b"only in this test" in each for each in mirrored)


def test_an_image_is_looked_for_in_mirrors_first_and_in_no_folder() -> None:
    def places(picture: str, *mirrors: str, only: bool = False) -> tuple[str, ...]:
        return references_of(picture, Settings({"*": RegistrySettings(mirrors, only)}))

    assert places("ghcr.io/team/x:v1") == ("ghcr.io/team/x",)
    assert places("ghcr.io/team/x:v1", "/srv/mirror", "m.example:5000/{registry}") == (
        "m.example:5000/ghcr.io/team/x",
        "ghcr.io/team/x",
    )
    assert places(f"r.example:5000/x@sha256:{0:064}", "oci://m.example/a/{registry}/", only=True) == (
        "m.example/a/r.example_5000/x",
    )
    assert places("x:v1", "m.example") == ("m.example/library/x", "x")
    with pytest.raises(RegistryError, match="Image not available from mirrors"):
        places("ghcr.io/team/x:v1", "/srv/mirror", only=True)
