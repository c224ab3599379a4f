"""Provider: the parts of an executable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dstream_sdk.catalog import Catalog
from dstream_sdk.generics import config_type
from dstream_sdk.input import Input
from dstream_sdk.output import Output, describes
from dstream_sdk.resource import ResourceType, overrides


@dataclass(frozen=True, slots=True)
class Provider:
    """An executable: an input or an output, and the resource types that it manages.

    Its version is `version`, or that of the installed `distribution`, looked up on demand.
    """

    name: str
    version: str = ""
    input: Input[Any] | None = None
    output: Output[Any] | None = None
    resources: Sequence[ResourceType[Any]] = ()
    distribution: str = ""
    catalog: Catalog[Any] | None = None
    """Resource types in addition to `resources`, described on request."""

    def release(self) -> str:
        """Return the version."""
        if self.version or not self.distribution:
            return self.version or "0"
        from importlib import metadata

        return metadata.version(self.distribution)

    def roles(self) -> list[str]:
        """Return its roles."""
        managed = self.resources or self.catalog
        found = (("input", self.input), ("output", self.output), ("resource", managed))
        return [role for role, part in found if part]

    def config(self) -> type[Any]:
        """Return the dataclass of its configuration: of its data role, otherwise of its first resource type."""
        part = self.input or self.output or next(iter(self.resources), None) or self.catalog
        return dict if part is None else config_type(part)

    def capabilities(self) -> list[str]:
        """Return its capabilities, as in the probe."""
        out: list[str] = ["checkpoint", "plans_many", "forks"] if self.input or self.output else []
        if (self.input and self.input.discovers) or (self.output and self.output.discovers):
            out.append("discovers")
        if any(map(_assesses, (self.input, self.output))) or any(
            overrides(kind, "contents") for kind in self.resources
        ):
            out.append("consequences")
        if self.output and self.output.stores_checkpoint:
            out.append("stores_checkpoint")
        if self.output and describes(self.output):
            out.append("schemas")
        if any(overrides(kind, "read_many") for kind in self.resources):
            out.append("bulk_status")
        if self.catalog is not None:
            out.append("describes")
        return out


def _assesses(part: Input[Any] | Output[Any] | None) -> bool:
    """Return whether a part has consequences of its own."""
    base = Input if isinstance(part, Input) else Output
    return part is not None and type(part).consequences is not base.consequences
