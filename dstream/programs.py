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


def leave_out_current_folder() -> None:
    """Drop the entries of PATH and PYTHONPATH that mean the current folder, for this process and all that it starts.

    Libraries and providers look for programs, too: a login for Azure starts `az`, and a provider that is a Python file
    starts `python3`. The folder that dstream itself was imported from stays.
    """
    if "PATH" in os.environ:
        os.environ["PATH"] = absolute_path()
    entries = os.environ.pop("PYTHONPATH", "").split(os.pathsep)
    kept = [entry for entry in entries if Path(entry).is_absolute()]
    if kept:
        os.environ["PYTHONPATH"] = os.pathsep.join(kept)
    if kept != entries and entries != [""]:
        source = Path(__file__).parents[1]
        relative = {Path.cwd() / entry for entry in entries if entry not in kept} - {source}
        sys.path[:] = [entry for entry in sys.path if Path.cwd() / entry not in relative]


def find_program(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the path of a program: `name` itself if it is an absolute path, otherwise the first one on PATH."""
    if os.sep in name and not Path(name).is_absolute():
        return None
    import shutil

    return shutil.which(name, path=absolute_path(environment))


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command that runs an installed module with this Python, whatever the current folder holds."""
    return [sys.executable, "-P", "-m", module, *arguments]
