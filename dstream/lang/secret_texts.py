"""Secret texts: texts that are secret by origin, such as `env("TOKEN")` in `"Bearer ${env("TOKEN")}"`.

An expression marks its result, which contains the secret. To redact output of another program, the secret itself is
needed.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dstream.lang.values import Sensitive, SetValue

_SHORTEST = 4
"""Characters; a shorter text turns up in others by chance."""


class SecretTexts:
    """Secret texts of one configuration. Thread-safe."""

    def __init__(self) -> None:
        """Know none."""
        self._lock = threading.Lock()
        self._secret: set[str] = set()
        self._open: set[str] = set()

    def add(self, value: Any) -> None:
        """Add the texts in a value as secrets."""
        found = set(texts_in(value))
        with self._lock:
            self._secret |= found

    def open(self, value: Any) -> None:
        """Mark the texts in a value as not secret, which takes precedence."""
        found = set(texts_in(value))
        with self._lock:
            self._open |= found

    def within(self, texts: Collection[str]) -> set[str]:
        """Return the secrets that some texts are made of."""
        with self._lock:
            known = self._secret - self._open
        return {secret for secret in known if any(secret in text for text in texts)}


def texts_in(value: Any) -> Iterator[str]:
    """Yield the texts in a value, stripped of white space, that are long enough to search for."""
    if isinstance(value, str):
        if len(value.strip()) >= _SHORTEST:
            yield value.strip()
    elif isinstance(value, Sensitive):
        yield from texts_in(value.value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts_in(inner)
    elif isinstance(value, list | tuple | SetValue):
        for inner in value:
            yield from texts_in(inner)
