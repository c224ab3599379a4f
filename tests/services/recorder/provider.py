"""The recording provider: objects are files in a folder, calls are lines of a log, and it fails as it is told.

It runs as a process of its own, without site-packages, and imports nothing but the SDK; or as a thread of the test
process, see `in_process`. What it does beyond its duty stands in `behaviour/COMMAND NAME.json`: see `Recorder.on`.
"""

import json
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import dstream_sdk as sdk

SETTLE = 0.3
"""Seconds after which a call that was cut off has no more effect."""


@dataclass(frozen=True)
class Settings:
    """What every role of the recorder is configured with."""

    folder: str = sdk.setting(description="where objects, calls and behaviour are")
    password: str = sdk.setting("", sensitive=True)
    region: str = ""
    tables: list[str] = field(default_factory=list)
    size: int = 1
    patience: int = sdk.setting(0, description="seconds that changes of the parts of an output may take")
    bad: str = sdk.setting("", description="a table that a task is refused for")
    retired: list[str] = field(default_factory=list)
    """Containers that a task asks for besides, or, with a leading -, releases."""
    lifecycles: dict[str, str] = field(default_factory=dict)
    """Objects of the type `lifecycle` that an output needs: name to zone, or to `later`, whose size is not known."""


class Life:
    """The process that the provider is: what names it, and how it waits and dies."""

    pid = os.getpid()

    def die(self) -> None:
        """End at this moment."""
        os.kill(self.pid, signal.SIGKILL)

    def sleep(self, seconds: float) -> None:
        """Wait; what has been killed does not come back from it."""
        time.sleep(seconds)


class Store:
    """The folder, as the provider uses it."""

    def __init__(self, folder: str, life: Life) -> None:
        self.folder = Path(folder)
        self.life = life
        self.lock = threading.Lock()

    def log(self, command: str, kind: str, name: str, **more: Any) -> None:
        form = {"command": command, "type": kind, "name": name, "pid": self.life.pid, **more}
        line = json.dumps(form, default=lambda _: {"$withheld": True})
        with (self.folder / "calls.jsonl").open("ab") as file:
            file.write(line.encode() + b"\n")

    def behaviour(self, command: str, name: str) -> dict[str, Any]:
        path = self.folder / "behaviour" / f"{command} {name}.json"
        with self.lock:
            if not path.exists():
                path = path.with_name(f"{command} any.json")
            if not path.exists():
                return {}
            found: dict[str, Any] = json.loads(path.read_text())
            times = found.get("times")
            if times is not None:
                found["times"] = times - 1
                path.write_text(json.dumps(found)) if times > 1 else path.unlink()
        return found

    def path(self, kind: str, name: str) -> Path:
        return self.folder / "objects" / f"{kind} {name.replace('/', '_')}.json"

    def read(self, kind: str, name: str) -> dict[str, Any] | None:
        path = self.path(kind, name)
        return json.loads(path.read_text()) if path.exists() else None

    def write(self, kind: str, name: str, content: dict[str, Any]) -> None:
        path = self.path(kind, name)
        fresh = path.with_name(f".{path.name}.{threading.get_ident()}")
        fresh.write_text(json.dumps(content))
        fresh.replace(path)


ERRORS = {
    "retriable": sdk.RetriableError,
    "invalid": sdk.InvalidError,
    "conflict": sdk.ConflictError,
    "denied": sdk.DeniedError,
    "fatal": sdk.ProviderError,
}


class Act:
    """What the test wants of one call: before the duty is done, and after it."""

    def __init__(self, store: Store, command: str, name: str) -> None:
        self.wanted = store.behaviour(command, name)
        self.store, self.command, self.name = store, command, name

    def before(self) -> None:
        if "gate" in self.wanted:
            gate = self.store.folder / self.wanted["gate"]
            while not gate.exists():
                self.store.life.sleep(0.01)
        self.store.life.sleep(self.wanted.get("slow", 0.0))
        if self.wanted.get("crash") == "before":
            self.store.life.die()
        if "fail" in self.wanted and not self.wanted.get("made"):
            self._fail(None)

    def after(self, found: sdk.Object | None) -> None:
        if self.wanted.get("crash") == "after":
            self.store.life.die()
        if "fail" in self.wanted and self.wanted.get("made"):
            self._fail(found)

    def _fail(self, found: sdk.Object | None) -> None:
        detail = f"told to fail with {self.wanted['fail']} at {self.command} of {self.name}"
        raise ERRORS[self.wanted["fail"]]("Told to fail", detail, object=found, retry_after=self.wanted.get("retry"))


