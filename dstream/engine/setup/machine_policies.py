"""Machine policies: the `policy` blocks of this machine and user, which no configuration loosens.

/etc/dstream/policy.d/*.hcl
~/.config/dstream/policy.d/*.hcl      (XDG_CONFIG_HOME names another folder than ~/.config; it must be absolute)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dstream.config import PolicyBlock
from dstream.config.decode.decoder import Decoder
from dstream.config.syntax.parser import parse_text
from dstream.diagnostics import DiagnosticsError, error, has_errors
from dstream.files import user_settings

SYSTEM = Path("/etc/dstream/policy.d")


def machine_policies(environment: Mapping[str, str] | None = None) -> list[tuple[Path, Sequence[PolicyBlock]]]:
    """Return the policies by folder; raise DiagnosticsError if a file cannot be read or is invalid."""
    return [(folder, found) for folder in policy_folders(environment) if (found := _read(folder))]


def policy_folders(environment: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """Return the folders, which need not exist."""
    return SYSTEM, user_settings(os.environ if environment is None else environment) / "policy.d"


def _read(folder: Path) -> Sequence[PolicyBlock]:
    decoder = Decoder(folder)
    try:
        paths = sorted(path for path in folder.iterdir() if path.name.endswith(".hcl"))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as problem:
        raise _unreadable(folder, problem) from problem
    for path in paths:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise _unreadable(path, problem) from problem
        parsed = parse_text(text, str(path))
        if parsed.body.attributes or any(block.type != "policy" for block in parsed.body.blocks):
            detail = f"{path}: this file may have policy blocks only."
            raise DiagnosticsError([*parsed.diagnostics, error("Invalid policy file", detail)])
        decoder.add(parsed)
    if has_errors(decoder.diagnostics):
        raise DiagnosticsError(decoder.diagnostics)
    return decoder.finish().policies


def _unreadable(path: Path, problem: Exception) -> DiagnosticsError:
    detail = f"{path}: {problem}. Without it, dstream does not know what this machine allows."
    return DiagnosticsError(error("Unreadable policy", detail))
