"""Refresh: queries the providers for the real objects, each object once, all requests before the first answer.

A type whose provider accepts lists is queried in batches. Answers are awaited by address, so that planning continues
while others are pending.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from dstream.diagnostics import Diagnostic
from dstream.engine.evaluate.answer_errors import invalid_object
from dstream.engine.evaluate.answer_types import NO_TYPES, AnswerTypes
from dstream.engine.providers.pool import ProviderPool
from dstream.engine.providers.provider_config import ProviderSpec
from dstream.engine.providers.type_rules import rules_of
from dstream.engine.setup.hooks import RefreshProgress
from dstream.plugins import Answer, LegacyLifecycle, Request
from dstream.plugins.session import REQUEST_SECONDS
from dstream_state import ObjectState

_BATCH = 500
_WITHOUT = " To continue with the recorded values, use -refresh=false."


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
        self._types: dict[tuple[str, str], AnswerTypes] = {}

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
                session.submit(request, partial(self._take, address, self._types_of(spec, item.type)))
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
            types = [self._types_of(spec, objects[address].type) for address in batch]
            session.submit(request, partial(self._take_batch, batch, types))

    def read_for_import(self, spec: ProviderSpec, address: str, item: ObjectState) -> RefreshedObject:
        """Query an object to import by its identity, and wait for the answer."""
        with self._changed:
            self._waiting.add(address)
        self._progress.sent += 1
        request = Request(
            command="import", type=item.type, key=item.key, identity=item.identity, timeout=item.timeouts.read
        )
        self._pool.session(spec).submit(request, partial(self._take, address, self._types_of(spec, item.type)))
        return self.result(address)

    def _types_of(self, spec: ProviderSpec, type_: str) -> AnswerTypes:
        """Return the types that answers about objects of a type are held to."""
        known = self._types.get((spec.name, type_))
        if known is None:
            rules = rules_of(self._pool.installed(spec).info, type_)
            known = self._types[spec.name, type_] = NO_TYPES if rules is None else rules.answer_types
        return known

    def _take(self, address: str, types: AnswerTypes, answer: Answer) -> None:
        found = refreshed_object(answer, address, types)
        with self._changed:
            self._answers[address] = found
            self._waiting.discard(address)
            self._progress.answered += 1
            self._changed.notify_all()

    def _take_batch(self, addresses: list[str], types: list[AnswerTypes], answer: Answer) -> None:
        answers = answer.objects or ()
        if len(answers) != len(addresses):
            answers = (answer,) * len(addresses)
        found = [refreshed_object(*each) for each in zip(answers, addresses, types, strict=True)]
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


def refreshed_object(answer: Answer, address: str, types: AnswerTypes) -> RefreshedObject:
    """Return the refreshed object from an answer to `status`; with values of other types, it says nothing."""
    if answer.status == "ok":
        wrong = invalid_object(types, answer.attributes, address, "The provider", "read", _WITHOUT)
        if wrong is not None:
            return RefreshedObject(True, None, diagnostics=(wrong,))
        return RefreshedObject(True, True, answer.attributes or {}, answer.identity, answer.private, answer.diagnostics)
    if answer.status == "gone":
        return RefreshedObject(True, False)
    return RefreshedObject(True, None, diagnostics=answer.diagnostics)
