"""Rows: envelopes as the output applies them, with their data left as JSON text.

PostgreSQL itself turns that text into values (json_populate_recordset), by the types of the target's columns: no
digit is lost and no value is decoded twice. Only what decides where a row goes is parsed here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

import orjson

from dstream_sdk.json_numbers import loads

_MEMBERS = ("data", "metadata")
_DATA, _METADATA, _METADATA_NAME = b'{"data":', b',"metadata":', b'"metadata"'


class Operation(Enum):
    """What a row does to its table."""

    UPSERT = "upsert"
    UPDATE = "update"
    """Some columns were not sent and keep their values."""
    DELETE = "delete"
    TRUNCATE = "truncate"


_OPERATIONS = {
    **dict.fromkeys(("", "insert", "read", "create", "upsert", "update", "replace", "merge"), Operation.UPSERT),
    "delete": Operation.DELETE,
    "truncate": Operation.TRUNCATE,
}


class NotARow(ValueError):
    """The line cannot be applied to a table; the message says why."""


@dataclass(slots=True)
class Row:
    """One change. `data`, `key` and `old_key` are JSON objects as text; `key_columns` is empty without a key."""

    table: str
    operation: Operation
    columns: tuple[str, ...]
    data: bytes
    key_columns: tuple[str, ...]
    key: bytes
    old_key: bytes | None
    line: bytes
    values: Mapping[str, Any]
    """The data as parsed, to guess column types from; numbers may have lost digits."""


def parse_row(line: bytes, keys: Mapping[str, Sequence[str]]) -> Row:
    """The row of an envelope. `keys` gives key columns by TableName where the envelope has no Key. Raises NotARow."""
    try:
        value = orjson.loads(line)
        data = value["data"]
        metadata = value.get("metadata") or {}
        columns = tuple(data)
        table = metadata.get("TableName") or ""
        operation = _OPERATIONS[str(metadata.get("OperationType") or "").lower()]
        key, old_key = metadata.get("Key"), metadata.get("OldKey")
    except KeyError as problem:
        raise NotARow(f"not a change of a row: {problem} is missing or unknown") from None
    except (ValueError, TypeError, AttributeError) as problem:
        raise NotARow(f"not an envelope: {problem}") from None
    if metadata.get("Unchanged") and operation is Operation.UPSERT:
        operation = Operation.UPDATE
    if key is None and (names := keys.get(table)) and all(name in data for name in names):
        key = {name: data[name] for name in names}
    own_key, own_old_key = b"", None
    if key:
        if _has_float(key) or (old_key and _has_float(old_key)):
            key, old_key = _exact_keys(line, key, old_key)
            own_key, own_old_key = _dump(key), _dump(old_key) if old_key else None
        else:
            own_key = orjson.dumps(key)
            own_old_key = orjson.dumps(old_key) if old_key else None
    return Row(
        table=str(table),
        operation=operation,
        columns=columns,
        data=_data_of(line, value),
        key_columns=tuple(key) if key else (),
        key=own_key,
        old_key=None if own_old_key == own_key else own_old_key,
        line=line,
        values=data,
    )


def _data_of(line: bytes, value: Mapping[str, Any]) -> bytes:
    """The text of `data` within the line."""
    if line.startswith(_DATA) and tuple(value) == _MEMBERS:
        cut = line.rfind(_METADATA)
        # Inside a JSON string a quote is escaped, so this is the member's name, unless a key column has that name.
        if line.find(_METADATA_NAME, cut + len(_METADATA)) < 0 and not _nested(value["metadata"]):
            return line[len(_DATA) : cut]
    return _dump(_exact(line)["data"])


def _nested(metadata: Any) -> bool:
    # A loop, not any(): this and _has_float run for every row, and a generator costs more than all it does.
    for part in metadata.values() if isinstance(metadata, dict) else ():
        if type(part) is dict and "metadata" in part:
            return True
    return False


def _has_float(key: Mapping[str, Any]) -> bool:
    for part in key.values():  # noqa: SIM110 - as in _nested
        if type(part) is float:
            return True
    return False


class _Exact(json.JSONEncoder):
    """Writes Decimal values with all their digits."""

    def encode(self, o: Any) -> str:
        if isinstance(o, Decimal):
            return str(o)
        if isinstance(o, dict):
            return "{" + ",".join(f"{json.dumps(name)}:{self.encode(part)}" for name, part in o.items()) + "}"
        if isinstance(o, list):
            return "[" + ",".join(self.encode(part) for part in o) + "]"
        return super().encode(o)


_EXACT = _Exact()


def _exact(line: bytes) -> Any:
    try:
        return loads(line)
    except ValueError as problem:
        raise NotARow(f"not an envelope: {problem}") from None


def _dump(value: Any) -> bytes:
    return _EXACT.encode(value).encode("utf-8", "surrogatepass")


def _exact_keys(line: bytes, key: Mapping[str, Any], old_key: Mapping[str, Any] | None) -> tuple[Any, Any]:
    value = _exact(line)
    metadata = value.get("metadata") or {}
    exact = metadata.get("Key")
    return exact or {name: value["data"][name] for name in key}, metadata.get("OldKey") if old_key else None
