"""Pending: a result that a thread of its own works on, so that several things start together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Pending(Generic[T]):
    """What `work` returns, later. The work starts immediately, in a thread that does not keep the program alive."""

    __slots__ = ("_done", "_error", "_value")

    def __init__(self, work: Callable[[], T], name: str = "pending") -> None:
        """Start `work`."""
        self._done = threading.Event()
        self._value: list[T] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, args=(work,), name=name, daemon=True).start()

    def _run(self, work: Callable[[], T]) -> None:
        try:
            self._value.append(work())
        except BaseException as problem:  # noqa: BLE001 - it is raised again by `result`
            self._error = problem
        finally:
            self._done.set()

    @property
    def done(self) -> bool:
        """Whether `result` would return without waiting."""
        return self._done.is_set()

    def result(self) -> T:
        """Wait for the work, and return its result or raise its exception."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._value[0]
