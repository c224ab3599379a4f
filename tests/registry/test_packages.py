"""A provider package outside the tree: built against the SDK's wheel, held against the kit, published and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.e2e.commands import ROOT, dstream
from tests.events import until
from tests.registry.conftest import ELSEWHERE, HERE, User
from tests.services.registry import Registry

BUILD = ("--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet")


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the SDK's wheel."""
    folder = tmp_path_factory.mktemp("wheels")
    pip("wheel", *BUILD, "--wheel-dir", folder, ROOT / "providers" / "sdk")
    assert list(folder.glob("dstream_sdk-*.whl"))
    return folder


def test_a_package_outside_the_tree_builds_against_the_sdks_wheel_and_passes_the_kit(
    tmp_path: Path, wheels: Path
) -> None:
    made = dstream(tmp_path, "providers", "new", "far-away", "-kind", "in")
    assert made.code == 0, made.said
    pip("wheel", *BUILD, "--wheel-dir", tmp_path, tmp_path / "dstream-in-far-away")
    venv.create(tmp_path / "fresh", symlinks=True)
    python = tmp_path / "fresh" / "bin" / "python"
    pip(
        "--python", python, "install", "--no-index", "--find-links", wheels, *tmp_path.glob("dstream_in_far_away-*.whl")
    )
    program = tmp_path / "fresh" / "bin" / "dstream-in-far-away"
    tested = dstream(tmp_path, "providers", "test", str(program), timeout=280)
    assert tested.code == 0, tested.said
    assert re.search(r"[1-9]\d* passed, 0 failed", tested.said)


def test_a_package_is_published_as_one_file_that_runs_from_the_registry(
    user: User, open_registry: Registry, wheels: Path
) -> None:
    user.done("providers", "new", "packed", "-kind", "in")
    source = f"{open_registry.host}/packed/dstream-in-packed"
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_NO_BUILD_ISOLATION": "0"}
    said = user.done("providers", "publish", source, "dstream-in-packed", **offline)
    assert f"{source}:v0.1.0" in said
    digest = re.search(r"sha256:\w+", said)
    assert digest is not None
    again = user.done("providers", "publish", source, "dstream-in-packed", **offline)
    assert digest[0] in again  # the same source makes the same bytes
    user.configure(f'provider_ref = "{source}:v0.1.0"', count=0)
    path = user.folder / "dstream.hcl"
    path.write_text(path.read_text().replace("interval = 0", "count = 2").replace("max_count = 0", ""))
    user.done("init")
    assert re.findall(r'"n": (\d+)', user.done("run", "-unapplied")) == ["1", "2"]
    listed = user.done("providers", "search", "packed", "-registry", open_registry.host, "-json")
    assert source in listed


def test_what_cannot_be_packed_is_explained(user: User, open_registry: Registry, wheels: Path) -> None:
    reference = f"{open_registry.host}/x/y:v1.0.0"
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_NO_BUILD_ISOLATION": "0"}
    user.done("providers", "new", "odd", "-kind", "in")
    project = user.folder / "dstream-in-odd" / "pyproject.toml"
    good = project.read_text()
    native = user.folder / "dstream-in-odd" / "dstream_in_odd" / "fast.so"
    native.write_bytes(b"\x7fELF")
    compiled = user.dstream("providers", "publish", reference, "dstream-in-odd", **offline)
    assert compiled.code == 1
    assert "Compiled parts in a package" in compiled.said
    native.unlink()
    project.write_text(good.replace("dstream-in-odd = ", "something = "))
    assert "Not a provider package" in user.dstream("providers", "publish", reference, "dstream-in-odd", **offline).said
    project.write_text(good.replace('dependencies = ["dstream-sdk"]', 'dependencies = ["no-such-thing-at-all"]'))
    missing = user.dstream("providers", "publish", reference, "dstream-in-odd", **offline)
    assert "Package installation failure" in missing.said
    assert "no-such-thing-at-all" in missing.said
    assert user.dstream("providers", "publish", reference, "nowhere").code == 1
    assert user.dstream("providers", "publish", reference).code != 0
    assert user.dstream("providers", "publish", reference, "-binary", "linux_amd64=none").code != 0


