"""Apply state: what the parts of an operation share while it holds the lock of the state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.apply.process_records import ProcessRecords
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec, make_spec, spec_from_state
from dstream.engine.setup.hooks import Observer
from dstream.engine.setup.operation import Operation
from dstream.stopping import Stop
from dstream_state import Held


class ApplyState(Struct, frozen=True):
    """An operation that holds the lock of the state, with a pool of providers that end with it."""

    operation: Operation
    held: Held
    pool: ProviderPool
    processes: ProcessRecords
    observer: Observer
    stop: Stop

    @property
    def key(self) -> bytes:
        """The key of the state's fingerprints."""
        return self.held.snapshot.hmac_key

    @property
    def encrypted(self) -> bool:
        """Whether the state is encrypted, so that it may hold secrets."""
        return self.operation.encrypted

    def prior_spec(self, name: str) -> ProviderSpec:
        """Return the provider of a prior object: from the state, otherwise from the configuration."""
        config = self.operation.config
        scope = self.operation.module.scope(resources=lambda _root: {})
        prior = self.held.current().providers.get(name)
        if prior is not None:
            return spec_from_state(name, prior, scope, config)
        kind, _, rest = name.partition(".")
        block = config.providers.get(rest) if kind == "provider" else None
        if block is None:
            raise DiagnosticsError(
                error(
                    "Unknown provider",
                    f"The state names the provider {name}, and neither it nor the configuration has it.",
                )
            )
        return make_spec(name, block.launch, block.config, "resource", scope, config, default=rest)


@contextmanager
def locked_state(
    operation: Operation, name: str, timeout: float, observer: Observer, stop: Stop
) -> Iterator[ApplyState]:
    """Hold the lock of the state for the operation `name`; wait for it at most `timeout` seconds.

    The providers are killed when the lock is lost, and when a stop is requested twice.
    """
    with operation.backend.lock(name, timeout=timeout, on_wait=observer.waiting) as held:
        operation.record_backend()
        processes = ProcessRecords(held)
        pool = ProviderPool(operation, inherit_fds=held.inherit_fds, on_start=processes.started)
        held.on_lost(pool.kill)
        with pool, stop.listening(lambda: pool.kill() if stop.at_once else None):
            yield ApplyState(operation, held, pool, processes, observer, stop)
