"""References, versions, platforms, credentials, settings and the lock file: what is taken and what is refused."""

from __future__ import annotations

import base64
import json
import unicodedata
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dstream.config.syntax.parser import parse_text
from dstream.diagnostics import DiagnosticsError
from dstream.registry.errors import RegistryError
from dstream.registry.hcl_literal import literal, written
from dstream.registry.index import BUNDLED, load_index, parse_index, search
from dstream.registry.lockfile.lock_file import Locked, LockedImage, LockFile, read_lock, write_lock
from dstream.registry.lockfile.version_constraints import newest, parse_constraint, parse_version, versions_of
from dstream.registry.oci.credentials import Credentials, find_credentials
from dstream.registry.oci.image_names import image_reference
from dstream.registry.oci.reference import parse_reference
from dstream.registry.platforms import Platform, parse_platform, platform_of_file
from dstream.registry.settings import Settings, load_settings

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    "text",
    ["ghcr.io/team/x:v1.0.0", f"localhost:5000/x@{DIGEST}", f"[::1]:5000/a/b_c/d-e:t@{DIGEST}", "r.example/x"],
)
def test_references_are_read_and_written(text: str) -> None:
    assert str(parse_reference(text)) == text
    assert parse_reference(f"oci://{text}") == parse_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "team/x:v1",
        "ghcr.io/X",
        "ghcr.io/x:",
        "ghcr.io/x@sha256:1",
        "https://ghcr.io/x",
        "ghcr.io//x",
        "",
        "a.b/x:t y",
    ],
)
def test_what_is_no_reference_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(RegistryError, match="Invalid reference"):
        parse_reference(text)


@pytest.mark.parametrize(
    ("constraint", "chosen"),
    [
        ("", "v2.0.0"),
        ("~> 1.2", "1.10.0"),
        ("~> 1.2.0", "v1.2.3"),
        ("~> 1", "1.10.0"),
        ("1.2.3", "v1.2.3"),
        (">= 1, < 2, != 1.10.0", "v1.2.3"),
        ("<= 1.2", None),
        ("~> 3.0.0-beta.1", "v3.0.0-beta.10"),
        (">= 3.0.0-beta.2, < 3.0.0-beta.10", "v3.0.0-beta.2"),
        ("> 3", None),
    ],
)
def test_the_newest_version_that_a_constraint_allows_is_chosen(constraint: str, chosen: str | None) -> None:
    tags = [
        "v1.2.3",
        "1.10.0",
        "v2.0.0",
        "v3.0.0-beta.2",
        "v3.0.0-beta.10",
        "latest",
        "1",
        "v2.1",
        "sha256-abc",
        "v9.9.9-",
    ]
    found = newest(tags, parse_constraint(constraint))
    assert (found.tag if found else None) == chosen


def test_versions_are_ordered_as_semver_says() -> None:
    ordered = [
        "1.0.0-1",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
    ]
    assert [each.tag for each in versions_of(reversed(ordered))] == ordered
    assert parse_version("v1.2.3+build") == parse_version("1.2.3")
    assert parse_version("1.2.x") is None


@pytest.mark.parametrize("text", ["~1.2", "latest", ">= x", "1.2.3.4", "=> 1"])
def test_what_is_no_constraint_is_refused(text: str) -> None:
    with pytest.raises(RegistryError, match="Invalid version constraint"):
        parse_constraint(text)


def test_platforms_are_read_from_names() -> None:
    assert platform_of_file("plugin.linux_amd64") == Platform("linux", "amd64")
    assert platform_of_file("plugin.windows_amd64.exe") == Platform("windows", "amd64")
    assert platform_of_file("plugin.linux_x86_64") is None or platform_of_file("README.md") is None
    assert parse_platform("linux/aarch64") == Platform("linux", "arm64")
    assert Platform("windows", "arm64").filename == "plugin.windows_arm64.exe"
    with pytest.raises(RegistryError):
        parse_platform("linux")


def _config(folder: Path, form: object) -> dict[str, str]:
    (folder / "docker").mkdir(exist_ok=True)
    (folder / "docker" / "config.json").write_text(form if isinstance(form, str) else json.dumps(form))
    return {"DOCKER_CONFIG": str(folder / "docker"), "HOME": str(folder), "PATH": str(folder)}


def _helper(folder: Path, name: str, answer: str, code: int = 0) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\nread host\necho '{answer}'\nexit {code}\n")
    program.chmod(0o755)


@pytest.mark.processes
def test_credentials_come_from_dockers_configuration_its_helpers_and_the_environment(tmp_path: Path) -> None:
    auth = base64.b64encode(b"ada:pa:ss").decode()
    plain = _config(tmp_path, {"auths": {"https://a.example": {"auth": auth}}})
    assert find_credentials("a.example", plain) == Credentials("ada", "pa:ss")
    assert find_credentials("b.example", plain) is None
    hub = _config(tmp_path, {"auths": {"https://index.docker.io/v1/": {"auth": auth}}})
    assert find_credentials("registry-1.docker.io", hub) == Credentials("ada", "pa:ss")
    _helper(tmp_path, "one", '{"Username":"bob","Secret":"s"}')
    _helper(tmp_path, "token", '{"Username":"<token>","Secret":"t"}')
    _helper(tmp_path, "none", "credentials not found in native keychain", 1)
    helped = _config(tmp_path, {"credHelpers": {"a.example": "one", "t.example": "token"}, "credsStore": "none"})
    assert find_credentials("a.example", helped) == Credentials("bob", "s")
    assert find_credentials("t.example", helped) == Credentials("", "", "t")
    assert find_credentials("c.example", helped) is None
    given = {
        **helped,
        "DSTREAM_AUTH_a_example": "eve:x",
        "DOCKER_AUTH_CONFIG": json.dumps({"auths": {"d.example": {"auth": auth}}}),
    }
    assert find_credentials("a.example", given) == Credentials("eve", "x")
    assert find_credentials("d.example", given) == Credentials("ada", "pa:ss")
    assert "pa:ss" not in repr(find_credentials("d.example", given))


