"""Offline schemas: probe answers for lint, which starts some providers and downloads none.

For a provider that this machine has never started, the answer in the lock file serves: lint evaluates no secret, and
what it says decides nothing.
"""

from __future__ import annotations

from msgspec.structs import replace

from dstream.diagnostics import Diagnostic, warning
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.engine.setup.operation import Operation
from dstream.plugins import ProviderInfo, resolve
from dstream.plugins.probe import claimed, known
from dstream.plugins.resolve import locked
from dstream.plugins.type_schemas import DESCRIBES
from dstream.registry.machine_records import default_records


class OfflineSchemas:
    """Reads the lock file and cached answers first, then starts the providers that may be started.

    `start` is None to start local programs (by path, or installed), True to start locked providers of registries too,
    which may fetch them, False to start none.
    """

    def __init__(self, operation: Operation, start: bool | None) -> None:
        """Start nothing yet."""
        self._root, self._start = operation.root, start
        self._pool = ProviderPool(operation)

    def info(self, spec: ProviderSpec) -> ProviderInfo | Diagnostic:
        """Return the probe answer of a provider, or a warning why it is not available; raise DiagnosticsError if the
        provider is not found or its answer is malformed.
        """
        travels = spec.source.kind in ("ref", "image")
        if self._start or (self._start is None and not travels):
            return self._pool.installed(spec).info
        if travels:
            binary = locked(spec.source, self._root)
            if binary is None:
                return _unchecked(spec, "is not in the lock file", "Lock it with: dstream init")
            why = "has to be started to say what it takes"
        else:
            binary = resolve(spec.source, self._root, spec.role)
            why = "was not asked before"
        found = known(binary, default_records()) or claimed(binary)
        if found is None or DESCRIBES in found.capabilities:
            return _unchecked(spec, why, "Allow that with -run-providers")
        return found


def _unchecked(spec: ProviderSpec, why: str, how: str) -> Diagnostic:
    detail = f"{spec.source.value} {why}, so its settings were not checked. {how}"
    return replace(warning("Unchecked settings", detail, spec.range), address=spec.name)
