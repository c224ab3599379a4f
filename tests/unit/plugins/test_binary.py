"""Which executable a block means, and when its digest changes."""

import os
import sys
from pathlib import Path

import pytest

from dstream.diagnostics import DiagnosticsError
from dstream.plugins import ProviderSource, resolve


def refused(source, root, role="input"):
    with pytest.raises(DiagnosticsError) as problem:
        resolve(source, root, role)
    (diagnostic,) = problem.value.diagnostics
    return diagnostic


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_path_starts_from_the_configuration_and_not_from_the_current_folder(tmp_path, monkeypatch):
    executable(tmp_path / "config" / "bin" / "p")
    executable(tmp_path / "elsewhere" / "bin" / "p")
    monkeypatch.chdir(tmp_path / "elsewhere")
    binary = resolve(ProviderSource("path", "./bin/p"), tmp_path / "config", "input")
    assert binary.argv == (str(tmp_path / "config" / "bin" / "p"),)


def test_a_name_is_found_on_path_and_never_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    executable(tmp_path / "dstream-in-surely-not-installed")
    monkeypatch.setenv("PATH", f":.:{tmp_path / 'bin'}")
    assert refused(ProviderSource("name", "surely-not-installed"), tmp_path).summary == "Provider not found"
    executable(tmp_path / "bin" / "dstream-in-surely-not-installed")
    found = resolve(ProviderSource("name", "surely-not-installed"), tmp_path, "input")
    assert found.argv == (str(tmp_path / "bin" / "dstream-in-surely-not-installed"),)


def test_resources_may_come_with_a_data_provider(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    executable(tmp_path / "dstream-out-thing-of-mine")
    assert resolve(ProviderSource("name", "thing-of-mine"), tmp_path, "resource").name == "dstream-out-thing-of-mine"
    executable(tmp_path / "dstream-resource-thing-of-mine")
    found = resolve(ProviderSource("name", "thing-of-mine"), tmp_path, "resource")
    assert found.name == "dstream-resource-thing-of-mine"


@pytest.mark.parametrize("role", ["input", "output", "resource"])
def test_a_name_with_the_prefix_of_an_executable_is_explained_without_doubling_it(tmp_path, monkeypatch, role):
    monkeypatch.setenv("PATH", str(tmp_path))
    source = ProviderSource("name", f"dstream-{'in' if role == 'input' else 'resource'}-thing-of-mine")
    for there in (False, True):
        prefix = {"input": "dstream-in-", "output": "dstream-out-", "resource": "dstream-resource-"}[role]
        if there:
            executable(tmp_path / f"{prefix}thing-of-mine")
        problem = refused(source, tmp_path, role)
        assert problem.summary == "Provider not found"
        assert "Write provider = 'thing-of-mine'" in problem.detail
        assert f"{prefix}thing-of-mine" in problem.detail
        assert "-dstream-" not in problem.detail
        assert ("which is not installed" in problem.detail) != there


@pytest.mark.parametrize(
    ("source", "summary"),
    [
        (ProviderSource("path", "missing"), "Provider not found"),
        (ProviderSource("path", "folder"), "Provider path to a folder"),
        (ProviderSource("path", "plain"), "Provider not executable"),
        (ProviderSource("path", ""), "Provider without a source"),
        (ProviderSource("name", "./here"), "Path as a provider name"),
        (ProviderSource("ref", "ghcr.io/x/y:v1"), "Provider not locked"),
    ],
)
def test_what_cannot_be_started_is_explained(tmp_path, source, summary):
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("")
    found = refused(source, tmp_path)
    assert found.summary == summary
    assert len(found.detail) > 20


def test_the_digest_of_a_program_is_that_of_its_content(tmp_path):
    one, two = tmp_path / "a" / "p", tmp_path / "b" / "p"
    for path in (one, two):
        executable(path, "\x7fELF same content")
    digests = {resolve(ProviderSource("path", str(path)), tmp_path, "input").digest for path in (one, two)}
    assert len(digests) == 1
    two.write_text("\x7fELF other content")
    digests.add(resolve(ProviderSource("path", str(two)), tmp_path, "input").digest)
    assert len(digests) == 2


def test_the_digest_of_a_console_script_covers_the_package_that_it_imports(tmp_path, monkeypatch):
    from dstream.plugins import digest

    site = tmp_path / "env" / "lib" / "python3.11" / "site-packages"
    package = tmp_path / "checkout" / "some_provider"
    package.mkdir(parents=True)
    site.mkdir(parents=True)
    (package / "__init__.py").write_text("A = 1\n")
    (site / "editable.pth").write_text(f"{package.parent}\n")
    stub = f"#!{tmp_path}/env/bin/python\nimport sys\nfrom some_provider.cli import main\nsys.exit(main())\n"
    script = executable(tmp_path / "env" / "bin" / "dstream-in-x", stub)

    def now():
        digest._search_path.cache_clear()
        digest._tree.cache_clear()
        return digest.digest_of(script)

    before = now()
    assert now() == before
    (package / "__init__.py").write_text("A = 2\n")
    after = now()
    assert after != before
    os.utime(package / "__init__.py", (1, 1))
    assert now() == after, "times say nothing about what a package does"


def test_the_digest_of_a_script_covers_its_neighbours(tmp_path):
    script = executable(tmp_path / "p", "#!/bin/sh\nexec ./really\n")
    source = ProviderSource("path", str(script))
    before = resolve(source, tmp_path, "input").digest
    assert resolve(source, tmp_path, "input").digest == before
    (tmp_path / "really").write_text("something")
    assert resolve(source, tmp_path, "input").digest != before


def test_installed_providers_are_found_beside_python(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = resolve(ProviderSource("name", "counter"), tmp_path, "input")
    assert Path(found.argv[0]).parent == Path(sys.executable).parent