@pytest.mark.processes
@pytest.mark.parametrize(
    "form",
    [
        "{",
        "[]",
        {"auths": {"a.example": {"auth": "%%%"}}},
        {"credHelpers": {"a.example": "missing"}},
        {"credsStore": "bad"},
    ],
)
def test_broken_credentials_are_explained(tmp_path: Path, form: object) -> None:
    _helper(tmp_path, "bad", "no json")
    with pytest.raises(RegistryError, match="redential"):
        find_credentials("a.example", _config(tmp_path, form))


def test_settings_come_from_a_file_and_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "config.hcl"
    path.write_text('index = "i.json"\nregistry "a.example" {\n  mirrors = ["m1"]\n  only_mirrors = true\n}\n')
    env = {
        "DSTREAM_CONFIG_FILE": str(path),
        "DSTREAM_REGISTRY_MIRROR": "m0",
        "DSTREAM_INSECURE_REGISTRIES": "b.example, c",
    }
    found = load_settings(env)
    assert found.of("a.example").mirrors == ("m0", "m1")
    assert found.of("a.example").only_mirrors
    assert found.of("other").mirrors == ("m0",)
    assert (found.insecure("b.example"), found.insecure("c"), found.insecure("a.example")) == (True, True, False)
    assert (found.index, found.offline) == ("i.json", False)
    for text in ("x = 1\n", 'registry "a" {\n  mirrors = "x"\n}\n', "block {\n}\n", "registry {", "index = upper(1)\n"):
        path.write_text(text)
        with pytest.raises(DiagnosticsError):
            load_settings(env)
    with pytest.raises(RegistryError, match="Settings not found"):
        load_settings({"DSTREAM_CONFIG_FILE": str(tmp_path / "none")})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text() | st.just(Decimal("0.25")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def normal(value: object) -> object:
    """A value as HCL has it: each text, and each name of an object, in Unicode's normal form C."""
    match value:
        case str():
            return unicodedata.normalize("NFC", value)
        case list():
            return [normal(each) for each in value]
        case dict():
            return {unicodedata.normalize("NFC", name): normal(each) for name, each in value.items()}
        case _:
            return value


@settings(deadline=None)
@given(json_values)
@example({"e\u0301": "A\u030a\u2126", "\u212b": ["\u0958"]})
def test_values_are_read_as_they_were_written(value: object) -> None:
    parsed = parse_text(f"x = {written(value)}\n", "x.hcl")
    assert not parsed.diagnostics
    assert literal(parsed.body.attributes["x"].expr) == normal(value)


def test_a_lock_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_lock(tmp_path) == LockFile()
    assert not write_lock(tmp_path, LockFile())
    probe = {
        "protocol": 2,
        "schema": {"config": {"default": '${x} %{y} {{z}} "\n', "n": Decimal("1.5"), "a b": [1, {"c": None}]}},
    }
    lock = LockFile().with_provider(
        Locked("r.example/x", DIGEST, {"linux_amd64": DIGEST}, "1.0.0", "v1.0.0", "~> 1", "", probe)
    )
    lock = lock.with_image(LockedImage("r.example/i:v1", DIGEST, "key SHA256:0"))
    assert write_lock(tmp_path, lock)
    assert not write_lock(tmp_path, lock)
    assert read_lock(tmp_path) == lock


@pytest.mark.parametrize(
    "text", ['provider "x" {\n}\n', 'other "x" {\n}\n', 'provider "x" {\n  manifest = 1\n}\n', "provider", "\xff"]
)
def test_a_damaged_lock_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / ".dstream.lock.hcl").write_text(text, "latin-1")
    with pytest.raises(DiagnosticsError):
        read_lock(tmp_path)


def test_the_index_that_comes_along_is_right_and_can_be_searched() -> None:
    entries = load_index(Settings())
    assert {each.tier for each in search(entries, ["counter"])} == {"official"}
    assert [each.name for each in search(entries, ["COUNTER", "demos"])] == ["dstream/counter"]
    assert all("output" in each.kinds for each in search(entries, [], "output"))
    assert search(entries, ["no", "such"]) == []
    raw = json.loads(BUNDLED.read_text())
    for change in (
        {"name": "x"},
        {"tier": "great"},
        {"kinds": []},
        {"kinds": ["thing"]},
        {"description": ""},
        {"source": "x"},
    ):
        broken = {**raw, "providers": [{**raw["providers"][0], **change}]}
        with pytest.raises(RegistryError):
            parse_index(json.dumps(broken).encode(), "index")


@pytest.mark.parametrize(
    "name",
    ["x:v1", "library/x:v1", "docker.io/x:v1", "docker.io/library/x:v1", "index.docker.io/x:v1", "Docker.io/x:v1"],
)
def test_all_names_of_an_image_have_one_reference(name: str) -> None:
    """Otherwise a trust block for one of them would not apply to another."""
    assert str(image_reference(name)) == "docker.io/library/x:v1"
    assert str(image_reference("docker.io/team/x")) == str(image_reference("team/x")) == "docker.io/team/x"
    assert str(image_reference("localhost/x")) == "localhost/x"
