"""Catalog: resource types of a provider that are too many to list, or that follow from its configuration.

A provider with a catalog has the capability `describes`: the host tells it the types in use and gets their schemas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from dstream_sdk.channel import Writer, encode
from dstream_sdk.handshake import refuse
from dstream_sdk.resource import ResourceType

C = TypeVar("C")


class Catalog(Generic[C]):
    """Types beside those in `Provider.resources`. Its methods may be called from several threads."""

    def describe(self, given: Mapping[str, Any], types: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the description of each of `types` that there is, in the form that the probe has.

        `given` is the configuration as it came: not decoded, with UNKNOWN for what is known only after apply.
        """
        return {}

    def kind(self, config: C, type: str) -> ResourceType[C] | None:
        """Return what serves a type under this configuration, None if there is no such type."""
        return None

    def close(self) -> None:
        """Let go of what was opened; called once, after the last answer."""


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
