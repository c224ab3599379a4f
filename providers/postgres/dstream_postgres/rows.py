"""Rows: envelopes as the output applies them, with their values left as JSON text.

PostgreSQL itself turns a value's text into a value, by the type of the target's column: no digit is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import msgspec

from dstream_postgres import json_text


class Operation(Enum):
    """What a row does to its table."""

    INSERT = "insert"
    """Also a row of a snapshot, and anything that is to be there afterwards."""
    UPDATE = "update"
    DELETE = "delete"
    TRUNCATE = "truncate"


_OPERATIONS = {
    **dict.fromkeys(("", "insert", "read", "create", "upsert", "replace", "merge"), Operation.INSERT),
    "update": Operation.UPDATE,
    "delete": Operation.DELETE,
    "truncate": Operation.TRUNCATE,
}
_SPELLED: Mapping[str | None, Operation] = {name.capitalize(): operation for name, operation in _OPERATIONS.items()}

Values = Mapping[str, Any]
"""Values by column, each the text of a JSON value (bytes, or msgspec.Raw)."""


class NotARow(ValueError):
    """The line cannot be applied to a table; the message says why."""


class _Metadata(msgspec.Struct, gc=False):
    TableName: str | None = None
    OperationType: str | None = None
    Key: dict[str, msgspec.Raw] | None = None
    OldKey: dict[str, msgspec.Raw] | None = None
    Unchanged: list[str] | None = None
    JsonNull: list[str] | None = None
    Keyless: bool | None = None
    Position: str | None = None


class _Envelope(msgspec.Struct, gc=False):
    data: dict[str, msgspec.Raw]
    metadata: _Metadata | None = None


_decode = msgspec.json.Decoder(_Envelope).decode
_NO_METADATA = _Metadata()


class Row(msgspec.Struct, gc=False):
    """One change.

    `key` and `old_key` identify rows of a table: the texts of the key's values; `old_key` is None unless the key
    changed. Both are empty without a key. `keyless`: the key is the whole row, of which there may be several.
    """

    table: str
    operation: Operation
    data: Values
    columns: tuple[str, ...]
    key_data: Values
    key_columns: tuple[str, ...]
    key: bytes
    old_key_data: Values | None
    old_key: bytes | None
    line: bytes
    unchanged: tuple[str, ...] = ()
    json_nulls: tuple[str, ...] = ()
    """Columns whose `null` is the JSON value, not SQL's NULL."""
    keyless: bool = False
    position: str = ""


def parse_row(line: bytes, keys: Mapping[str, Sequence[str]]) -> Row:
    """The row of an envelope. `keys` gives key columns by TableName where the envelope has no Key. Raises NotARow."""
    try:
        envelope = _decode(line)
        data: Values = envelope.data
        metadata = envelope.metadata or _NO_METADATA
        usual, own = _SPELLED.get(metadata.OperationType), metadata.Key
        plain = metadata.Unchanged is None and metadata.OldKey is None and metadata.JsonNull is None
        if plain and usual is not None and own:
            # All that the general way below would find, without looking for what is not there.
            return Row(
                metadata.TableName or "", usual, data, tuple(data), own, tuple(own), b"\t".join(own.values()), None,
                None, line, (), (), metadata.Keyless is True, metadata.Position or "",
            )  # fmt: skip
    except (msgspec.DecodeError, RecursionError):
        data, metadata = _by_hand(line)
    table = metadata.TableName or ""
    kind = metadata.OperationType or ""
    operation = _SPELLED.get(kind) or _OPERATIONS.get(kind.lower())
    if operation is None:
        raise NotARow(f"not a change of a row: the operation {kind!r} is unknown")
    key_data, old_key_data = metadata.Key, metadata.OldKey
    if not key_data:
        names = keys.get(table)
        key_data = {name: data[name] for name in names} if names and all(name in data for name in names) else {}
        old_key_data = old_key_data or None
    key = b"\t".join(key_data.values())
    old_key = b"\t".join(old_key_data.values()) if old_key_data else None
    if old_key == key:
        old_key = None
    return Row(
        table, operation, data, tuple(data), key_data, tuple(key_data), key, old_key_data if old_key else None, old_key,
        line, tuple(metadata.Unchanged) if metadata.Unchanged else (),
        tuple(metadata.JsonNull) if metadata.JsonNull else (), bool(metadata.Keyless and key_data),
        metadata.Position or "",
    )  # fmt: skip


def _by_hand(line: bytes) -> tuple[Values, _Metadata]:
    """What the decoder refuses: a value nested deeply, or half of a surrogate pair in json."""
    try:
        envelope = json_text.members(line)
        if "data" not in envelope:
            raise NotARow("not a change of a row: 'data' is missing")
        data = json_text.members(envelope["data"])
        metadata = envelope.get("metadata", b"null")
        found = json_text.members(metadata) if metadata != b"null" else {}
        nested: dict[str, Any] = {
            name: json_text.members(found[name]) for name in ("Key", "OldKey") if found.get(name, b"null") != b"null"
        }
        plain = {name: json.loads(text) for name, text in found.items() if name in _SIMPLE}
        for name, text in (*data.items(), *found.items()):
            name.encode()
            _check(text)
        read = msgspec.convert(plain, _Metadata, strict=True)
        read.Key, read.OldKey = nested.get("Key"), nested.get("OldKey")
        return data, read
    except NotARow:
        raise
    except (ValueError, RecursionError) as problem:
        raise NotARow(f"not an envelope: {problem}") from None


_SIMPLE = ("TableName", "OperationType", "Unchanged", "JsonNull", "Keyless", "Position")


def _check(text: bytes) -> None:
    """Raise ValueError for a token that is no JSON, where that can be seen without a parser of all depths."""
    if text[:1] not in (b"{", b"[", b'"'):
        json.loads(text, parse_float=str, parse_int=str, parse_constant=_refused)


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
