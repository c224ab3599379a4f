"""Refresh: queries the providers for the real objects, each object once, all requests before the first answer.

A type whose provider accepts lists is queried in batches. Answers are awaited by address, so that planning continues
while others are pending.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from dstream.diagnostics import Diagnostic
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.engine.setup.hooks import RefreshProgress
from dstream.plugins import Answer, LegacyLifecycle, Request
from dstream.plugins.session import REQUEST_SECONDS
from dstream_state import ObjectState

_BATCH = 500


class RefreshedObject(Struct, frozen=True):
    """The answer of a provider about one object. `attributes` is clear, and None unless the object exists."""

    queried: bool
    exists: bool | None
    attributes: Mapping[str, Any] | None = None
    identity: Any = None
    private: Any = None
    diagnostics: tuple[Diagnostic, ...] = ()


NOT_REFRESHED = RefreshedObject(queried=False, exists=None)


class Refresh:
    """The answers about objects by address."""

    def __init__(self, pool: ProviderPool, progress: RefreshProgress) -> None:
        """Query the processes of `pool`, and count the requests in `progress`."""
        self._pool = pool
        self._progress = progress
        self._answers: dict[str, RefreshedObject] = {}
        self._waiting: set[str] = set()
        self._changed = threading.Condition()

    def ask(self, spec: ProviderSpec, objects: Mapping[str, ObjectState], prior: Mapping[str, Any]) -> None:
        """Query objects by address; `prior` has their attributes in wire form."""
        session = self._pool.session(spec)
        if isinstance(session, LegacyLifecycle):
            return
        with self._changed:
            self._waiting.update(objects)
        self._progress.sent += len(objects)
        bulk = "bulk_status" in self._pool.installed(spec).info.capabilities
        if not bulk:
            for address, item in objects.items():
                request = Request(
                    command="status",
                    type=item.type,
                    key=item.key,
                    identity=item.identity,
                    prior=prior[address],
                    private=item.private,
                    timeout=item.timeouts.read,
                )
                session.submit(request, partial(self._take, address))
            return
        addresses = list(objects)
        for start in range(0, len(addresses), _BATCH):
            batch = addresses[start : start + _BATCH]
            listed = [
                {
                    "type": objects[address].type,
                    "key": objects[address].key,
                    "identity": objects[address].identity,
                    "prior": prior[address],
                    "private": objects[address].private,
                }
                for address in batch
            ]
            times = [objects[address].timeouts.read for address in batch]
            # One request for all of them takes as long as the slowest: shorter than usual only if that holds for each.
            slowest = max(REQUEST_SECONDS if each is None else each for each in times)
            timeout = slowest if any(times) else None
            request = Request(command="status", objects=listed, timeout=timeout)
            session.submit(request, partial(self._take_batch, batch))

    def read_for_import(self, spec: ProviderSpec, address: str, item: ObjectState) -> RefreshedObject:
        """Query an object to import by its identity, and wait for the answer."""
        with self._changed:
            self._waiting.add(address)
        self._progress.sent += 1
        request = Request(
            command="import", type=item.type, key=item.key, identity=item.identity, timeout=item.timeouts.read
        )
        self._pool.session(spec).submit(request, partial(self._take, address))
        return self.result(address)

    def _take(self, address: str, answer: Answer) -> None:
        with self._changed:
            self._answers[address] = refreshed_object(answer)
            self._waiting.discard(address)
            self._progress.answered += 1
            self._changed.notify_all()

    def _take_batch(self, addresses: list[str], answer: Answer) -> None:
        each: Iterable[Answer] = answer.objects or ()
        found = [refreshed_object(one) for one in each]
        if len(found) != len(addresses):
            found = [refreshed_object(answer)] * len(addresses)
        with self._changed:
            self._answers.update(zip(addresses, found, strict=True))
            self._waiting.difference_update(addresses)
            self._progress.answered += len(addresses)
            self._changed.notify_all()

    def result(self, address: str) -> RefreshedObject:
        """Wait for the answer about an address and return it; `NOT_REFRESHED` if none was requested."""
        known = self._answers.get(address)
        if known is not None and address not in self._waiting:
            return known
        with self._changed:
            while address in self._waiting:
                self._changed.wait()
            return self._answers.get(address, NOT_REFRESHED)


def refreshed_object(answer: Answer) -> RefreshedObject:
    """Return the refreshed object from an answer to `status`."""
    if answer.status == "ok":
        return RefreshedObject(True, True, answer.attributes or {}, answer.identity, answer.private, answer.diagnostics)
    if answer.status == "gone":
        return RefreshedObject(True, False)
    return RefreshedObject(True, None, diagnostics=answer.diagnostics)
