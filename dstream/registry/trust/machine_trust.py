"""Machine trust: the `trust` blocks of this machine and user, which no configuration loosens.

    /etc/dstream/trust.hcl
    ~/.config/dstream/trust.hcl      (XDG_CONFIG_HOME names another folder than ~/.config; it must be absolute)

Each file is a layer, as the configuration is: in each, the first block whose pattern matches a repository applies, and
every layer that has one must be satisfied. Files that a block names are relative to the folder of trust.hcl.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dstream.config.syntax.parser import parse_text
from dstream.diagnostics import DiagnosticsError
from dstream.files import user_settings
from dstream.registry.errors import RegistryError
from dstream.registry.trust.blocks import read_policies
from dstream.registry.trust.policy import Policy

SYSTEM = Path("/etc/dstream/trust.hcl")


def machine_trust(environment: Mapping[str, str] | None = None) -> list[tuple[Policy, ...]]:
    """Return the policies of each file that exists; raise DiagnosticsError if one cannot be read or is invalid."""
    return [found for path in trust_files(environment) if (found := _read(path))]


def trust_files(environment: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """Return the paths of the files, which need not exist."""
    return SYSTEM, user_settings(os.environ if environment is None else environment) / "trust.hcl"


def _read(path: Path) -> tuple[Policy, ...]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as problem:
        raise RegistryError("Unreadable settings", f"{path}: {problem}.") from problem
    parsed = parse_text(text, str(path))
    if parsed.diagnostics:
        raise DiagnosticsError(parsed.diagnostics)
    if parsed.body.attributes or any(block.type != "trust" for block in parsed.body.blocks):
        raise RegistryError("Invalid settings", f"{path}: this file may have trust blocks only.")
    return read_policies(parsed.body.blocks, path.parent, machine=True)
