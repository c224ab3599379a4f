"""Operation: what every engine operation stands on: configuration, values, backend and providers, opened once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from dstream.config import Config, load
from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.setup.backend import ConfiguredBackend, configured_encryption, open_configured
from dstream.engine.setup.backend_record import (
    DATA_DIR,
    BackendRecord,
    check_unchanged,
    recorded_backend,
    save_record,
)
from dstream.engine.setup.block_graph import Needs, block_graph, block_needs
from dstream.engine.setup.hooks import RefreshProgress
from dstream.engine.setup.untrusted import Untrusted, confine, withhold_variables
from dstream.lang import Module
from dstream.lang.confinement import Confinement
from dstream.lang.secret_texts import SecretTexts
from dstream.lang.variables import Ask
from dstream_state import Backend, Encryption

if TYPE_CHECKING:
    from dstream.graph import Dependencies

__all__ = ["DATA_DIR", "Operation", "OperationInputs", "open_operation"]


class OperationInputs(Struct, frozen=True):
    """User input other than the configuration files."""

    config: Path = Path()
    variables: Mapping[str, str] = field(default_factory=dict)
    """Values of variables as texts, from `-var`; later ones win over files and environment."""
    variable_files: tuple[Path, ...] = ()
    workspace: str = "default"
    empty: bool = False
    """Whether a folder without a configuration is an empty one."""
    planned_at: str | None = None
    """The time of the plan that is carried out; None where one is made."""
    untrusted: Untrusted | None = None
    """What a configuration that is not trusted is allowed; None for one that is trusted."""


class Operation(Struct):
    """The configuration as loaded, its values, and where its state lives."""

    config: Config
    module: Module
    workspace: str
    _encryption: Encryption | None = None
    _backend: Backend | None = None
    _record: BackendRecord | None = None
    _needs: Needs | None = None
    _graph: Dependencies | None = None
    refresh_progress: RefreshProgress = field(default_factory=RefreshProgress)
    untrusted: Untrusted | None = None
    confinement: Confinement | None = None
    """The boundary around a configuration that is not trusted."""

    @property
    def root(self) -> Path:
        """The folder of the configuration."""
        return self.config.root

    @property
    def backend(self) -> Backend:
        """The backend of the state, opened when it is first asked for.

        Raises DiagnosticsError if the state is in another backend than the configured one.
        """
        if self.untrusted is not None:
            detail = "The state of a configuration that is not trusted is never opened."
            raise DiagnosticsError(error("State withheld", detail))
        if self._backend is None:
            recorded = recorded_backend(self.root)
            found = self.open_backend(recorded.overrides if recorded is not None else {})
            check_unchanged(recorded, found.record)
            self._backend, self._record = found.backend, found.record
        return self._backend

    def open_backend(self, overrides: Mapping[str, str]) -> ConfiguredBackend:
        """Open the configured backend with values of `-backend-config`, whichever the state is in now."""
        return open_configured(self.config, self.module, self.workspace, self.encryption, overrides)

    def record_backend(self) -> None:
        """Record the backend of the first operation that changes the state, as `init` does."""
        if self._record is not None and recorded_backend(self.root) is None:
            with contextlib.suppress(OSError):  # In a read-only folder, a change of backend is not noticed.
                save_record(self.root, self._record)

    @property
    def encryption(self) -> Encryption | None:
        """What the state is encrypted with; its key is made once."""
        if self._encryption is None and self.encrypted and self.untrusted is None:
            self._encryption = configured_encryption(self.config, self.module)
        return self._encryption

    def take_encryption(self, other: Operation) -> None:
        """Reuse the encryption of another operation on the same configuration, to derive the key only once."""
        self._encryption = other.encryption

    @property
    def encrypted(self) -> bool:
        """Whether the state is encrypted, so that it may hold secrets."""
        return self.config.settings is not None and self.config.settings.encryption is not None

    @property
    def needs(self) -> Needs:
        """What each block needs directly."""
        if self._needs is None:
            self._needs = block_needs(self.config)
        return self._needs

    @property
    def secrets(self) -> SecretTexts:
        """The secrets that expressions have produced so far."""
        return self.module.surroundings.secret_texts

    @property
    def graph(self) -> Dependencies:
        """The graph of the configuration's blocks; raises DiagnosticsError on a cycle."""
        if self._graph is None:
            self._graph = block_graph(self.config, self.needs)
        return self._graph


def open_operation(given: OperationInputs, *, ask: Ask | None = None, lint: bool = False) -> Operation:
    """Load the configuration and evaluate its variables; raise DiagnosticsError with everything that is wrong.

    `ask` is called for a variable without a value. With `lint`, what is not given is unknown instead of an error.
    """
    confinement = None if given.untrusted is None else confine(given.config, given.untrusted)
    config = load(given.config, empty=given.empty, refuse=None if confinement is None else confinement.stray)
    module = Module(
        config,
        variables=dict(given.variables),
        variable_files=given.variable_files,
        workspace=given.workspace,
        env=os.environ if confinement is None else confinement,
        ask=ask,
        lint=lint or confinement is not None,
        planned_at=given.planned_at,
    )
    if confinement is not None:
        withhold_variables(confinement, module, os.environ)
    return Operation(config, module, given.workspace, untrusted=given.untrusted, confinement=confinement)
