"""The members of a snapshot: real objects, provider configurations, outputs, tasks.

Each has `to_json` and `from_json`; members whose value is the default are left out of the stored form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from dstream_state.codec import Json
from dstream_state.v1_lifecycle import current_type

Status = Literal["ok", "tainted", "pending", "unresolved"]
Path = tuple[str | int, ...]


class Timeouts(Struct, frozen=True):
    """Seconds that a provider may take to create, read, update and delete an object; None: as long as any."""

    create: float | None = None
    read: float | None = None
    update: float | None = None
    delete: float | None = None

    def over(self, others: Timeouts) -> Timeouts:
        """Return these, and of the others those that are not among them."""
        return Timeouts(**{**others.to_json(), **self.to_json()})

    def to_json(self) -> dict[str, float]:
        """Return the stored form."""
        return {name: seconds for name in TIMED if (seconds := getattr(self, name)) is not None}

    @classmethod
    def from_json(cls, form: Json) -> Timeouts:
        """Return what `to_json` stored."""
        return cls(**{name: float(form[name]) for name in TIMED if name in form})


TIMED = ("create", "read", "update", "delete")
"""What a time may be given for."""
NO_TIMEOUTS = Timeouts()


class ObjectState(Struct, frozen=True):
    """One real object: the desired attributes, the provider's answer, and what destroying it requires.

    `provider` is a key of `Snapshot.providers`; `key` is the object's name within its type as the provider knows it;
    `identity` is how the provider finds it again; `attributes` all of its attributes, inputs and computed; `private`
    the provider's own notes; `dependencies` addresses to destroy only after this one; `sensitive` the paths of
    attributes that are never shown. Status `tainted`: exists, and must be replaced; `pending`: asked for, not yet
    there; `unresolved`: its existence is unknown. `prevent_destroy`: declared by the provider of the task that requires
    it, because that provider may not be available when it is destroyed. `timeouts`: those that its block, or that
    provider, gave it when it was last recorded. `replacing`: the reason of a replacement that an apply began and did
    not finish; empty if there is none. `protected`: its block had `prevent_destroy` when it was last recorded.
    """

    provider: str
    type: str
    key: str
    identity: Json = None
    attributes: Mapping[str, Json] = field(default_factory=dict)
    private: Json = None
    dependencies: tuple[str, ...] = ()
    sensitive: tuple[Path, ...] = ()
    schema_version: int = 1
    status: Status = "ok"
    holds_data: bool = False
    create_before_destroy: bool = False
    prevent_destroy: bool = False
    timeouts: Timeouts = NO_TIMEOUTS
    replacing: str = ""
    protected: bool = False

    def to_json(self) -> Json:
        """Return the stored form."""
        form: dict[str, Json] = {
            "provider": self.provider,
            "type": self.type,
            "key": self.key,
            "identity": self.identity,
            "attributes": self.attributes,
        }
        if self.private is not None:
            form["private"] = self.private
        if self.dependencies:
            form["dependencies"] = self.dependencies
        if self.sensitive:
            form["sensitive"] = self.sensitive
        if self.schema_version != 1:
            form["schema_version"] = self.schema_version
        if self.status != "ok":
            form["status"] = self.status
        if self.holds_data:
            form["holds_data"] = True
        if self.create_before_destroy:
            form["create_before_destroy"] = True
        if self.prevent_destroy:
            form["prevent_destroy"] = True
        if self.timeouts != NO_TIMEOUTS:
            form["timeouts"] = self.timeouts.to_json()
        if self.replacing:
            form["replacing"] = self.replacing
        if self.protected:
            form["protected"] = True
        return form

    @classmethod
    def from_json(cls, form: Json, address: str = "") -> ObjectState:
        """Return what `to_json` stored for the object at `address`, where that is known."""
        get = form.get
        dependencies, sensitive = get("dependencies"), get("sensitive")
        return cls(
            form["provider"],
            current_type(address, form["type"]),
            form["key"],
            get("identity"),
            get("attributes", {}),
            get("private"),
            tuple(dependencies) if dependencies else (),
            tuple(map(tuple, sensitive)) if sensitive else (),
            get("schema_version", 1),
            get("status", "ok"),
            get("holds_data", False),
            get("create_before_destroy", False),
            get("prevent_destroy", False),
            Timeouts.from_json(form["timeouts"]) if "timeouts" in form else NO_TIMEOUTS,
            get("replacing", ""),
            get("protected", False),
        )


class ProviderState(Struct, frozen=True):
    """A provider configuration in use, so that an object whose block was deleted can still be refreshed and
    destroyed.

    `source` is how it is started (as JSON), `version` its reported version, `config` its settings: each sensitive leaf
    as its expression with its origins, never its value. `role` is the role it is started in.
    """

    source: Json
    version: str
    config: Json
    role: str

    def to_json(self) -> Json:
        """Return the stored form."""
        return {"source": self.source, "version": self.version, "config": self.config, "role": self.role}

    @classmethod
    def from_json(cls, form: Json) -> ProviderState:
        """Return what `to_json` stored."""
        return cls(form["source"], form["version"], form["config"], form["role"])


class OutputState(Struct, frozen=True):
    """The value of an `output` block at the last apply.

    Of a sensitive one the value is not stored in clear.
    """

    value: Json
    sensitive: bool = False

    def to_json(self) -> Json:
        """Return the stored form."""
        return {"value": self.value, "sensitive": True} if self.sensitive else {"value": self.value}

    @classmethod
    def from_json(cls, form: Json) -> OutputState:
        """Return what `to_json` stored."""
        return cls(form["value"], form.get("sensitive", False))


class TaskState(Struct, frozen=True):
    """That a task was applied: the fingerprint of its configuration, and when (see `clock.now`)."""

    fingerprint: str
    applied_at: str
    discovered: Mapping[str, tuple[Json, ...]] = field(default_factory=dict)
    """Streams that its outputs discovered at run time, by the name of the flow."""
    settings: Mapping[str, Json] | None = None
    """Its providers and their configuration by side, with fingerprints for secrets; None if dstream was older."""
    streams: tuple[str, ...] = ()
    """The names of the streams that its input had; empty without `settings`."""
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The columns of those streams that declared them, each with its type as text; empty if there were very many."""

    def to_json(self) -> Json:
        """Return the stored form."""
        form: Json = {"fingerprint": self.fingerprint, "applied_at": self.applied_at}
        if self.discovered:
            form["discovered"] = {flow: list(streams) for flow, streams in self.discovered.items()}
        if self.settings is not None:
            form |= {"settings": dict(self.settings), "streams": list(self.streams)}
        if self.columns:
            form["columns"] = {stream: dict(columns) for stream, columns in self.columns.items()}
        return form

    @classmethod
    def from_json(cls, form: Json) -> TaskState:
        """Return what `to_json` stored."""
        discovered = {flow: tuple(streams) for flow, streams in form.get("discovered", {}).items()}
        return cls(
            form["fingerprint"],
            form["applied_at"],
            discovered,
            settings=form.get("settings"),
            streams=tuple(form.get("streams", ())),
            columns=form.get("columns", {}),
        )
