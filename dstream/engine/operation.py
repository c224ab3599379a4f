"""Operation: what every engine operation stands on: configuration, values, backend and providers, opened once."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dstream.config import BackendBlock, Config, load
from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.blocks import Needs, block_graph, block_needs
from dstream.lang import Module, evaluate_body, sensitive_paths, to_json_value
from dstream.lang.variables import Ask
from dstream_state import Backend, Snapshot, open_backend

if TYPE_CHECKING:
    from dstream.graph import Dependencies

DATA_DIR = ".dstream"


@dataclass(frozen=True, slots=True)
class Given:
    """What the user gives beside the configuration's files."""

    config: Path = Path()
    variables: Mapping[str, str] = field(default_factory=dict)
    """Values of variables as texts, from `-var`; later ones win over files and environment."""
    variable_files: tuple[Path, ...] = ()
    workspace: str = "default"


@dataclass(slots=True)
class Operation:
    """The configuration as loaded, its values, and where its state lives."""

    config: Config
    module: Module
    workspace: str
    _backend: Backend | None = None
    _needs: Needs | None = None
    _graph: Dependencies | None = None

    @property
    def root(self) -> Path:
        """The folder of the configuration."""
        return self.config.root

    @property
    def backend(self) -> Backend:
        """The backend of the state, opened when it is first asked for."""
        if self._backend is None:
            self._backend = _open(self.config, self.module, self.workspace)
        return self._backend

    @property
    def needs(self) -> Needs:
        """What each block needs directly."""
        if self._needs is None:
            self._needs = block_needs(self.config)
        return self._needs

    @property
    def graph(self) -> Dependencies:
        """The graph of the configuration's blocks; raises DiagnosticsError on a cycle."""
        if self._graph is None:
            self._graph = block_graph(self.config, self.needs)
        return self._graph


def open_operation(given: Given, *, ask: Ask | None = None, lint: bool = False) -> Operation:
    """Load the configuration and evaluate its variables; raise DiagnosticsError with everything that is wrong.

    `ask` is called for a variable without a value. With `lint`, what is not given is unknown instead of an error.
    """
    config = load(given.config)
    module = Module(
        config,
        variables=dict(given.variables),
        variable_files=given.variable_files,
        workspace=given.workspace,
        env=os.environ,
        ask=ask,
        lint=lint,
    )
    return Operation(config, module, given.workspace)


def _open(config: Config, module: Module, workspace: str) -> Backend:
    block = config.settings.backend if config.settings is not None else None
    if block is None:
        return open_backend("local", {}, workspace=workspace, root=config.root)
    return open_backend(block.type, _settings(block, module), workspace=workspace, root=config.root)


def _settings(block: BackendBlock, module: Module) -> dict[str, Any]:
    values = evaluate_body(block.body, module.scope())
    sensitive = sensitive_paths(values)
    for path, origins in sensitive:
        if not all(origin.startswith("env ") for origin in origins):
            name = str(path[0]) if path else block.type
            raise DiagnosticsError(
                error(
                    "Sensitive backend argument",
                    f"The value of {name} is sensitive (from {', '.join(sorted(origins))}), and a backend argument "
                    'may be sensitive only when it comes straight from the environment: write env("NAME"), leave it '
                    "out and set the backend's own environment variable, or use nonsensitive(...).",
                    block.range,
                )
            )
    settings = to_json_value(values)
    if not isinstance(settings, dict):
        raise TypeError("a body evaluates to an object")
    return settings


def identity() -> str:
    """Return who runs this, for the holder of a lock: user and host."""
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"


def empty_snapshot() -> Snapshot:
    """Return the state of a configuration that was never applied."""
    return Snapshot.new()
