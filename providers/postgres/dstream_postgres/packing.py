"""Packing: the per-table part of a checkpoint in a few bytes a table, for tasks with hundreds of tables.

Names are replaced by a digest of eight bytes, equal states are written once, and the JSON is compressed: some 25 bytes
a table, whatever the length of the names. The names are those of the configuration, so the digests are all that is
needed to find a table again.
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

ByTable = Mapping[str, Mapping[str, Any]]
"""`members`, `relations` and `tables` of a position: maps by the name of a table."""


def pack(by_table: ByTable) -> str:
    """The maps as text. Raises InvalidError if there are too many tables for one checkpoint."""
    members, relations, tables = (by_table.get(kind, {}) for kind in ("members", "relations", "tables"))
    spelled = {name: json.dumps(state) for name, state in tables.items()}
    states = sorted(set(spelled.values()))
    at = {state: number for number, state in enumerate(states)}
    rows = {
        _digest(name): [members.get(name), relations.get(name), at[spelled[name]] if name in spelled else None]
        for name in {**members, **relations, **tables}
    }
    form = json.dumps({"states": [json.loads(state) for state in states], "rows": rows}, separators=(",", ":"))
    text = base64.b85encode(zlib.compress(form.encode())).decode()
    if len(text) > _LIMIT:
        raise InvalidError(
            "Too many tables",
            f"the checkpoint of {len(rows)} tables exceeds the limit of 64 KiB. Split the task: use several tasks, "
            "each with a part of the tables.",
            path="config.tables",
        )
    return text


def unpack(text: str, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The maps that were packed, of the tables in `names`. Raises ValueError, KeyError, TypeError."""
    try:
        form = json.loads(zlib.decompress(base64.b85decode(text)))
    except zlib.error as problem:
        raise ValueError(str(problem)) from None
    members, relations, tables = {}, {}, {}
    for name in names:
        member, relation, state = form["rows"].get(_digest(name), (None, None, None))
        if member is not None:
            members[name] = member
        if relation is not None:
            relations[name] = relation
        if state is not None:
            tables[name] = form["states"][state]
    return {"members": members, "relations": relations, "tables": tables}


def _digest(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
