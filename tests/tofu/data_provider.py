"""A provider that behaves as OpenTofu's built-in `terraform_data`: it keeps nothing, the state has it all."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import dstream_sdk as sdk
from tests.tofu.configuration import TYPE

PROGRAM = "bin/data"
HEADER = f'provider "terraform" {{\n  provider_path = "./{PROGRAM}"\n}}\n\n'


@dataclass
class Attributes:
    """The attributes of `terraform_data`."""

    input: Any = None
    triggers_replace: Any = None
    output: Any = None
    id: str | None = None


@dataclass
class NoSettings:
    """There is nothing to configure."""


class Data(sdk.ResourceType[NoSettings]):
    """The type `terraform_data`."""

    type = TYPE
    attributes = Attributes
    computed = ("output", "id")
    identity = "assigned"

    def plan(self, ctx: Any, prior: sdk.Object | None, desired: Any) -> Any:
        planned = {name: desired[name] for name in ("input", "triggers_replace") if name in desired}
        before = {} if prior is None else prior.attributes
        forced = prior is not None and _differs(before, planned, "triggers_replace")
        if prior is None or forced:
            planned["id"] = sdk.UNKNOWN
            if "input" in planned:
                planned["output"] = sdk.UNKNOWN
        else:
            planned["id"] = before["id"]
            if _differs(before, planned, "input"):
                planned["output"] = sdk.UNKNOWN
            elif before.get("output") is not None:
                planned["output"] = before["output"]
        return planned, ("triggers_replace",) if forced else ()

    def create(self, ctx: Any, desired: Any, intent: str | None) -> sdk.Object:
        return _object(str(uuid.uuid4()), desired)

    def update(self, ctx: Any, prior: sdk.Object, desired: Any) -> sdk.Object:
        return _object(prior.identity["id"], desired)

    def read(self, ctx: Any, identity: Any, prior: sdk.Object | None) -> sdk.Object:
        return sdk.Object(identity, dict(identity)) if prior is None else prior

    def delete(self, ctx: Any, prior: sdk.Object) -> None:
        """There is nothing to delete."""


def _differs(before: Any, planned: Any, name: str) -> bool:
    return bool(before.get(name) != planned.get(name)) or before.get(name) is True is not planned.get(name)


def _object(id_: str, desired: Any) -> sdk.Object:
    given = {name: desired[name] for name in ("input", "triggers_replace") if desired.get(name) is not None}
    output = {"output": given["input"]} if "input" in given else {}
    return sdk.Object({"id": id_}, {**given, **output, "id": id_})


def provider(_life: object = None) -> sdk.Provider:
    """Return the provider."""
    return sdk.Provider("data", "1.0", resources=[Data()])
