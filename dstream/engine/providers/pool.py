"""Provider pool: the provider processes of an operation, started on first use and ended with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from msgspec import Struct
from msgspec.structs import replace

from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.providers.provider_config import ProviderSpec, Role
from dstream.engine.providers.untrusted_sources import refusal, resolve_confined
from dstream.engine.setup.operation import Operation
from dstream.plugins import (
    Binary,
    LegacyLifecycle,
    PlanSession,
    ProviderInfo,
    ProviderSource,
    ResourceSession,
    probe_many,
    resolve,
)
from dstream.plugins.plan_session import PLANS_MANY
from dstream.plugins.session_options import SessionOptions
from dstream.plugins.type_schemas import DESCRIBES, DescribedTypes
from dstream.registry.machine_records import default_records

_RESTARTS = 3
"""The number of restarts of a process that died."""


class Installed(Struct, frozen=True):
    """A provider found on this machine, and its probe answer."""

    binary: Binary
    info: ProviderInfo


class ProviderPool:
    """The provider processes of one operation: at most one for each spec, started on first use."""

    def __init__(
        self,
        operation: Operation,
        *,
        inherit_fds: tuple[int, ...] = (),
        on_start: Callable[[int, int | None], None] | None = None,
    ) -> None:
        """Find providers for an operation; they inherit the file descriptors `inherit_fds`.

        `on_start(pid, start time)` is called for each process, from any thread, before it receives input. Output of a
        provider is redacted: without the secrets that it receives, and without those that they are built from.
        """
        self._on_start = on_start
        self._operation = operation
        self._inherit_fds = inherit_fds
        self._installed: dict[tuple[ProviderSource, Role], Installed] = {}
        self._described: dict[str, tuple[dict[str, Any], Installed]] = {}
        self._describing = threading.Lock()
        self._sessions: dict[str, ResourceSession | LegacyLifecycle] = {}
        self._planning: dict[tuple[ProviderSource, Role], PlanSession] = {}
        self._starting_planning = threading.Lock()
        self._restarts: dict[str, int] = {}
        self._killed = False
        self._home: TemporaryDirectory[str] | None = None
        """The folder of providers for a configuration that is not trusted."""

    def prepare(self, specs: Iterable[ProviderSpec]) -> None:
        """Find and probe the providers of several specs in parallel; raise DiagnosticsError with all that failed."""
        problems = []
        found: dict[tuple[ProviderSource, Role], Binary] = {}
        for spec in specs:
            where = (spec.source, spec.role)
            if where in self._installed or where in found:
                continue
            try:
                found[where] = self._resolved(spec)
            except DiagnosticsError as problem:
                problems.extend(_at_range(problem, spec))
        if problems:
            raise DiagnosticsError(problems)
        infos = probe_many(list(found.values()), records=default_records())
        for (where, binary), info in zip(found.items(), infos, strict=True):
            self._installed[where] = Installed(binary, info)

    def _resolved(self, spec: ProviderSpec) -> Binary:
        """Return the program of a provider; raise DiagnosticsError if it may not start, or is not found."""
        operation = self._operation
        if operation.untrusted is None:
            return resolve(spec.source, operation.root, spec.role)
        why = refusal(spec.source, operation)
        if why is not None:
            detail = f"The configuration is not trusted, and {why}. {spec.name} is not started."
            raise DiagnosticsError(error("Provider not allowed", detail))
        if self._home is None:
            self._home = TemporaryDirectory(prefix="dstream-untrusted-")
        return resolve_confined(spec.source, operation, spec.role, Path(self._home.name))

    def installed(self, spec: ProviderSpec) -> Installed:
        """Return the provider of a spec, found and probed."""
        where = (spec.source, spec.role)
        if where not in self._installed:
            self.prepare([spec])
        found = self._installed[where]
        if DESCRIBES not in found.info.capabilities:
            return found
        config = spec.wire(found.info)
        with self._describing:
            known = self._described.get(spec.name)
            if known is None or known[0] != config:
                types = DescribedTypes(found.binary, found.info.resources, config, redact=self.secrets_of(spec))
                known = (config, Installed(found.binary, replace(found.info, resources=types)))
                self._described[spec.name] = known
            return known[1]

    def session(self, spec: ProviderSpec) -> ResourceSession | LegacyLifecycle:
        """Return the process that serves the objects of a spec, whose configuration must be known.

        It is started if it does not run, and restarted a limited number of times if it died.
        """
        session = self._sessions.get(spec.name)
        if isinstance(session, ResourceSession) and session.died and self._restarts.get(spec.name, 0) < _RESTARTS:
            self._restarts[spec.name] = self._restarts.get(spec.name, 0) + 1
            session = None
        if session is None:
            found = self.installed(spec)
            kind = ResourceSession if found.info.protocol >= 2 else LegacyLifecycle
            options = SessionOptions(
                redact=self.secrets_of(spec),
                pass_fds=tuple(self._inherit_fds),
                name=spec.name,
                on_start=self._on_start,
                within=self._operation.secrets.within,
            )
            session = kind(found.binary, found.info, spec.wire(found.info), options)
            self._sessions[spec.name] = session
            if self._killed:
                session.kill()
        return session

    def plan_session(self, spec: ProviderSpec) -> PlanSession | None:
        """Return the process that plans for all tasks with the provider of a spec, started if it does not run.

        Return None if the provider cannot plan many tasks in one process.
        """
        found = self.installed(spec)
        if PLANS_MANY not in found.info.capabilities:
            return None
        where = (spec.source, spec.role)
        with self._starting_planning:
            if where not in self._planning:
                self._planning[where] = PlanSession(found.binary, found.info, spec.role)
            return self._planning[where]

    def end_planning(self) -> None:
        """End the processes that plan for tasks; a later request starts them again."""
        with self._starting_planning:
            sessions = list(self._planning.values())
            self._planning.clear()
        for session in sessions:
            session.close()

    def secrets_of(self, spec: ProviderSpec) -> tuple[str, ...]:
        """Return the secrets of a configuration: its sensitive texts, and the secrets that they are built from."""
        return (*spec.secrets, *sorted(self._operation.secrets.within(spec.secrets)))

    @property
    def sessions(self) -> Mapping[str, ResourceSession | LegacyLifecycle]:
        """The processes that were started, by the name of their spec."""
        return self._sessions

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the processes, or kill them if the block was interrupted."""
        if kind is not None and not issubclass(kind, Exception):
            self.kill()
        self.close()

    def close(self) -> None:
        """End all processes: close their stdin and wait for them to finish."""
        self.end_planning()
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        if self._home is not None:
            self._home.cleanup()
            self._home = None

    def kill(self) -> None:
        """Kill all processes."""
        self._killed = True
        for session in (*self._sessions.values(), *self._planning.values()):
            session.kill()


def _at_range(problem: DiagnosticsError, spec: ProviderSpec) -> list[Any]:
    """Return an error of a spec with its source range, or with a hint if it has none."""
    hint = ""
    if spec.range is None and spec.body is None:
        hint = (
            f" The state names this provider for its objects, as {spec.name}. If they are not to be managed any more, "
            "forget them with: dstream state rm"
        )
    return [
        replace(d, detail=d.detail + hint, subject=d.subject or spec.range, address=d.address or spec.name)
        for d in problem.diagnostics
    ]