@dataclass
class Plain:
    """Attributes of most types."""

    name: str
    size: int = 1
    zone: str = "here"
    note: str | None = None
    tags: frozenset[str] = frozenset()
    labels: dict[str, str] | None = None
    uid: str | None = None


class Recorded(sdk.ResourceType[Settings]):
    """A type with a planned identity: its name."""

    type = "rec_planned"
    attributes = Plain
    computed = ("uid",)
    replace = ("name", "zone")
    identity = "planned"
    identity_attributes = ("name",)
    settle = SETTLE

    def __init__(self, life: Life) -> None:
        self.life = life

    def open(self, config: Settings) -> None:
        self.store = Store(config.folder, self.life)

    def object(self, stored: dict[str, Any]) -> sdk.Object:
        return sdk.Object({"name": stored["attributes"]["name"]}, stored["attributes"], {"serial": stored["serial"]})

    def file(self, identity: Any) -> str:
        return str(identity["name"])

    def read(self, ctx: Any, identity: Any, prior: Any) -> sdk.Object | None:
        name = self.file(identity)
        before = None if prior is None else prior.attributes
        self.store.log("read", self.type, name, prior=before, timeout=ctx.timeout)
        Act(self.store, "read", name).before()
        stored = self.store.read(self.type, name)
        return None if stored is None else self.object(stored)

    def create(self, ctx: Any, desired: Any, intent: str | None) -> sdk.Object:
        name = desired["name"]
        more = {"desired": desired, "region": ctx.config.region, "key": ctx.key, "timeout": ctx.timeout}
        self.store.log("create", self.type, name, **more)
        act = Act(self.store, "create", name)
        act.before()
        found = self.make(desired, intent)
        act.after(found)
        self.store.log("created", self.type, name)
        return found

    def make(self, desired: Any, intent: str | None) -> sdk.Object:
        name = desired["name"]
        if self.store.path(self.type, name).exists():
            raise sdk.ConflictError("Exists", f"there is a {name} already")
        stored = {"attributes": {**desired, "uid": f"uid-of-{name}"}, "intent": intent, "serial": 1}
        self.store.write(self.type, name, stored)
        return self.object(stored)

    def update(self, ctx: Any, prior: sdk.Object, desired: Any) -> sdk.Object:
        name = self.file(prior.identity)
        self.store.log("update", self.type, name, desired=desired, prior=prior.attributes, timeout=ctx.timeout)
        act = Act(self.store, "update", name)
        act.before()
        stored = self.store.read(self.type, name)
        if stored is None:
            raise sdk.ConflictError("Gone", f"there is no {name}")
        stored = {
            **stored,
            "attributes": {**desired, "uid": stored["attributes"]["uid"]},
            "serial": stored["serial"] + 1,
        }
        self.store.write(self.type, name, stored)
        found = self.object(stored)
        act.after(found)
        self.store.log("updated", self.type, name)
        return found

    def delete(self, ctx: Any, prior: sdk.Object) -> None:
        name = self.file(prior.identity)
        self.store.log("delete", self.type, name, password=ctx.config.password, timeout=ctx.timeout)
        act = Act(self.store, "delete", name)
        act.before()
        self.store.path(self.type, name).unlink(missing_ok=True)
        act.after(None)
        self.store.log("deleted", self.type, name)


class Table(Recorded):
    """One that holds data."""

    type = "rec_table"
    holds_data = True


class Blind(Recorded):
    """One whose identity is given when it is created, and that keeps no note of who created it."""

    type = "rec_blind"
    identity = "assigned"
    identity_attributes = ()

    def object(self, stored: dict[str, Any]) -> sdk.Object:
        return sdk.Object({"id": stored["id"]}, stored["attributes"])

    def file(self, identity: Any) -> str:
        return str(identity["id"])

    def make(self, desired: Any, intent: str | None) -> sdk.Object:
        number = f"{desired['name']}-{os.urandom(4).hex()}"
        attributes = {**desired, "uid": f"uid-of-{desired['name']}"}
        stored = {"id": number, "attributes": attributes, "intent": intent, "serial": 1}
        self.store.write(self.type, number, stored)
        return self.object(stored)


