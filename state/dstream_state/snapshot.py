"""Snapshot: the record of all managed objects, as one document.

The stored form is JSON (`to_json`, `from_json`) with a `format_version`. No sensitive value is in it unless
the state is encrypted: the engine stores fingerprints (see `fingerprints`).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from dstream_state.codec import Json
from dstream_state.errors import FormatTooNew, StateDamaged
from dstream_state.objects import ObjectState, OutputState, ProviderState, TaskState
from dstream_state.records import Intent

FORMAT_VERSION = 1


class Snapshot(Struct, frozen=True):
    """The whole state at one moment. `resources` is by address (as text), `intents` are those without a
    result.

    `serial` rises by one with each write; `epoch` is that of the lock under which it was written; `absorbed`
    maps each journal that is part of it to the number of its last block in it; `hmac_key` is the key of the
    fingerprints.
    """

    lineage: str
    serial: int = 0
    epoch: int = 0
    resources: Mapping[str, ObjectState] = field(default_factory=dict)
    providers: Mapping[str, ProviderState] = field(default_factory=dict)
    outputs: Mapping[str, OutputState] = field(default_factory=dict)
    tasks: Mapping[str, TaskState] = field(default_factory=dict)
    intents: Mapping[str, Intent] = field(default_factory=dict)
    absorbed: Mapping[str, int] = field(default_factory=dict)
    hmac_key: bytes = b""

    @classmethod
    def new(cls, lineage: str = "") -> Snapshot:
        """Return an empty state with a lineage (a fresh one unless given) and a fingerprint key of its
        own."""
        return cls(lineage or str(uuid.uuid4()), hmac_key=os.urandom(32))

    def to_json(self) -> Json:
        """Return the stored form."""
        return {
            "format_version": FORMAT_VERSION,
            "lineage": self.lineage,
            "serial": self.serial,
            "epoch": self.epoch,
            "hmac_key": self.hmac_key.hex(),
            "absorbed": self.absorbed,
            "intents": [intent.to_json() for intent in self.intents.values()],
            "providers": {name: item.to_json() for name, item in self.providers.items()},
            "tasks": {name: item.to_json() for name, item in self.tasks.items()},
            "outputs": {name: item.to_json() for name, item in self.outputs.items()},
            "resources": {name: item.to_json() for name, item in self.resources.items()},
        }

    @classmethod
    def from_json(cls, form: Json) -> Snapshot:
        """Return what `to_json` stored; raise FormatTooNew or StateDamaged."""
        what = "The state document"
        if not isinstance(form, dict) or not isinstance(form.get("format_version"), int):
            raise StateDamaged(what, "it has no format_version")
        if form["format_version"] > FORMAT_VERSION:
            raise FormatTooNew(what, form["format_version"], FORMAT_VERSION)
        if wrong := _wrong_member(form):
            raise StateDamaged(what, f"its {wrong} is not valid")
        try:
            intents = [Intent.from_json(item) for item in form["intents"]]
            return cls(
                lineage=form["lineage"],
                serial=form["serial"],
                epoch=form["epoch"],
                resources={name: ObjectState.from_json(item, name) for name, item in form["resources"].items()},
                providers={name: ProviderState.from_json(item) for name, item in form["providers"].items()},
                outputs={name: OutputState.from_json(item) for name, item in form["outputs"].items()},
                tasks={name: TaskState.from_json(item) for name, item in form["tasks"].items()},
                intents={item.id: item for item in intents},
                absorbed=form["absorbed"],
                hmac_key=bytes.fromhex(form["hmac_key"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StateDamaged(what, f"{type(error).__name__}: {error}") from error


def _wrong_member(form: Mapping[str, Json]) -> str | None:
    """Return the name of a member that what stands on the state could not use; None if all are of their type."""
    absorbed = form.get("absorbed")
    if not isinstance(form.get("lineage"), str):
        return "lineage"
    for name in ("serial", "epoch"):
        if not _is_count(form.get(name)):
            return name
    if not isinstance(absorbed, dict) or not all(map(_is_count, absorbed.values())):
        return "absorbed"
    for address, item in _objects(form):
        if not isinstance(item, dict) or not _is_object(item):
            return f"object {address}"
    return None


def _is_object(item: Mapping[str, Json]) -> bool:
    """Return whether the members of an object are of their types: a state can be edited or forged."""
    get = item.get
    texts = (get("provider"), get("type"), get("key"), get("status", ""), get("replacing") or "")
    if not all(isinstance(each, str) for each in texts) or not isinstance(get("attributes", {}), dict):
        return False
    if not isinstance(get("schema_version", 1), int):
        return False
    dependencies, sensitive = get("dependencies") or (), get("sensitive") or ()
    return (
        isinstance(dependencies, list | tuple)
        and all(isinstance(each, str) for each in dependencies)
        and isinstance(sensitive, list | tuple)
        and all(isinstance(path, list | tuple) and _is_path(path) for path in sensitive)
    )


def _is_path(path: Iterable[Json]) -> bool:
    return all(isinstance(each, str | int) for each in path)


def _objects(form: Mapping[str, Json]) -> Iterable[tuple[str, Json]]:
    resources = form.get("resources")
    return resources.items() if isinstance(resources, dict) else ()


def _is_count(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
