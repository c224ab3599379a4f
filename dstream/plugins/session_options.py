"""SessionOptions: how a provider process that manages resources is started, named and listened to."""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec import Struct

from dstream.plugins.pipe_loop import Log

START_SECONDS = 30.0

Within = Callable[[Collection[str]], set[str]]
"""Returns the secrets that sensitive texts are made of, such as the token in the text of a command."""


class SessionOptions(Struct, frozen=True):
    """Holds for a resource session and for a version 1 lifecycle alike."""

    redact: tuple[str, ...] = ()
    """Sensitive texts, which never appear in what the provider writes."""
    pass_fds: tuple[int, ...] = ()
    """Descriptors (of locks) that the process keeps open."""
    name: str = ""
    """What messages call the session; the name of the program unless given."""
    on_start: Callable[[int, int | None], None] | None = None
    """Called with pid and start time of each process before anything is sent to it."""
    log: Log | None = None
    """Takes each line of the provider's stderr."""
    max_in_flight: int = 16
    """Requests without an answer at the same time."""
    start_timeout: float = START_SECONDS
    within: Within | None = None
