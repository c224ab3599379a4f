"""The reference providers: small, complete, and the providers' side of the golden transcripts.

Run as `python reference.py NAME`, where NAME is a provider of `PROVIDERS`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dstream_sdk import (
    Consequence,
    Deferred,
    DeniedError,
    Envelope,
    Finding,
    Input,
    InputSession,
    InvalidError,
    Notice,
    Object,
    Output,
    OutputSession,
    PlanContext,
    Provider,
    ProviderError,
    Released,
    Resource,
    ResourceContext,
    ResourceType,
    RetriableError,
    Stream,
    main,
    setting,
)


@dataclass(frozen=True)
class InputSettings:
    count: int = setting(2, description="records to emit", minimum=0)
    name: str = setting("orders", description="name of the stream")
    forever: bool = setting(False, description="wait to be stopped instead of ending")
    release: bool = setting(False, description="emit a record that tells what was committed last")
    fail: str = setting("", description="fail with this message when opened")
    breaks: str = setting("", description="fail with this message after the records", aliases=["break"])
    password: str = setting("", description="a secret", sensitive=True)
    patience: int = setting(0, description="seconds that changes of its object may take")
    former: str = setting("", description="a thing that is needed no longer")


class ReferenceInput(Input[InputSettings]):
    def plan(self, config: InputSettings, context: PlanContext) -> Iterable[Resource | Stream | Released | Notice]:
        if config.fail:
            raise InvalidError("Cannot plan", config.fail, path="config.fail")
        patience = config.patience
        timeouts = {"create": patience, "update": 30.5, "delete": patience} if patience else {}
        attributes = {"name": config.name, "size": 1}
        yield Resource("thing", config.name, attributes, aliases=[("thing", "old")], timeouts=timeouts)
        yield Stream(config.name, ("n",), {"type": "object", "properties": {"n": {"type": "integer"}}})
        if config.former:
            yield Released("thing", config.former)
            yield Notice("Moved", f"{config.former} is now {config.name}", path="config.former")

    def consequences(self, config: InputSettings, context: PlanContext) -> Iterable[Consequence | Finding]:
        recorded = context.prior.checkpoint or {"n": 0}
        text, hours = f"continues after record {recorded['n']}", 0.5 if context.prior.applied else None
        yield Consequence("resume", text, stream=config.name, hours=hours)
        yield Finding("Source is slow", "it answered after 1 s", "add an index", "config.name", certain=False)

    def open(self, config: InputSettings, session: InputSession) -> None:
        if config.fail:
            raise InvalidError("Cannot open", config.fail, path="config.fail")

    def run(self, config: InputSettings, session: InputSession) -> None:
        print("a library prints")
        released = threading.Event()
        session.on_committed(lambda _: released.set())
        n = int((session.checkpoint_position or {"n": 0})["n"])
        while n < config.count and not session.stopping:
            n += 1
            session.emit({"n": n}, {"TableName": config.name})
            session.checkpoint({"source": "reference", "n": n})
        if config.breaks:
            raise RetriableError("Cannot read", config.breaks)
        if config.release and (session.committed or released.wait(10)):
            session.emit({"released": (session.committed or {})["n"]})
        if config.forever and not session.until_current:
            while not session.wait(60):
                pass
            session.checkpoint({"source": "reference", "n": n})


@dataclass(frozen=True)
class OutputSettings:
    stored: int = setting(0, description="n of the checkpoint that the sink has stored")
    prefix: str = ""


class ReferenceOutput(Output[OutputSettings]):
    """Refuses data with a member `bad`, ends at `denied`; tells on standard output (version 1) what it took."""

    def plan(self, config: OutputSettings, context: PlanContext) -> Iterable[Resource]:
        for stream in context.streams:
            yield Resource("thing", stream.name, {"name": config.prefix + stream.name, "size": len(stream.key)})

    def open(self, config: OutputSettings, session: OutputSession) -> None:
        self.session = session
        self.written: list[Envelope] = []

    def write_envelopes(self, envelopes: list[Envelope]) -> None:
        print("a library prints")
        for each in envelopes:
            if "bad" in each.data:
                self.session.reject(each.line, "it is bad")
            elif "denied" in each.data:
                raise DeniedError("Access denied", "it may not be written")
            else:
                self.written.append(each)

    def flush(self, checkpoint: dict[str, Any] | None) -> None:
        if self.session.protocol == 1:
            self.session.display(b"".join(each.line + b"\n" for each in self.written))
            self.written.clear()


class CreatingOutput(ReferenceOutput):
    """Needs an object for each table, and asks for that of a table which nobody has named."""

    def write_envelopes(self, envelopes: list[Envelope]) -> None:
        known = {stream.name for stream in self.session.streams}
        for each in envelopes:
            table = each.metadata["TableName"]
            if table not in known:
                self.session.discover(Stream(table, tuple(each.metadata["Key"])))
        super().write_envelopes(envelopes)


class StoringOutput(ReferenceOutput):
    stores_checkpoint = True

    def open(self, config: OutputSettings, session: OutputSession) -> None:
        super().open(config, session)
        if config.stored:
            session.stored_checkpoint = {"source": "reference", "n": config.stored}


@dataclass(frozen=True)
class ThingAttributes:
    name: str
    size: int = 1
    colour: str | None = None
    serial: int | None = None


THINGS: dict[str, Object] = {}
"""All things there are: they live as long as the process, as far as a transcript needs them."""


class Thing(ResourceType[Any]):
    type = "thing"
    attributes = ThingAttributes
    version = 2
    computed = ("serial",)
    replace = ("colour",)
    identity_attributes = ("name",)
    holds_data = True

    def read(self, ctx: ResourceContext[Any], identity: Mapping[str, Any], prior: Object | None) -> Object | None:
        if identity["name"] == "unreachable":
            raise RetriableError("Not reachable", "try again", retry_after=1.5)
        return THINGS.get(identity["name"])

    def create(self, ctx: ResourceContext[Any], desired: Mapping[str, Any], intent: str | None) -> Object:
        name = desired["name"]
        made = Object({"name": name}, {**desired, "serial": len(THINGS) + 1}, {"intent": intent})
        if name == "slow":
            ctx.progress("waiting to be cancelled")
            while not ctx.cancelled:
                threading.Event().wait(0.01)
            raise ProviderError("Cancelled", "the host asked for it")
        THINGS[name] = made
        if name == "half":
            raise ProviderError("Half made", "it exists but has no size", object=made)
        if name == "bug":
            raise KeyError("bug")
        return made

    def update(self, ctx: ResourceContext[Any], prior: Object, desired: Mapping[str, Any]) -> Object:
        THINGS[prior.identity["name"]] = made = Object(prior.identity, {**prior.attributes, **desired}, prior.private)
        return made

    def delete(self, ctx: ResourceContext[Any], prior: Object) -> None:
        THINGS.pop(prior.identity["name"], None)

    def find(self, ctx: ResourceContext[Any], intent: str) -> Object | None:
        return next((each for each in THINGS.values() if (each.private or {}).get("intent") == intent), None)

    def upgrade(self, ctx: ResourceContext[Any], attributes: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        return {"name": attributes["title"], "size": 1} if version == 1 else attributes

    def plan(
        self, ctx: ResourceContext[Any], prior: Object | None, desired: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Sequence[str]]:
        smaller = prior is not None and desired["size"] < prior.attributes["size"]
        return desired, ["size"] if smaller else []

    def read_many(
        self, ctx: ResourceContext[Any], objects: Sequence[tuple[Mapping[str, Any], Object | None]]
    ) -> Sequence[Object | None]:
        return [THINGS.get(identity["name"]) for identity, _ in objects]


class NeedsAll(ReferenceInput):
    """Plans only when every setting is known."""

    def plan(self, config: InputSettings, context: PlanContext) -> Iterable[Resource | Stream | Released | Notice]:
        if not config.name:
            raise Deferred("config.name")
        return super().plan(config, context)


PROVIDERS = {
    "input": Provider("reference", "1.0.0", input=ReferenceInput(), resources=[Thing()]),
    "output": Provider("reference", "1.0.0", output=ReferenceOutput(), resources=[Thing()]),
    "creating-output": Provider("reference", "1.0.0", output=CreatingOutput(), resources=[Thing()]),
    "storing-output": Provider("reference", "1.0.0", output=StoringOutput()),
    "needs-all": Provider("reference", "1.0.0", input=NeedsAll()),
}

if __name__ == "__main__":
    main(PROVIDERS[sys.argv[1]])
