"""Packing: the per-table part of a checkpoint in a few bytes a table, for tasks with hundreds of tables.

Names are replaced by a digest of eight bytes, and the JSON is compressed: some 20 bytes a table, whatever the length of
the names. The names are those of the configuration, so the digests are all that is needed to find a table again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from dstream_sdk import InvalidError

_LIMIT = 60 * 1024


def pack(by_table: Mapping[str, Mapping[str, Any]]) -> str:
    """Maps by name of table, as text. Raises InvalidError if there are too many tables for one checkpoint."""
    digests = {name: _digest(name) for part in by_table.values() for name in part}
    form = {kind: {digests[name]: value for name, value in part.items()} for kind, part in by_table.items()}
    text = base64.b64encode(zlib.compress(json.dumps(form, separators=(",", ":")).encode())).decode()
    if len(text) > _LIMIT:
        raise InvalidError(
            "Too many tables",
            f"the checkpoint of {len(digests)} tables exceeds the limit of 64 KiB. Split the task: use several tasks, "
            "each with a part of the tables.",
            path="config.tables",
        )
    return text


def unpack(text: str, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The maps that were packed, of the tables in `names`. Raises ValueError."""
    known = {_digest(name): name for name in names}
    try:
        form = json.loads(zlib.decompress(base64.b64decode(text)))
    except zlib.error as problem:
        raise ValueError(str(problem)) from None
    return {kind: {known[one]: value for one, value in part.items() if one in known} for kind, part in form.items()}


def _digest(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