def wheel_of(name: str, folder: Path) -> None:
    """Make a wheel of a distribution that is installed here, compiled parts and all."""
    from importlib.metadata import distribution

    found = distribution(name)
    tag = re.search(r"^Tag: (\S+)$", found.read_text("WHEEL") or "", re.MULTILINE)
    assert tag is not None and found.files is not None
    stem = f"{found.metadata['Name'].replace('-', '_')}-{found.version}"
    with zipfile.ZipFile(folder / f"{stem}-{tag[1]}.whl", "w") as archive:
        for file in found.files:
            if (
                ".." not in file.parts
                and "__pycache__" not in file.parts
                and file.name not in ("INSTALLER", "REQUESTED")
            ):
                archive.write(file.locate(), str(file))


@pytest.mark.timeout(600)
def test_a_package_with_compiled_parts_is_frozen_into_one_file_that_runs_without_python_and_ends_with_its_starter(
    user: User, open_registry: Registry, wheels: Path, tmp_path: Path
) -> None:
    for name in ("psycopg2-binary", "orjson", "msgspec"):
        wheel_of(name, wheels)
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_NO_BUILD_ISOLATION": "0"}
    source = f"{open_registry.host}/frozen/dstream-in-postgres"
    package = str(ROOT / "providers" / "postgres")
    refused = user.dstream("providers", "publish", source, package, "-program", "dstream-in-postgres", **offline)
    assert "-freeze" in " ".join(refused.said.split())
    other = user.home / "other"
    other.write_text("for another platform")
    options = ("-program", "dstream-in-postgres", "-freeze", "-binary", f"{ELSEWHERE}={other}")
    said = user.done("providers", "publish", source, package, *options, **offline)
    assert {str(HERE), ELSEWHERE} <= set(said.split())
    reference = re.search(rf"{re.escape(source)}:\S+", said)
    assert reference is not None
    pulled = user.done("providers", "pull", reference[0])
    cached = re.search(r"cached as (\S+)", pulled)
    assert cached is not None
    program = user.home / "dstream-in-postgres"
    program.write_bytes(Path(cached[1]).read_bytes())
    program.chmod(0o755)
    # No Python, no PATH, no home.
    probe = subprocess.run(
        [program],
        env={"DSTREAM_PROBE": "1", "PATH": "/none"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=280,
    )
    assert b'"name":"postgres"' in probe.stdout.replace(b" ", b""), probe.stderr
    tested = user.dstream("providers", "test", str(program), PATH="/usr/bin:/bin")
    assert tested.code == 0, tested.said
    assert re.search(r"[1-9]\d* passed, 0 failed", tested.said)
    check_that_it_ends_with_its_starter(program, tmp_path / "scratch")


def check_that_it_ends_with_its_starter(program: Path, scratch: Path) -> None:
    scratch.mkdir()
    env = {**os.environ, "TMPDIR": str(scratch)}
    process = subprocess.Popen(
        [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=env
    )

    def running() -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                pid, _, rest = path.read_text().partition(" (")
                state, _, group = rest.rpartition(") ")[2].split(" ")[:3]
            except OSError:
                continue
            if int(group) == process.pid and state != "Z":
                found.append(int(pid))
        return found

    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(
        b'{"command":"serve","protocol":2,"role":"resource","config":'
        b'{"connection_string":"postgresql://nowhere/none","tables":["t"]}}\n'
    )
    process.stdin.flush()
    assert b"ready" in process.stdout.readline()
    assert len(running()) == 2
    process.kill()
    process.wait(60)
    until(lambda: not running(), "both processes to end")
    assert len(list(scratch.iterdir())) == 1  # nobody was left to remove what it had unpacked, but the next one does
    probe = subprocess.run([program], env={**env, "DSTREAM_PROBE": "1"}, stdin=subprocess.DEVNULL, timeout=280)
    assert probe.returncode == 0
    assert list(scratch.iterdir()) == []
