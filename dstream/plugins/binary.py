"""ProviderSource, Binary, resolve: which executable a block means, found without ever asking the current folder."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.plugins.digest import digest_of

Role = Literal["input", "output", "resource"]
_PREFIX: dict[str, tuple[str, ...]] = {
    "input": ("dstream-in-",),
    "output": ("dstream-out-",),
    "resource": ("dstream-resource-", "dstream-in-", "dstream-out-"),
}


@dataclass(frozen=True, slots=True)
class ProviderSource:
    """Where a provider comes from, as a block says: a path, a name, a registry reference or a container image."""

    kind: Literal["path", "name", "ref", "image"]
    value: str
    env: tuple[str, ...] = ()
    """Names of environment variables that it may see besides the usual ones."""


@dataclass(frozen=True, slots=True)
class Binary:
    """An executable that can be started: its command line, where it came from, and a digest of its content."""

    argv: tuple[str, ...]
    source: ProviderSource
    digest: str
    folder: str | None = None
    """Where it runs: the configuration's folder, so that relative paths in a provider's settings start there."""

    @property
    def name(self) -> str:
        """What messages call it: the name of the executable."""
        return Path(self.argv[0]).name


def resolve(source: ProviderSource, root: Path, role: Role) -> Binary:
    """Return the executable of `source`; raise DiagnosticsError if there is none.

    A path is relative to `root`, the configuration's folder. A name is looked up beside the running Python, then
    on PATH; empty and relative entries of PATH are passed over, so nothing in the current folder is ever started.
    """
    if not source.value:
        raise DiagnosticsError(error("Provider without a source", f"The {role} names an empty {_argument(source)}."))
    if source.kind == "path":
        return _binary(_at_path(source.value, root), source, root)
    if source.kind == "name":
        return _binary(_by_name(source.value, role), source, root)
    raise DiagnosticsError(_not_local(source))


def _argument(source: ProviderSource) -> str:
    return {"path": "provider_path", "name": "provider", "ref": "provider_ref", "image": "provider_image"}[source.kind]


def _binary(path: Path, source: ProviderSource, root: Path) -> Binary:
    return Binary((str(path),), source, digest_of(path, neighbours=source.kind == "path"), str(root.absolute()))


def _at_path(value: str, root: Path) -> Path:
    path = Path(os.path.normpath(root / Path(value).expanduser())).absolute()
    if path.is_dir():
        raise DiagnosticsError(
            error("Provider is a folder", f"provider_path {value!r} is the folder {path}. Name the executable in it.")
        )
    if not path.exists():
        detail = f"provider_path {value!r} (from the configuration's folder) means {path}, and there is no such file."
        raise DiagnosticsError(error("Provider not found", detail))
    if not os.access(path, os.X_OK):
        raise DiagnosticsError(
            error("Provider is not executable", f"{path} may not be executed. Mend it with: chmod +x {path}")
        )
    return path


def _by_name(name: str, role: Role) -> Path:
    if "/" in name or "\\" in name or name.startswith("."):
        detail = f"provider = {name!r} is a path. A name has no slash; for a path, write provider_path = {name!r}."
        raise DiagnosticsError(error("Provider name is a path", detail))
    folders = [str(Path(sys.executable).parent)]
    folders += [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if Path(entry).is_absolute()]
    executables = [prefix + name for prefix in _PREFIX[role]]
    for executable in executables:
        for folder in folders:
            found = Path(folder, executable)
            if found.is_file() and os.access(found, os.X_OK):
                return found
    detail = (
        f"provider = {name!r} as {role} means the executable {' or '.join(executables)}, which is neither beside "
        f"{sys.executable} nor on PATH. Install it, mend the name, or use provider_path for a file of your own."
    )
    raise DiagnosticsError(error("Provider not found", detail))


def _not_local(source: ProviderSource) -> Diagnostic:
    if source.kind == "ref":
        what = "A provider from a registry cannot be fetched by this version."
        how = "Download it yourself and name the file with provider_path"
    else:
        what = "A provider in a container image cannot be started by this version."
        how = "Start it from a script of your own (docker run -i --rm IMAGE) and name that with provider_path"
    detail = f'{_argument(source)} = "{source.value}": {what} {how}, or install it and use provider = "NAME".'
    return error("Provider source not supported", detail)
