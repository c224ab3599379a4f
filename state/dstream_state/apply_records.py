"""Overlay.

A snapshot with records applied, each in constant time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from dstream_state.objects import ObjectState, OutputState, ProviderState, TaskState
from dstream_state.records import (
    Drop,
    Intent,
    ProcessStarted,
    Put,
    PutOutput,
    PutProvider,
    PutTask,
    Record,
    Result,
    SetKey,
)
from dstream_state.snapshot import Snapshot
from dstream_state.v1_lifecycle import current_type

T = TypeVar("T")


class Overlay:
    """The state while it changes. Not thread-safe: its owner serializes `apply`."""

    def __init__(self, base: Snapshot) -> None:
        """Start from `base`, which is never changed."""
        self._base = base
        self.resources: dict[str, ObjectState] = dict(base.resources)
        self.providers: dict[str, ProviderState] = dict(base.providers)
        self.outputs: dict[str, OutputState] = dict(base.outputs)
        self.tasks: dict[str, TaskState] = dict(base.tasks)
        self.intents: dict[str, Intent] = dict(base.intents)
        self.processes: list[ProcessStarted] = []
        self.hmac_key = base.hmac_key

    def apply(self, record: Record) -> None:
        """Take in one record. A result whose intent is not outstanding is ignored."""
        match record:
            case Intent():
                self.intents[record.id] = record
            case Result():
                self._result(record)
            case Put():
                self.resources[record.address] = record.object
            case Drop():
                self.resources.pop(record.address, None)
            case ProcessStarted():
                self.processes.append(record)
            case PutProvider():
                _put(self.providers, record.id, record.provider)
            case PutOutput():
                _put(self.outputs, record.name, record.output)
            case PutTask():
                _put(self.tasks, record.address, record.task)
            case SetKey():
                self.hmac_key = record.key

    def _result(self, result: Result) -> None:
        intent = self.intents.pop(result.intent, None)
        if intent is None:
            return
        if result.object is not None:
            item = result.object
            type_ = current_type(intent.address, item.type)
            self.resources[intent.address] = item if type_ == item.type else replace(item, type=type_)
        elif result.outcome == "gone" or (result.outcome == "ok" and intent.action == "destroy"):
            self.resources.pop(intent.address, None)

    def snapshot(
        self,
        *,
        serial: int | None = None,
        epoch: int | None = None,
        absorbed: Mapping[str, int] | None = None,
    ) -> Snapshot:
        """Return what the state is now; arguments left out keep the base's value."""
        base = self._base
        return replace(
            base,
            resources=dict(self.resources),
            providers=dict(self.providers),
            outputs=dict(self.outputs),
            tasks=dict(self.tasks),
            intents=dict(self.intents),
            serial=base.serial if serial is None else serial,
            epoch=base.epoch if epoch is None else epoch,
            absorbed=base.absorbed if absorbed is None else absorbed,
            hmac_key=self.hmac_key,
        )


def overlay(snapshot: Snapshot, records: Iterable[Record]) -> Snapshot:
    """Return `snapshot` with `records` applied, in order."""
    result = Overlay(snapshot)
    for record in records:
        result.apply(record)
    return result.snapshot()


def _put(items: dict[str, T], name: str, item: T | None) -> None:
    if item is None:
        items.pop(name, None)
    else:
        items[name] = item
