"""The provider that the measurement of plan and apply drives: what `terraform_data` is to OpenTofu, as a process.

An object is what the state says of it: creating it gives it an id and copies `input` to `output`, reading it gives
back what was recorded. The whole cost is the engine's, the wire's and that of the SDK.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dstream_sdk as sdk


@dataclass(frozen=True)
class Settings:
    """It takes no settings."""


@dataclass
class Attributes:
    """The attributes of `terraform_data`."""

    input: str | None = None
    triggers_replace: str | None = None
    output: str | None = None
    id: str | None = None


class Data(sdk.ResourceType[Settings]):
    """One value that is kept in the state."""

    type = "bench_data"
    attributes = Attributes
    computed = ("output", "id")
    replace = ("triggers_replace",)
    identity = "assigned"

    def read(self, ctx: Any, identity: Mapping[str, Any], prior: sdk.Object | None) -> sdk.Object | None:
        return None if prior is None else sdk.Object(identity, prior.attributes)

    def create(self, ctx: Any, desired: Mapping[str, Any], intent: str | None) -> sdk.Object:
        made = intent or str(uuid.uuid4())
        return sdk.Object({"id": made}, {**desired, "output": desired.get("input"), "id": made})

    def update(self, ctx: Any, prior: sdk.Object, desired: Mapping[str, Any]) -> sdk.Object:
        made = prior.identity["id"]
        return sdk.Object(prior.identity, {**desired, "output": desired.get("input"), "id": made})

    def delete(self, ctx: Any, prior: sdk.Object) -> None:
        """There is nothing outside of the state."""

    def find(self, ctx: Any, intent: str) -> sdk.Object | None:
        return None


class Listed(Data):
    """The same, with a target that answers about many objects at once."""

    def read_many(self, ctx: Any, objects: Sequence[tuple[Mapping[str, Any], sdk.Object | None]]) -> Any:
        return [self.read(ctx, identity, prior) for identity, prior in objects]


def run(*, listed: bool) -> None:
    """Be the provider, one that can be asked about a list of objects or one that is asked about each."""
    sdk.main(sdk.Provider("bench", "1.0", resources=(Listed() if listed else Data(),)))
