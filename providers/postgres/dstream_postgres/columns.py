"""Columns: the logical types of a table's columns, as streams carry them (PROTOCOL.md, "Columns")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dstream_sdk
from dstream_postgres.catalog import TableShape
from dstream_postgres.database import rows
from dstream_sdk import Stream

_HEADER = 4
"""What a type modifier counts on top of a length."""
_SCALE_BITS, _SCALE_SIGN = 0x7FF, 0x400

_TYPES = {
    16: "boolean",
    21: "int16",
    23: "int32",
    20: "int64",
    26: "uint32",
    700: "float32",
    701: "float64",
    1700: "decimal",
    25: "text",
    19: "text",
    1043: "text",
    1042: "text",
    17: "bytes",
    1082: "date",
    1083: "time",
    1266: "time_tz",
    1114: "timestamp",
    1184: "timestamp_tz",
    1186: "interval",
    2950: "uuid",
    114: "json",
    3802: "json",
}
_NUMERIC, _LIMITED_TEXT, _TIMES = 1700, (1042, 1043), (1083, 1266, 1114, 1184)


@dataclass(frozen=True, slots=True)
class _Type:
    kind: str
    """pg_type.typtype: d for a domain, e for an enum."""
    base: int
    base_modifier: int
    element: int
    """The type of the elements of an array, else 0."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column by its type and type modifier (pg_attribute.atttypid, atttypmod)."""

    name: str
    type_oid: int
    modifier: int
    nullable: bool = True
    generated: bool = False


def attributes_of(connection: Any, relation: int, published: Sequence[str] | None = None) -> list[Attribute]:
    """The columns of a table as they are now: of the `published` ones, by default all that are not generated."""
    found = rows(
        connection,
        "SELECT attname, atttypid::bigint, atttypmod, NOT attnotnull, attgenerated <> '' FROM pg_attribute"
        " WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (relation,),
    )
    all_of_it = [Attribute(*row) for row in found]
    if published is None:
        return [each for each in all_of_it if not each.generated]
    return [each for each in all_of_it if each.name in published]


def columns_of(connection: Any, attributes: Sequence[Attribute]) -> tuple[dstream_sdk.Column, ...]:
    """Columns with their logical types."""
    types = _types(connection, {each.type_oid for each in attributes})
    enums = _enums(connection, [oid for oid, each in types.items() if each.kind == "e"])
    spelled = rows(
        connection,
        "SELECT format_type(o, m) FROM unnest(%s::oid[], %s::int[]) WITH ORDINALITY AS t(o, m, at) ORDER BY at",
        ([each.type_oid for each in attributes], [each.modifier for each in attributes]),
    )
    return tuple(_column(each, name, types, enums) for each, (name,) in zip(attributes, spelled, strict=True))


def stream_of(connection: Any, name: str, shape: TableShape, attributes: Sequence[Attribute]) -> Stream:
    """The stream of a table with its columns, as `plan` and `{"schema":...}` carry it."""
    return Stream(name, () if shape.keyless else shape.key, columns=columns_of(connection, attributes))


def _types(connection: Any, required: set[int]) -> dict[int, _Type]:
    """Types, with those below domains and inside arrays."""
    found: dict[int, _Type] = {}
    while missing := required - found.keys():
        for oid, *rest in rows(
            connection,
            "SELECT oid::bigint, typtype, typbasetype::bigint, typtypmod,"
            " CASE WHEN typcategory = 'A' THEN typelem ELSE 0 END::bigint FROM pg_type WHERE oid = ANY (%s::oid[])",
            (list(missing),),
        ):
            found[oid] = _Type(*rest)
        for oid in missing - found.keys():
            found[oid] = _Type("b", 0, -1, 0)  # dropped since
        required = required | {each for one in found.values() for each in (one.base, one.element) if each}
    return found


def _enums(connection: Any, oids: list[int]) -> dict[int, tuple[str, ...]]:
    if not oids:
        return {}
    sql = (
        "SELECT enumtypid::bigint, array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_enum"
        " WHERE enumtypid = ANY (%s::oid[]) GROUP BY 1"
    )
    return {oid: tuple(labels) for oid, labels in rows(connection, sql, (oids,))}


def _column(
    attribute: Attribute, source: str, types: dict[int, _Type], enums: dict[int, tuple[str, ...]]
) -> dstream_sdk.Column:
    oid, modifier = attribute.type_oid, attribute.modifier
    while types[oid].kind == "d":
        oid, modifier = types[oid].base, types[oid].base_modifier
    precision = scale = length = None
    if oid == _NUMERIC and modifier >= _HEADER:
        precision = (modifier - _HEADER) >> 16 & 0xFFFF
        scale = ((modifier - _HEADER & _SCALE_BITS) ^ _SCALE_SIGN) - _SCALE_SIGN
    elif oid in _LIMITED_TEXT and modifier >= _HEADER:
        length = modifier - _HEADER
    elif oid in _TIMES:
        precision = modifier if modifier >= 0 else 6
    return dstream_sdk.Column(
        name=attribute.name,
        type=_logical(oid, types),
        nullable=attribute.nullable,
        source=source,
        precision=precision,
        scale=scale,
        length=length,
        items=_logical(types[oid].element, types) if types[oid].element else None,
        values=enums.get(oid),
        generated=attribute.generated,
    )


def _logical(oid: int, types: dict[int, _Type]) -> str:
    while types[oid].kind == "d":
        oid = types[oid].base
    if types[oid].element:
        return "array"
    return "enum" if types[oid].kind == "e" else _TYPES.get(oid, "other")
