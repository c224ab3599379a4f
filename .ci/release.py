"""What a release is made of: wheels, single files, checksums, notes. One version, from `dstream/__init__.py`, for all.

    python .ci/release.py build        wheels of engine, SDK and providers, one file for each pure provider, to dist/
    python .ci/release.py freeze       one file with Python in it for each other program, for this machine's platform
    python .ci/release.py checksums    dist/SHA256SUMS
    python .ci/release.py notes        dist/NOTES.md: the changelog's newest part
    python .ci/release.py publish      the single files to REGISTRY, an OCI registry, under TAG
    python .ci/release.py images       images of SDK and provider with ENGINE; with PUSH=1 for two platforms to REGISTRY

TAG, if it is set, has to be the version: v1.2.3, or v1.2.3-beta.1 for 1.2.3b1.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
PLATFORMS = "linux/amd64,linux/arm64"


def version() -> str:
    """Return the version, as Python writes it."""
    match = re.search(r'__version__ = "([^"]+)"', (ROOT / "dstream" / "__init__.py").read_text())
    return match[1] if match else ""


def tag() -> str:
    """Return the tag of this version; exit if TAG says another one."""
    match = re.fullmatch(r"(\d+\.\d+\.\d+)(?:(a|b|rc)(\d+))?", version())
    if match is None:
        sys.exit(f"the version {version()} is neither a release nor a pre-release")
    words = {"a": "alpha", "b": "beta", "rc": "rc"}
    found = f"v{match[1]}" + (f"-{words[match[2]]}.{match[3]}" if match[2] else "")
    wanted = os.environ.get("TAG", found)
    if wanted != found:
        sys.exit(
            f"the tag {wanted} is not the version {version()} (tag {found}): change dstream/__init__.py, or the tag"
        )
    return found


def build() -> None:
    """Build everything that is shipped as a file."""
    tag()
    DIST.mkdir(exist_ok=True)
    for old in DIST.iterdir():
        if old.is_file():
            old.unlink()
    projects = [ROOT, *sorted(path.parent for path in (ROOT / "providers").glob("*/pyproject.toml"))]
    for project in projects:
        kinds = [] if project == ROOT else ["-t", "wheel"]  # only the root has all that an sdist needs
        run([sys.executable, "-m", "hatchling", "build", "-d", str(DIST), *kinds], project)
    sys.path.insert(0, str(ROOT))
    from dstream.registry.packaging.single_file import build as build_file

    os.environ.update(PIP_FIND_LINKS=str(DIST), PIP_NO_BUILD_ISOLATION="0", PIP_NO_INDEX="1")
    for name in single_files():
        for program in programs(name):
            print(build_file(ROOT / "providers" / name, DIST, program).path.relative_to(ROOT))


def freeze() -> None:
    """Build one file for each program with compiled parts, named after this machine's platform, to dist/.

    Providers of Pulumi's types are left out: what their programs import is known when they run.
    """
    sys.path.insert(0, str(ROOT))
    from dstream.registry.packaging.freeze import freeze as freeze_file
    from dstream.registry.platforms import this_platform

    os.environ["PIP_FIND_LINKS"] = f"{DIST} {os.environ.get('PIP_FIND_LINKS', '')}".strip()
    for name in compiled():
        for program in programs(name):
            made = freeze_file(ROOT / "providers" / name, DIST, program).path
            print(made.rename(made.with_name(f"{program}-{this_platform()}")).relative_to(ROOT))


def compiled() -> list[str]:
    """Return the providers that need more than the SDK, but for those that are about Pulumi's plugins."""
    others = (path.parent.name for path in (ROOT / "providers").glob("*/pyproject.toml"))
    return sorted(name for name in others if name not in ("sdk", "pulumi", *single_files()))


def single_files() -> list[str]:
    """Return the providers that need nothing but the SDK: one file of them runs wherever Python does."""
    found = sorted(path.parent.name for path in (ROOT / "providers").glob("*/pyproject.toml"))
    return [name for name in found if project(name)["dependencies"] == ["dstream-sdk"]]


def programs(name: str) -> list[str]:
    """Return the providers in a package; its other programs, such as a check of a server, are no providers."""
    kinds = ("dstream-in-", "dstream-out-", "dstream-resource-")
    return sorted(each for each in project(name)["scripts"] if each.startswith(kinds))


def project(name: str) -> dict[str, Any]:
    """Return what the metadata of a package in `providers` says."""
    import tomllib

    form = tomllib.loads((ROOT / "providers" / name / "pyproject.toml").read_text())
    return dict(form["project"])


def checksums() -> None:
    """Write the digests of all files, as `sha256sum -c` reads them."""
    files = sorted(path for path in DIST.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (DIST / "SHA256SUMS").write_text("".join(lines))


def notes() -> None:
    """Write the newest part of the changelog, and the fragments in changelog.d that are not in it yet."""
    text = (ROOT / "CHANGELOG.md").read_text()
    parts = re.split(r"^## ", text, flags=re.MULTILINE)
    newest = parts[1].split("\n", 1)[1].strip() if len(parts) > 1 else ""
    paths = sorted(path for path in (ROOT / "changelog.d").glob("*.md") if path.name != "README.md")
    fragments = [path.read_text().strip() for path in paths]
    DIST.mkdir(exist_ok=True)
    (DIST / "NOTES.md").write_text("\n\n".join([newest, *fragments]).strip() + "\n")


def publish() -> None:
    """Push the single files as artifacts for every platform that has Python."""
    registry = os.environ.get("REGISTRY") or sys.exit("REGISTRY is not set")
    platforms = ("linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64")
    for name in single_files():
        for program in programs(name):
            binaries = [word for platform in platforms for word in ("-binary", f"{platform}={DIST / program}")]
            reference = f"{registry}/{program}:{tag()}"
            run([str(Path(sys.executable).parent / "dstream"), "providers", "publish", reference, *binaries])


def images() -> None:
    """Build an image for each program, tagged dev; with PUSH=1 for several platforms, pushed as this version."""
    engine, registry, push = (os.environ.get(name) for name in ("ENGINE", "REGISTRY", "PUSH"))
    engine = engine or "docker"
    for name in sorted(path.parent.name for path in (ROOT / "providers").glob("*/Containerfile")):
        for program in programs(name):
            image = f"{registry or 'localhost'}/{program}-image:{tag() if push else 'dev'}"
            words = ["-f", f"providers/{name}/Containerfile", "--build-arg", f"PROGRAM={program}", "-t", image]
            if push:
                more = ["--platform", PLATFORMS, "--push", "--provenance=true", "--sbom=true"]
                run([engine, "buildx", "build", *more, *words, "."])
            else:
                run([engine, "build", *words, "."])


def run(command: list[str], folder: Path = ROOT) -> None:
    """Run a command; exit as it does if it fails."""
    done = subprocess.run(command, cwd=folder, check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    targets = {each.__name__: each for each in (build, freeze, checksums, notes, publish, images)}
    if len(sys.argv) != 2 or sys.argv[1] not in targets:
        sys.exit(f"usage: python .ci/release.py {'|'.join(targets)}")
    targets[sys.argv[1]]()
