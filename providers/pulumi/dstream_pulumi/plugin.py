"""Plugin: the name and version of a provider plugin, and the search for its executable.

A plugin in the lock file of the configuration is the one that `dstream providers pull` installed, and it is verified
(`locked.py`). For any other plugin, the executable `pulumi-resource-NAME` is searched on PATH, then where `dstream
providers pull` and Pulumi's CLI install plugins: `$PULUMI_HOME/plugins/resource-NAME-vVERSION/`
(https://www.pulumi.com/docs/iac/concepts/plugins/).
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from dstream_pulumi.locked import locked_versions, require_content
from dstream_sdk import InvalidError


@dataclass(frozen=True, slots=True)
class Plugin:
    """A provider plugin, such as `azure-native` 3.29.0. Without a version: the one on PATH, or the newest."""

    name: str
    version: str = ""
    path: str = ""
    """The path of the executable; it is not searched then."""

    @property
    def executable(self) -> str:
        """The name of the executable."""
        return f"pulumi-resource-{self.name}"

    def find(self, home: str = "") -> Path:
        """Return the executable. Raises InvalidError, which names the searched folders. `home` is PULUMI_HOME."""
        if (self.path or home) and os.environ.get("DSTREAM_UNTRUSTED"):
            name = "path" if self.path else "pulumi_home"
            detail = f"The configuration is not trusted, so {name} starts nothing. Only plugins on PATH do."
            raise InvalidError("Plugin not allowed", detail, path=f"config.{name}")
        if self.path:
            given = Path(self.path).expanduser()
            if given.is_file() and os.access(given, os.X_OK):
                return given.absolute()
            raise InvalidError("Plugin not found", f"{given} is not an executable file.", path="config.path")
        plugins, locked = plugin_home(home) / "plugins", locked_versions(self.name)
        version = self.version or (next(iter(locked)) if len(locked) == 1 else "")
        if version in locked:
            folder = plugins / f"resource-{self.name}-v{version}"
            if not (folder / self.executable).is_file():
                raise self._missing(folder, f"{self.name}@{version}")
            require_content(f"{self.name}@{version}", folder, locked[version])
            return folder / self.executable
        folders = [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if Path(entry).is_absolute()]
        found = shutil.which(self.executable, path=os.pathsep.join(folders))
        if found:
            return Path(found)
        candidates = (
            [plugins / f"resource-{self.name}-v{self.version}"] if self.version else _newest(plugins, self.name)
        )
        for folder in candidates:
            if (folder / self.executable).is_file():
                return folder / self.executable
        reference = f"{self.name}@{self.version}" if self.version else self.name
        raise self._missing(candidates[0] if candidates else plugins, reference, "neither on PATH nor ")

    def _missing(self, where: Path, reference: str, looked: str = "not ") -> InvalidError:
        return InvalidError(
            "Plugin not found",
            f"{self.executable} is {looked}in {where} "
            "(set by pulumi_home, or by PULUMI_HOME in the env of the block). "
            f"To download it, run: dstream providers pull pulumi/{reference}",
            path="config.plugin",
        )


def plugin_home(given: str = "") -> Path:
    """Return Pulumi's home folder: `given`, else PULUMI_HOME, else ~/.pulumi."""
    return Path(given or os.environ.get("PULUMI_HOME", "") or "~/.pulumi").expanduser()


def _newest(plugins: Path, name: str) -> list[Path]:
    def order(folder: Path) -> list[tuple[int, str]]:
        parts = folder.name.rpartition("-v")[2].replace("-", ".").split(".")
        return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]

    return sorted(plugins.glob(f"resource-{name}-v[0-9]*"), key=order, reverse=True)
