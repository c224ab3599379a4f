"""ForkServers: starts the providers of a run, and forks those of which it needs several processes.

One fork server serves the sessions of one program with one environment: what one task's environment holds is never seen
by another task, and what a program reads from its environment while it loads is as it would be without.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable

from dstream.plugins.environment import provider_environment
from dstream.plugins.fork_server import CAN_FORK, FORKS, ForkServer
from dstream.plugins.process import Starting, begin_binary
from dstream.plugins.redact import Redactor
from dstream.run.flow import Endpoint, Flow, SideName

WORTHWHILE = 3
"""The number of sessions for which a server, a process of its own, is started."""
_ATTEMPTS = 3
"""Servers that are started for the same sessions before these become processes as usual."""
_Key = tuple[object, ...]
Begin = Callable[[SideName, Endpoint, Iterable[int]], Starting]
"""Starts the provider of one side without waiting for it; the descriptors (of locks) stay open in it."""


def begin_alone(_name: SideName, endpoint: Endpoint, inherit: Iterable[int]) -> Starting:
    """Start a process of its own, as `Begin` does."""
    return begin_binary(endpoint.binary, inherit)


class ForkServers:
    """Thread-safe. Servers start with the first session that needs them, and end with `close`."""

    def __init__(self, flows: Iterable[Flow], worthwhile: int = WORTHWHILE) -> None:
        """Count the sessions that `flows` have at the same time."""
        self._lock = threading.Lock()
        self._servers: dict[_Key, ForkServer] = {}
        self._attempts: Counter[_Key] = Counter()
        self._redactors: dict[_Key, Redactor] = {}
        self._sessions: Counter[_Key] = Counter()
        self._worthwhile = worthwhile
        self._closed = False
        for flow in flows:
            self._sessions[_key("input", flow.input)] += 1
            self._sessions[_key("output", flow.output)] += 1

    def begin(self, name: SideName, endpoint: Endpoint, inherit: Iterable[int]) -> Starting:
        """Start the provider of one side of a session, as `Begin` does."""
        server = self._server(name, endpoint)
        return begin_binary(endpoint.binary, inherit) if server is None else server.begin(inherit)

    def close(self) -> None:
        """End all servers; no session is left by then."""
        with self._lock:
            self._closed = True
            servers = list(self._servers.values())
        for server in servers:
            server.close()

    def _server(self, name: SideName, endpoint: Endpoint) -> ForkServer | None:
        """Return the server for a side; None where its process is started as usual."""
        if not CAN_FORK or FORKS not in endpoint.info.capabilities or endpoint.binary.container is not None:
            return None
        key = _key(name, endpoint)
        with self._lock:
            if self._closed or self._sessions[key] < self._worthwhile:
                return None
            redactor = self._redactors.setdefault(key, Redactor())
            redactor.learn(endpoint.secrets)
            server = self._servers.get(key)
            if server is not None and not server.over:
                return server
            if self._attempts[key] >= _ATTEMPTS:
                return None
            self._attempts[key] += 1
            environment = provider_environment(endpoint.binary.source.env)
            server = self._servers[key] = ForkServer(endpoint.binary, name, environment, redactor)
            return server


def _key(name: SideName, endpoint: Endpoint) -> _Key:
    """Return what sessions of one server have in common."""
    binary = endpoint.binary
    environment = tuple(sorted(provider_environment(binary.source.env).items()))
    return name, binary.argv, binary.digest, binary.folder, environment
