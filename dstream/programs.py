"""Programs: how other programs of this machine are found and started, so that none is taken from the current folder.

A repository that is checked out may hold a `click.py` or a `docker`. An empty or relative entry of PATH means the
current folder, and `python -m` puts it in front of the installed packages: both are left out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def absolute_path(environment: Mapping[str, str] = os.environ) -> str:
    """Return PATH without its empty and relative entries."""
    entries = environment.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(entry for entry in entries if Path(entry).is_absolute())


def find_program(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the path of a program: `name` itself if it is an absolute path, otherwise the first one on PATH."""
    if os.sep in name and not Path(name).is_absolute():
        return None
    import shutil

    return shutil.which(name, path=absolute_path(environment))


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command that runs an installed module with this Python, whatever the current folder holds."""
    return [sys.executable, "-P", "-m", module, *arguments]
