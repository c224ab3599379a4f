"""Catalog: resource types that are too many to list, or that depend on the configuration of the provider.

A provider with a catalog has the capability `describes`: the host requests the schemas of the types in use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from dstream_sdk.channel import Writer, encode
from dstream_sdk.handshake import refuse
from dstream_sdk.resource import ResourceType

C = TypeVar("C")


class Catalog(Generic[C]):
    """Types in addition to `Provider.resources`. Its methods may be called from several threads."""

    def describe(self, given: Mapping[str, Any], types: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the description of each known type among `types`, in the form of the probe.

        `given` is the configuration before decoding, with UNKNOWN for values known only after apply.
        """
        return {}

    def kind(self, config: C, type: str) -> ResourceType[C] | None:
        """Return the implementation of a type under this configuration, None if there is no such type."""
        return None

    def close(self) -> None:
        """Release resources; called once, after the last answer."""


def describe_types(catalog: Catalog[Any], opening: Mapping[str, Any], given: Mapping[str, Any], writer: Writer) -> int:
    """Answer the command `schema`; return the exit code."""
    types = [each for each in opening.get("types") or () if isinstance(each, str)]
    try:
        found = catalog.describe(given, types)
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is the answer
        refuse(writer, problem)
        return 0
    writer.send(encode({"status": "done", "resources": {name: dict(form) for name, form in found.items()}}))
    return 0
