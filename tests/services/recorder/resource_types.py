"""The resource types of the recording provider, each with one property that the engine treats in a way of its own."""

import json
import os
from dataclasses import dataclass
from typing import Any, ClassVar

import dstream_sdk as sdk
from tests.services.recorder.store import SETTLE, Act, Life, Settings, Store


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
        act = Act(self.store, "read", name)
        act.before()
        stored = self.store.read(self.type, name)
        return None if stored is None else act.answer(self.object(stored))

    def create(self, ctx: Any, desired: Any, intent: str | None) -> sdk.Object:
        name = desired["name"]
        more = {"desired": desired, "region": ctx.config.region, "key": ctx.key, "timeout": ctx.timeout}
        self.store.log("create", self.type, name, **more)
        act = Act(self.store, "create", name)
        act.before()
        found = self.make(desired, intent)
        act.after(found)
        self.store.log("created", self.type, name)
        return act.answer(found)

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
        return act.answer(found)

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
        shown = {name: value for name, value in stored["attributes"].items() if name in ("name", "size")}
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
    normalizes = True

    def plan(self, ctx: Any, prior: sdk.Object | None, desired: Any) -> Any:
        uid = sdk.UNKNOWN if prior is None else prior.attributes["uid"]
        decided = {"note": f"decided in {ctx.config.region}", "uid": uid, "size": 1, "zone": "here", "tags": []}
        return {**decided, **desired}, ()

    def create(self, ctx: Any, desired: Any, intent: str | None) -> sdk.Object:
        return super().create(ctx, {"note": f"decided in {ctx.config.region}", **desired}, intent)


class Promising(Recorded):
    """One whose provider plans, and is held to its plan: it adds nothing to what is desired."""

    type = "rec_promising"

    def plan(self, ctx: Any, prior: sdk.Object | None, desired: Any) -> Any:
        act = Act(self.store, "plan", desired["name"])
        uid = sdk.UNKNOWN if prior is None else prior.attributes["uid"]
        planned = act.answer(sdk.Object({}, {"uid": uid, **desired})).attributes
        changed = [] if prior is None else [n for n in self.replace if prior.attributes.get(n) != planned.get(n)]
        return planned, [*changed, *act.wanted.get("replace", ())]


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
    Recorded, Table, Blind, Marked, Secret, Generator, PlannedSecret, Versioned, Composite, Deciding, Promising, Hint,
    Free, Named,
)  # fmt: skip