class Marked(Blind):
    """One whose identity is given when it is created, and that keeps the intent with it."""

    type = "rec_marked"

    def find(self, ctx: Any, intent: str) -> sdk.Object | None:
        self.store.log("find", self.type, ctx.key, intent=intent)
        Act(self.store, "find", ctx.key).before()
        for path in (self.store.folder / "objects").glob(f"{self.type} *.json"):
            stored = json.loads(path.read_text())
            if stored["intent"] == intent:
                return self.object(stored)
        return None


@dataclass
class Secretive:
    """Attributes with secrets."""

    name: str
    password: str
    size: int = 1
    token: str | None = None
    """Made up by the target, and told again."""


class Secret(Recorded):
    """One that is given a secret, which it never tells, and makes up another, which it tells."""

    type = "rec_secret"
    attributes = Secretive
    computed = ("token",)
    sensitive: ClassVar = {"password": "write_only", "token": "readable"}
    replace = ("name",)

    def object(self, stored: dict[str, Any]) -> sdk.Object:
        shown = {name: value for name, value in stored["attributes"].items() if name not in ("password", "uid")}
        return sdk.Object(
            {"name": shown["name"]},
            {**shown, "password": sdk.WITHHELD, "token": f"token-of-{shown['name']}-5ecret"},
        )


@dataclass
class Generated:
    """Attributes of which one is made up and told once."""

    name: str
    key: str | None = None


class Generator(Recorded):
    """One that makes up a secret and never tells it again."""

    type = "rec_generated"
    attributes = Generated
    computed = ("key",)
    sensitive: ClassVar = {"key": "write_only"}
    replace = ("name",)

    def object(self, stored: dict[str, Any]) -> sdk.Object:
        name = stored["attributes"]["name"]
        return sdk.Object({"name": name}, {"name": name, "key": sdk.WITHHELD})

    def make(self, desired: Any, intent: str | None) -> sdk.Object:
        made = super().make(desired, intent)
        return sdk.Object(made.identity, {**made.attributes, "key": f"key-of-{desired['name']}-5ecret"})


class PlannedSecret(Recorded):
    """One that is given a secret, and makes up another while it plans, a new one each time."""

    type = "rec_planned_secret"
    attributes = Secretive
    computed = ("token",)
    sensitive: ClassVar = {"password": "readable", "token": "readable"}
    replace = ("name",)

    def object(self, stored: dict[str, Any]) -> sdk.Object:
        attributes = {name: value for name, value in stored["attributes"].items() if name != "uid"}
        return sdk.Object({"name": attributes["name"]}, attributes)

    def plan(self, ctx: Any, prior: sdk.Object | None, desired: Any) -> Any:
        token = f"made-up-{os.urandom(4).hex()}-5ecret" if prior is None else prior.attributes["token"]
        return {"token": token, "size": 1, **desired}, ()


class Versioned(Recorded):
    """One whose `name` was called `title` in the first version of its schema."""

    type = "rec_versioned"
    version = 2

    def upgrade(self, ctx: Any, attributes: Any, version: int) -> Any:
        found = dict(attributes)
        found["name"] = found.pop("title")
        return {"zone": "here", "tags": [], **found}


@dataclass
class Limits:
    """What an object may take."""

    cpus: int | None = None
    memory: int = 512


@dataclass
class Composed:
    """Attributes with objects in them."""

    name: str
    limits: Limits | None = None
    rules: list[Limits] | None = None
    zones: dict[str, Limits] | None = None
    grown: Limits | None = None
    """To what is given the target adds the `cpus`."""
    uid: str | None = None


class Composite(Recorded):
    """One with objects in its attributes."""

    type = "rec_composite"
    attributes = Composed
    computed = ("grown", "uid")
    replace = ("name",)

    def object(self, stored: dict[str, Any]) -> sdk.Object:
        found = super().object(stored)
        attributes = dict(found.attributes)
        if attributes.get("grown") is not None:
            attributes["grown"] = {"cpus": 8, **attributes["grown"]}
        return sdk.Object(found.identity, attributes, found.private)


