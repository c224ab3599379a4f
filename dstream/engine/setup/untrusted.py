"""Untrusted: what the operator allows a configuration that is not trusted, such as that of a pull request."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from dstream.diagnostics import DiagnosticsError
from dstream.lang import Module
from dstream.lang.confinement import Confinement
from dstream.lang.variables import VARIABLE_PREFIX


class Untrusted(Struct, frozen=True):
    """What the command line allows; nothing in the configuration adds to it."""

    env: frozenset[str] = frozenset()
    """Environment variables that the configuration may read."""
    providers: frozenset[str] = frozenset()
    """Names of installed providers that may start."""
    state: Path | None = None
    """A file of `dstream state pull` to compare with; without it, the state counts as empty."""


def confine(config: Path, untrusted: Untrusted) -> Confinement:
    """Return the boundary around a configuration, a file or a folder.

    Raise DiagnosticsError if a symbolic link of the checkout leads from there to another place.
    """
    root = config if config.is_dir() else config.parent
    around = Confinement(Path(), (), {})
    if (stray := around.stray(config)) is not None:
        raise DiagnosticsError(stray)
    confinement = Confinement(root, untrusted.env, os.environ)
    if untrusted.state is None:
        confinement.withhold("state", "state", "not read: every object shows as new (-state=FILE names a copy)")
    return confinement


def withhold_variables(confinement: Confinement, module: Module, environment: Mapping[str, str] = os.environ) -> None:
    """Record the variables without a value, and those whose value in the environment is not allowed."""
    for name in module.missing:
        confinement.withhold("variable", name, "no value")
    for name in module.config.variables:
        variable = f"{VARIABLE_PREFIX}{name}"
        if variable in environment and not confinement.allows(variable):
            confinement.withhold("environment variable", variable, "not allowed with -allow-env")
