"""Freeze: builds a Python provider package with compiled parts into one executable for this platform.

PyInstaller puts the package, what it needs and Python itself into one file (about 12 MB for PostgreSQL), which runs
where there is no Python. It starts a second process from what it has unpacked into the temporary folder; that one is
tied to the first, as the first is to dstream. A file that was built on Linux runs with the glibc of that machine or a
newer one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.metadata import distributions, packages_distributions
from importlib.util import find_spec
from pathlib import Path

from dstream.programs import absolute_path, find_program, python_module
from dstream.registry.errors import RegistryError
from dstream.registry.packaging.single_file import Built, installed, metadata_field, parts_of_folder, program_of

_MAIN = """\
import glob, os, shutil, sys

if sys.platform.startswith("linux"):
    import ctypes

    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL: whoever kills the first process ends this one

with open(os.path.join(sys._MEIPASS, "dstream.pid"), "w") as file:
    file.write(str(os.getppid()))
for path in glob.glob(os.path.join(os.path.dirname(sys._MEIPASS), "_MEI*", "dstream.pid")):
    try:
        with open(path) as file:
            if os.stat(path).st_uid == os.getuid():
                os.kill(int(file.read()), 0)
    except ProcessLookupError:  # it was killed, and could not remove what it had unpacked
        shutil.rmtree(os.path.dirname(path), ignore_errors=True)
    except (OSError, ValueError):
        pass

from {module} import {function}

{function}()
"""


def freeze(package: Path, target: Path, program: str | None = None) -> Built:
    """Build a package's program into the folder `target`; `program` selects one of several.

    Raise RegistryError if PyInstaller is missing or fails, and as `single_file.build`.
    """
    if find_spec("PyInstaller") is None:
        raise RegistryError(
            "PyInstaller not installed",
            "PyInstaller builds the single file of a package with compiled parts. Install it in the environment of "
            f"dstream ({sys.executable}): pip install 'dstream-cli[freeze]'.",
        )
    with tempfile.TemporaryDirectory() as name, installed(package) as site:
        found = list(distributions(path=[str(site)]))
        distribution, (script, reference) = program_of(found, package, program)
        module, _, function = reference.partition(":")
        entry = Path(name, f"{script.replace('-', '_')}_.py")
        entry.write_text(_MAIN.format(module=module, function=function))
        target.mkdir(parents=True, exist_ok=True)
        options = ["--onefile", "--noconfirm", "--log-level", "ERROR", "--name", script, "--paths", str(site)]
        options += ["--distpath", str(target.absolute()), "--workpath", f"{name}/work", "--specpath", name]
        options += ["--collect-submodules", module.partition(".")[0]]  # the SDK imports a provider by its name
        for each in found:
            options += ["--copy-metadata", each.metadata["Name"]]
        # What only this environment has, a library would import if it could.
        for other in sorted({"tkinter", *packages_distributions()} - _top(site)):
            options += ["--exclude-module", other]
        if find_program("strip"):
            options.append("--strip")  # half of Python's library may be about debugging
        done = subprocess.run(
            python_module("PyInstaller", *options, str(entry)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={
                "SOURCE_DATE_EPOCH": "315532800",
                "PYTHONHASHSEED": "1",
                **os.environ,
                "PATH": absolute_path(),
                "PYTHONPATH": str(site),
            },
            check=False,
        )
        if done.returncode:
            output = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
            raise RegistryError("Package freeze failure", f"PyInstaller, for {package}:\n{output}")
        parts, version, summary = parts_of_folder(site), distribution.version, metadata_field(distribution, "Summary")
    return Built(script, version, summary, target / script, parts)


def _top(site: Path) -> set[str]:
    """Return the names of the modules and packages in a folder."""
    return {path.name.partition(".")[0] for path in site.iterdir() if not path.name.endswith(".dist-info")}