class Deciding(Recorded):
    """One whose provider decides on a note where none is given, while it plans and when it creates."""

    type = "rec_deciding"

    def plan(self, ctx: Any, prior: sdk.Object | None, desired: Any) -> Any:
        uid = sdk.UNKNOWN if prior is None else prior.attributes["uid"]
        decided = {"note": f"decided in {ctx.config.region}", "uid": uid, "size": 1, "zone": "here", "tags": []}
        return {**decided, **desired}, ()

    def create(self, ctx: Any, desired: Any, intent: str | None) -> sdk.Object:
        return super().create(ctx, {"note": f"decided in {ctx.config.region}", **desired}, intent)


@dataclass
class Hinted:
    """Attributes with a secret that may be given."""

    name: str
    hint: str | None = None
    uid: str | None = None


class Hint(Recorded):
    """One that may be given a secret."""

    type = "rec_hint"
    attributes = Hinted
    sensitive: ClassVar = {"hint": "readable"}
    replace = ("name",)


class Named(Recorded):
    """One whose type has the name that version 1 lifecycles have in addresses."""

    type = "lifecycle"


class Free(Recorded):
    """One whose schema names no attribute."""

    type = "rec_free"
    attributes = dict
    computed = ()


KINDS = (
    Recorded, Table, Blind, Marked, Secret, Generator, PlannedSecret, Versioned, Composite, Deciding, Hint, Free,
    Named,
)  # fmt: skip


def asked_for(config: Settings, life: Life) -> list[sdk.Resource]:
    """What a side of a task needs: a container, a part of it for each table, and a marked one after all of them."""
    Store(config.folder, life).log("derive", "task", "out")
    if config.bad:
        raise sdk.InvalidError("Cannot be moved", f"the table {config.bad} has no key", path="config.bad")
    tables, patience = config.tables, config.patience
    parts = [
        sdk.Resource(
            "rec_planned",
            table,
            {"name": f"part-{table}", "size": config.size},
            depends_on=[("rec_table", "box")],
            aliases=[("rec_planned", f"old-{table}")],
            timeouts={"create": patience, "delete": 2 * patience} if patience else {},
        )
        for table in tables
    ]
    return [sdk.Resource("rec_table", "box", {"name": f"box-{config.region or 'x'}", "size": config.size}), *parts]


class In(sdk.Input[Settings]):
    """An input that delivers a stream for each table and needs a marked object."""

    def __init__(self, life: Life) -> None:
        self.life = life

    def plan(self, config: Settings, context: Any) -> Any:
        Store(config.folder, self.life).log("derive", "task", "in")
        for table in config.tables:
            yield sdk.Stream(table, ["id"], {"type": "object"})
        yield sdk.Resource("rec_marked", "slot", {"name": f"slot-{context.task}"})

    def run(self, config: Settings, session: Any) -> None:
        session.emit({"table": "none"})


class Out(sdk.Output[Settings]):
    """An output that needs an object for each table, its own or the streams'."""

    def __init__(self, life: Life) -> None:
        self.life = life

    def plan(self, config: Settings, context: Any) -> Any:
        yield from asked_for(config, self.life)
        for name in config.retired:
            if name[0] == "-":
                yield sdk.Released("rec_table", name[1:])
                yield sdk.Notice("Released", f"{name[1:]} is needed no longer", path="config.retired")
            else:
                yield sdk.Resource("rec_table", name, {"name": name})
        for name, zone in config.lifecycles.items():
            size = sdk.UNKNOWN if zone == "later" else config.size
            yield sdk.Resource("lifecycle", name, {"name": name, "zone": zone, "size": size})
        for stream in context.streams:
            yield sdk.Resource("rec_planned", f"stream-{stream.name}", {"name": f"stream-{stream.name}"})

    def open(self, config: Settings, session: Any) -> None:
        """Nothing to open."""

    def write(self, lines: list[bytes]) -> None:
        """Keep nothing."""

    def flush(self, checkpoint: Any) -> None:
        """Nothing to flush."""


def recorder(role: str, life: Life) -> sdk.Provider:
    """Return the recorder as an input ("in"), an output ("out") or neither ("resource")."""
    parts: dict[str, Any] = {}
    if role == "in":
        parts = {"input": In(life)}
    elif role == "out":
        parts = {"output": Out(life)}
    return sdk.Provider("rec", "1.0", resources=[kind(life) for kind in KINDS], **parts)


def run(role: str) -> None:
    """Be the recorder, as a process."""
    sdk.main(recorder(role, Life()))
