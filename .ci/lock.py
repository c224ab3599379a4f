"""Renew requirements.lock: every third-party package that the environment needs, pinned and hashed, for all platforms.

The input is the dependencies of the root and of each provider, and the root's group `dev`; our own packages are
left out, since .ci/setup.sh installs them from this folder. What is in the root's group `azure` is large and only
needed by the tests: it has requirements-azure.lock for itself, with the same versions of what both need. The demo
has requirements-demo.lock, a part of requirements.lock. The group
`audit` has requirements-audit.lock, for an environment of its own. Needs the program `uv` on the PATH or in .venv
(`.venv/bin/python -m pip install uv`); only those who change dependencies need it.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO_PROVIDERS = ("console", "counter", "jsonl", "postgres", "sdk")
"""The packages that .ci/setup.sh installs for the demo."""


def group(root: Path, name: str) -> set[str]:
    """The requirements of a group of the root."""
    return set(tomllib.loads((root / "pyproject.toml").read_text())["dependency-groups"][name])


def requirements(root: Path) -> set[str]:
    """The direct third-party requirements of all packages of the project, but for the large ones."""
    packages = [tomllib.loads(path.read_text()) for path in metadata_files(root)]
    ours = {package["project"]["name"] for package in packages}
    wanted = set(packages[0].get("dependency-groups", {}).get("dev", []))
    for package in packages:
        project = package["project"]
        wanted |= {*project.get("dependencies", []), *package["build-system"]["requires"]}
        for extra in project.get("optional-dependencies", {}).values():
            wanted |= set(extra)
    left_out = ours | {requirement_name(one) for one in group(root, "azure")}
    return {one for one in wanted if requirement_name(one) not in left_out}


def demo_requirements(root: Path) -> set[str]:
    """The direct third-party requirements of the demo: of the engine, of its providers, and of the group `demo`."""
    packages = [root / "pyproject.toml", *(root / f"providers/{name}/pyproject.toml" for name in DEMO_PROVIDERS)]
    projects = [tomllib.loads(path.read_text())["project"] for path in packages]
    ours = {project["name"] for project in projects}
    wanted = {each for project in projects for each in project.get("dependencies", [])} | group(root, "demo")
    return {one for one in wanted if requirement_name(one) not in ours}


def metadata_files(root: Path) -> list[Path]:
    """The pyproject.toml files: the root's first, then the providers'."""
    return [root / "pyproject.toml", *sorted(root.glob("providers/*/pyproject.toml"))]


def requirement_name(requirement: str) -> str:
    """The package's name in the spelling that the index uses."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]).lower()


def compile_lock(uv: str, wanted: set[str], target: str, *options: str) -> int:
    """Write one lock file; return uv's exit code."""
    command = [uv, "pip", "compile", "-", "--universal", "--generate-hashes", "--python-version", "3.11"]
    command += ["--no-annotate", "--no-header", "--no-emit-index-url", "--quiet", *options, "--output-file", target]
    return subprocess.run(command, input="\n".join(sorted(wanted)), text=True, cwd=ROOT, check=False).returncode


def main() -> int:
    """Write the lock files; the exit code is uv's."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        print("make lock needs uv: .venv/bin/python -m pip install uv", file=sys.stderr)
        return 1
    return (
        compile_lock(uv, requirements(ROOT), "requirements.lock", *sys.argv[1:])
        or compile_lock(uv, demo_requirements(ROOT), "requirements-demo.lock", "-c", "requirements.lock")
        or compile_lock(uv, group(ROOT, "azure"), "requirements-azure.lock", "-c", "requirements.lock")
        or compile_lock(uv, group(ROOT, "audit"), "requirements-audit.lock", *sys.argv[1:])
    )


if __name__ == "__main__":
    sys.exit(main())
