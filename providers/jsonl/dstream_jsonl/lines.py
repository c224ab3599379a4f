"""Turns whole lines of a file into envelopes, in bulk where the lines are envelopes already."""

from __future__ import annotations

import json
from typing import Any

from dstream_sdk import ProviderError
from dstream_sdk.json_numbers import loads

_START = b'{"data":'


def looks_like_envelopes(line: bytes) -> bool:
    """Return whether a line of JSON is an envelope rather than a bare object."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(value.get("data"), dict) and set(value) <= {"data", "metadata"}


def envelopes(block: bytes) -> bytes | None:
    """Return `block` itself when each of its lines plainly is an envelope, else None.

    Lines are not parsed. That each begins with `{"data":` also means that none can pass for a control line.
    """
    lines = block.count(b"\n")
    if block.startswith(_START) and block.endswith(b"}\n") and block.count(b"}\n" + _START) == lines - 1:
        return block
    return None


def parse(line: bytes, where: str, bare: bool) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return data and metadata of a line, None for an empty one. ProviderError names the place `where`."""
    if not line.strip():
        return None
    try:
        value = loads(line)
    except ValueError as problem:
        raise ProviderError("Not JSON", f"{where}: {problem}") from None
    if not isinstance(value, dict):
        raise ProviderError("Not an object", f"{where}: each line must be a JSON object")
    if bare:
        return value, {}
    data, metadata = value.get("data"), value.get("metadata", {})
    if not isinstance(data, dict) or not isinstance(metadata, dict):
        raise ProviderError("Not an envelope", f"{where}: expected an object with the objects data and metadata")
    return data, metadata
