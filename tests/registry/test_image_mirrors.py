"""Engines pull images from mirrors that want a login and speak TLS: not on loopback, where they ask for neither."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry.conftest import User
from tests.registry.test_end_to_end import shown
from tests.registry.test_images import IN, ask, push
from tests.services.containers import EngineMissing, engine, images
from tests.services.registry import Registry, RegistryMissing, own_address, registry


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry with TLS and a login, at an address that is not loopback."""
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback, which engines trust without TLS")
    try:
        with registry(tmp_path_factory.mktemp("mirror"), login=("ada", "s3cret pass"), tls=True, address=address) as it:
            yield it
    except RegistryMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module", params=["docker", "podman"])
def containers(request: pytest.FixtureRequest, guarded: Registry) -> Iterator[dict[str, str]]:
    """Each engine, which trusts the authority of the registry."""
    try:
        with engine(request.param, guarded.environment["SSL_CERT_FILE"]) as found:
            images(found, {IN: ("dstream-in-counter", "dstream_counter")})
            yield found
    except EngineMissing as missing:
        pytest.skip(str(missing))


def words(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def test_an_image_comes_from_a_mirror_that_wants_a_login_over_tls(
    user: User, containers: dict[str, str], guarded: Registry, tmp_path: Path
) -> None:
    user.environment.update(containers)
    user.reaches(guarded)
    package = tmp_path / "package"
    package.mkdir()
    (package / "Containerfile").write_text(f"FROM {IN}\nLABEL made=for-a-guarded-mirror\n")
    with registry(tmp_path / "origin") as origin:
        image = f"{origin.host}/team/counter:v1.0.0"
        ask(containers, "build", "-f", str(package / "Containerfile"), "-t", image, str(package))
        push(containers, image)
        user.configure(f'provider_image = "{image}"\n    container {{\n      network = "none"\n    }}')
        user.done("init")
        user.done("providers", "mirror", f"{guarded.host}/mirror")
    lock = user.lock.read_text()

    def forget() -> None:
        found = ask(containers, "images", "-q", "--no-trunc", "--filter", "label=made=for-a-guarded-mirror").split()
        ask(containers, "rmi", "-f", *dict.fromkeys(found))

    forget()
    settings = user.home / ".dstream" / "config.hcl"
    settings.write_text(f'registry "*" {{\n  mirrors = ["{guarded.host}/mirror"]\n  only_mirrors = true\n}}\n')
    login = user.environment.pop("DOCKER_CONFIG")
    refused = user.dstream("init")
    assert refused.code == 1
    assert "Image pull failure" in refused.said
    assert f"login {guarded.host}" in words(refused.said)
    user.environment["DOCKER_CONFIG"] = login
    user.done("init")
    user.done("apply", "-auto-approve")
    assert shown(user.done("run")) == ["1", "2", "3"]
    assert user.lock.read_text() == lock
    user.lock.unlink()
    forget()
    user.done("init")  # chosen by its tag in the mirror
    assert user.lock.read_text() == lock
    assert "s3cret" not in refused.said + lock


def test_a_mirror_with_a_certificate_of_nobody_known_is_not_pulled_from(
    user: User, containers: dict[str, str], tmp_path: Path
) -> None:
    address = own_address() or ""
    user.environment.update(containers)
    with registry(tmp_path / "other", tls=True, address=address) as other:  # by an authority of its own
        user.configure(f'provider_image = "{other.host}/team/counter:v1.0.0"')
        ended = user.dstream("init")
        assert ended.code == 1
        assert "Image pull failure" in ended.said
        assert "certificate" in ended.said
