"""Pool: connections shared by several threads, opened on demand, reused, and replaced when they break."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """A connection."""

    def close(self) -> object:
        """Close it; never raises."""


T = TypeVar("T", bound=Closable)
K = TypeVar("K", bound=Hashable)
Errors = tuple[type[BaseException], ...]


class Pool(Generic[T]):
    """Connections to one server, each lent to one thread at a time.

    An error that leaves the `with` block closes the connection, unless it is one of `kept`. An error that is one of
    `lost`, or not an Exception, closes the idle connections as well: they lead to the same server. A connection that is
    not `usable` when it is returned is closed, even if the block succeeded.
    """

    def __init__(
        self,
        connect: Callable[[], T],
        *,
        size: int | None = None,
        lost: Errors = (),
        kept: Errors = (),
        usable: Callable[[T], bool] = lambda _connection: True,
    ) -> None:
        """Open connections by `connect`, at most `size` at a time: further threads wait. None: no limit."""
        self._connect, self._lost, self._kept, self._usable = connect, lost, kept, usable
        self._slots = threading.BoundedSemaphore(size) if size is not None else contextlib.nullcontext()
        self._lock = threading.Lock()
        self._idle: list[T] = []

    @contextlib.contextmanager
    def lend(self) -> Iterator[T]:
        """Lend a connection for the `with` block. Raises what `connect` raises."""
        with self._slots:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = self._connect()
            try:
                yield connection
            except BaseException as problem:
                lost = isinstance(problem, self._lost) or not isinstance(problem, Exception)
                if not lost and isinstance(problem, self._kept):
                    self._give_back(connection)
                else:
                    connection.close()
                    if lost:
                        self.close()
                raise
            self._give_back(connection)

    def close(self) -> None:
        """Close the idle connections; lent ones stay open."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _give_back(self, connection: T) -> None:
        if not self._usable(connection):
            connection.close()
            return
        with self._lock:
            self._idle.append(connection)


class Pools(Generic[K, T]):
    """One pool per key, such as a connection string: for resource types, whose requests carry their configuration."""

    def __init__(
        self,
        connect: Callable[[K], T],
        *,
        size: int | None = None,
        lost: Errors = (),
        kept: Errors = (),
        usable: Callable[[T], bool] = lambda _connection: True,
    ) -> None:
        """Open the connections for a key by `connect`; the other arguments are as for `Pool`."""
        self._connect = connect
        self._pool: Callable[[Callable[[], T]], Pool[T]] = partial(Pool, size=size, lost=lost, kept=kept, usable=usable)
        self._lock = threading.Lock()
        self._pools: dict[K, Pool[T]] = {}

    def lend(self, key: K) -> contextlib.AbstractContextManager[T]:
        """Lend a connection for `key`, as `Pool.lend`."""
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                pool = self._pools[key] = self._pool(lambda: self._connect(key))
        return pool.lend()
