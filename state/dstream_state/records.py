"""Records: the entries of a journal, one fact each; a block of them becomes durable in one write.

An intent is written before a provider is called, its result before anything that depends on it. The other records have
changes that involve no provider (moves, removals, providers and outputs in use), and started processes. Stored form: an
object whose `record` names the kind; `from_json` reads any of them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import Struct

from dstream_state.codec import Json
from dstream_state.errors import StateDamaged
from dstream_state.objects import NO_TIMEOUTS, ObjectState, OutputState, ProviderState, TaskState, Timeouts
from dstream_state.v1_lifecycle import current_type

Outcome = Literal["ok", "gone", "error"]


class Intent(Struct, frozen=True):
    """A provider is about to be asked to change an object.

    `id` is a UUID, given to the provider as idempotency token; `action` is create, update, destroy or import;
    `provider`, `type`, `key`, `identity` and `desired` are sent to the provider; `timeout` in seconds; `at` is seconds
    since 1970, when it was written; `planned` says that a read at plan time found the (planned) identity absent;
    `dependencies` and `timeouts` are those that the object will have.
    """

    record: ClassVar[str] = "intent"
    id: str
    action: str
    address: str
    provider: str
    type: str
    key: str
    identity: Json = None
    desired: Json = None
    timeout: float = 0
    at: float = 0
    planned: bool = False
    dependencies: tuple[str, ...] = ()
    timeouts: Timeouts = NO_TIMEOUTS

    def to_json(self) -> Json:
        """Return the stored form."""
        form: dict[str, Json] = {
            "record": self.record,
            "id": self.id,
            "action": self.action,
            "address": self.address,
            "provider": self.provider,
            "type": self.type,
            "key": self.key,
            "identity": self.identity,
            "desired": self.desired,
            "timeout": self.timeout,
            "at": self.at,
        }
        if self.planned:
            form["planned"] = True
        if self.dependencies:
            form["dependencies"] = self.dependencies
        if self.timeouts != NO_TIMEOUTS:
            form["timeouts"] = self.timeouts.to_json()
        return form

    @classmethod
    def from_json(cls, form: Json) -> Intent:
        """Return what `to_json` stored."""
        return cls(
            form["id"],
            form["action"],
            form["address"],
            form["provider"],
            current_type(form["address"], form["type"]),
            form["key"],
            form["identity"],
            form["desired"],
            float(form["timeout"]),
            float(form["at"]),
            form.get("planned", False),
            tuple(form.get("dependencies", ())),
            Timeouts.from_json(form.get("timeouts", {})),
        )


class Result(Struct, frozen=True):
    """The outcome of an intent; `intent` is its id.

    With an `object`, that is what the address holds now. Without: `gone`, and `ok` of a destroy, take the address out;
    anything else leaves it as it was. `message` is for the user.
    """

    record: ClassVar[str] = "result"
    intent: str
    outcome: Outcome
    object: ObjectState | None = None
    message: str = ""

    def to_json(self) -> Json:
        """Return the stored form."""
        form: dict[str, Json] = {"record": self.record, "intent": self.intent, "outcome": self.outcome}
        if self.object is not None:
            form["object"] = self.object.to_json()
        if self.message:
            form["message"] = self.message
        return form

    @classmethod
    def from_json(cls, form: Json) -> Result:
        """Return what `to_json` stored."""
        item = form.get("object")
        return cls(
            form["intent"],
            form["outcome"],
            None if item is None else ObjectState.from_json(item),
            form.get("message", ""),
        )


class ProcessStarted(Struct, frozen=True):
    """A provider process.

    Pid, start time (`processes.start_time`), host (`processes.this_host`), container name.
    """

    record: ClassVar[str] = "process"
    pid: int
    started: int | None
    host: str
    container: str = ""

    def to_json(self) -> Json:
        """Return the stored form."""
        return {
            "record": self.record,
            "pid": self.pid,
            "started": self.started,
            "host": self.host,
            "container": self.container,
        }

    @classmethod
    def from_json(cls, form: Json) -> ProcessStarted:
        """Return what `to_json` stored."""
        return cls(form["pid"], form["started"], form["host"], form["container"])


class Put(Struct, frozen=True):
    """The address holds this object now (moved, refreshed, imported), no provider being asked."""

    record: ClassVar[str] = "put"
    address: str
    object: ObjectState

    def to_json(self) -> Json:
        """Return the stored form."""
        return {"record": self.record, "address": self.address, "object": self.object.to_json()}

    @classmethod
    def from_json(cls, form: Json) -> Put:
        """Return what `to_json` stored."""
        return cls(form["address"], ObjectState.from_json(form["object"], form["address"]))


class Drop(Struct, frozen=True):
    """The address holds nothing now (moved away, forgotten), no provider being asked."""

    record: ClassVar[str] = "drop"
    address: str

    def to_json(self) -> Json:
        """Return the stored form."""
        return {"record": self.record, "address": self.address}

    @classmethod
    def from_json(cls, form: Json) -> Drop:
        """Return what `to_json` stored."""
        return cls(form["address"])


class PutProvider(Struct, frozen=True):
    """The provider configuration `id` (as in `ObjectState.provider`) is in use; None: no longer."""

    record: ClassVar[str] = "provider"
    id: str
    provider: ProviderState | None

    def to_json(self) -> Json:
        """Return the stored form."""
        return {"record": self.record, "id": self.id, "provider": self.provider and self.provider.to_json()}

    @classmethod
    def from_json(cls, form: Json) -> PutProvider:
        """Return what `to_json` stored."""
        return cls(form["id"], ProviderState.from_json(form["provider"]) if form["provider"] else None)


class PutOutput(Struct, frozen=True):
    """The output `name` has this value now; None if it no longer exists."""

    record: ClassVar[str] = "output"
    name: str
    output: OutputState | None

    def to_json(self) -> Json:
        """Return the stored form."""
        return {"record": self.record, "name": self.name, "output": self.output and self.output.to_json()}

    @classmethod
    def from_json(cls, form: Json) -> PutOutput:
        """Return what `to_json` stored."""
        return cls(form["name"], OutputState.from_json(form["output"]) if form["output"] else None)


class PutTask(Struct, frozen=True):
    """The task at this address was applied; None if it no longer exists."""

    record: ClassVar[str] = "task"
    address: str
    task: TaskState | None

    def to_json(self) -> Json:
        """Return the stored form."""
        return {"record": self.record, "address": self.address, "task": self.task and self.task.to_json()}

    @classmethod
    def from_json(cls, form: Json) -> PutTask:
        """Return what `to_json` stored."""
        return cls(form["address"], TaskState.from_json(form["task"]) if form["task"] else None)


class SetKey(Struct, frozen=True):
    """The key of the fingerprints in the records that follow.

    Written first where there is no snapshot yet.
    """

    record: ClassVar[str] = "key"
    key: bytes

    def to_json(self) -> Json:
        """Return the stored form."""
        return {"record": self.record, "key": self.key.hex()}

    @classmethod
    def from_json(cls, form: Json) -> SetKey:
        """Return what `to_json` stored."""
        return cls(bytes.fromhex(form["key"]))


Record = Intent | Result | ProcessStarted | Put | Drop | PutProvider | PutOutput | PutTask | SetKey

_KINDS: dict[str, type[Record]] = {
    kind.record: kind for kind in (Intent, Result, ProcessStarted, Put, Drop, PutProvider, PutOutput, PutTask, SetKey)
}


def from_json(form: Json) -> Record:
    """Return the record that `form` stores; raise StateDamaged if it is none."""
    try:
        return _KINDS[form["record"]].from_json(form)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateDamaged("A journal record", f"{type(error).__name__}: {error}") from error
