"""Settings of the machine: mirrors, registries without TLS, the search index. No configuration may change these.

    # ~/.dstream/config.hcl, or the file that DSTREAM_CONFIG_FILE names
    index = "https://example.com/dstream/index.json"

    registry "ghcr.io" {
      mirrors      = ["/srv/mirror", "mirror.example.com/ghcr"]
      only_mirrors = true
    }
    registry "registry.test:5000" {
      insecure = true
    }

A mirror that starts with `/`, `./`, `../` or `~` is a folder as `dstream providers mirror` makes it; any other is a
registry, with a prefix for its repositories, in which `{registry}` stands for the name of the mirrored one. The label
`*` is for all registries that have no block. On top come `DSTREAM_REGISTRY_MIRROR` (one mirror for all),
`DSTREAM_INSECURE_REGISTRIES` (names with commas between) and `DSTREAM_OFFLINE` (ask no registry).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from dstream.config.syntax.parser import parse_text
from dstream.config.syntax.tree import Block
from dstream.diagnostics import DiagnosticsError
from dstream.registry.errors import RegistryError
from dstream.registry.hcl_literal import literal


class RegistrySettings(Struct, frozen=True):
    """The settings for one registry."""

    mirrors: tuple[str, ...] = ()
    only_mirrors: bool = False
    insecure: bool = False


class Settings(Struct, frozen=True):
    """The settings of this machine."""

    registries: Mapping[str, RegistrySettings] = field(default_factory=dict)
    index: str | None = None
    offline: bool = False

    def of(self, host: str) -> RegistrySettings:
        """Return the settings of a registry."""
        return self.registries.get(host) or self.registries.get("*") or RegistrySettings()

    def insecure(self, host: str) -> bool:
        """Return whether a registry may be used without TLS."""
        return host in self.registries and self.registries[host].insecure


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of this machine; raise DiagnosticsError if the file is invalid."""
    environment = os.environ if environment is None else environment
    path = Path(environment.get("DSTREAM_CONFIG_FILE") or "~/.dstream/config.hcl").expanduser()
    registries: dict[str, RegistrySettings] = {}
    index: str | None = None
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        if environment.get("DSTREAM_CONFIG_FILE"):
            raise RegistryError(
                "Settings not found", f"DSTREAM_CONFIG_FILE names {path}, which does not exist."
            ) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise RegistryError("Unreadable settings", f"{path}: {problem}.") from problem
    else:
        index = _read(path, text, registries)
    mirror = environment.get("DSTREAM_REGISTRY_MIRROR")
    if mirror:
        general = registries.get("*", RegistrySettings())
        registries["*"] = RegistrySettings((mirror, *general.mirrors), general.only_mirrors)
        for host, each in registries.items():
            if host != "*":
                registries[host] = RegistrySettings((mirror, *each.mirrors), each.only_mirrors, each.insecure)
    for host in filter(None, (name.strip() for name in environment.get("DSTREAM_INSECURE_REGISTRIES", "").split(","))):
        known = registries.get(host) or registries.get("*") or RegistrySettings()
        registries[host] = RegistrySettings(known.mirrors, known.only_mirrors, True)
    offline = environment.get("DSTREAM_OFFLINE", "") not in ("", "0", "false")
    return Settings(registries, environment.get("DSTREAM_PROVIDER_INDEX") or index, offline)


def _read(path: Path, text: str, registries: dict[str, RegistrySettings]) -> str | None:
    parsed = parse_text(text, str(path))
    if parsed.diagnostics:
        raise DiagnosticsError(parsed.diagnostics)
    for block in parsed.body.blocks:
        if block.type != "registry" or len(block.labels) != 1:
            raise _wrong(path, f'{block.type} is not a known block; write registry "HOST" {{ ... }}')
        registries[block.labels[0]] = _registry(path, block)
    index: str | None = None
    for name, attribute in parsed.body.attributes.items():
        value = literal(attribute.expr)
        if name != "index" or not isinstance(value, str):
            raise _wrong(path, f"{name} is not a known argument; the only one is index, a string")
        index = value
    return index


def _registry(path: Path, block: Block) -> RegistrySettings:
    found = {name: literal(attribute.expr) for name, attribute in block.body.attributes.items()}
    mirrors = found.pop("mirrors", [])
    only, insecure = found.pop("only_mirrors", False), found.pop("insecure", False)
    if found or not isinstance(only, bool) or not isinstance(insecure, bool):
        raise _wrong(
            path, "a registry block has the arguments mirrors (strings), only_mirrors and insecure (true or false)"
        )
    if not isinstance(mirrors, list) or not all(isinstance(each, str) and each for each in mirrors):
        raise _wrong(path, "mirrors must be a list of strings")
    return RegistrySettings(tuple(str(each) for each in mirrors), only, insecure)


def _wrong(path: Path, why: str) -> RegistryError:
    return RegistryError("Invalid settings", f"{path}: {why}.")
