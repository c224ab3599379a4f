"""Provider log: what providers write to standard error, and when they start and end, for those who listen.

There is no listener unless DSTREAM_LOG is set; then it takes each note, from any thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Level = Literal["info", "debug"]
"""`info`: a line that a provider has written, without secrets; `debug`: what the host does with its process."""
Listener = Callable[[Level, str, str], None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Have `listener(level, provider, text)` called with every note from now on."""
    _listeners.append(listener)


def has_listeners() -> bool:
    """Return whether there is a listener, where a note is expensive."""
    return bool(_listeners)


def note(level: Level, provider: str, text: str) -> None:
    """Pass a note to all listeners."""
    for listener in _listeners:
        listener(level, provider, text)
