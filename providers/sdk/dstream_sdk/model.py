"""Model: the data types of the protocol, as a provider uses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dstream_sdk.consequence import Prior


@dataclass(frozen=True, slots=True)
class Resource:
    """A required object of a task: `plan` of an input or output yields it.

    `key` tells it from others of its type within the task; it becomes part of the address. `depends_on` and
    `aliases` (earlier names of the same object) are pairs of type and key.
    """

    type: str
    key: str
    attributes: Mapping[str, Any]
    depends_on: Sequence[tuple[str, str]] = ()
    aliases: Sequence[tuple[str, str]] = ()
    sensitive: Sequence[Sequence[str | int]] = ()
    """Paths of sensitive attributes, in addition to those in the type's schema."""
    prevent_destroy: bool = False
    ignore_changes: Sequence[str] = ()
    """Names of attributes whose differences are ignored once the object exists."""
    create_before_destroy: bool = False
    timeouts: Mapping[str, float] = field(default_factory=dict)
    """Seconds that `create`, `read`, `update` and `delete` of it may take, where that is not as long as for any object:
    the configuration's word counts more. Each such request then has it as its `timeout`."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a stream, in the logical types of the protocol (PROTOCOL.md, "Columns").

    `type` is the logical type; the members that follow apply to some types only and are None elsewhere. `source` is the
    type as the source spells it, such as `numeric(12,2)`.
    """

    name: str
    type: str
    nullable: bool = True
    source: str = ""
    precision: int | None = None
    """Of `decimal`: total digits. Of times and timestamps: digits of the second's fraction."""
    scale: int | None = None
    """Of `decimal`: digits after the point."""
    length: int | None = None
    """Of `text` and `bytes`: the longest value, in characters or bytes."""
    items: str | None = None
    """Of `array`: the logical type of its elements."""
    values: tuple[str, ...] | None = None
    """Of `enum`: the values, in order."""
    generated: bool = False
    """Whether the source computes the value from other columns."""

    def to_json(self) -> dict[str, Any]:
        """Return the column in wire form, without members that are None."""
        form: dict[str, Any] = {"name": self.name, "type": self.type, "nullable": self.nullable}
        for name in ("source", "precision", "scale", "length", "items", "generated"):
            if (value := getattr(self, name)) not in (None, "", False):
                form[name] = value
        if self.values is not None:
            form["values"] = list(self.values)
        return form

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> Column:
        """Return the column from its wire form; unknown members are ignored. Raises KeyError, TypeError."""
        values = form.get("values")
        return cls(
            name=str(form["name"]),
            type=str(form["type"]),
            nullable=form.get("nullable") is not False,
            source=str(form.get("source") or ""),
            precision=form.get("precision"),
            scale=form.get("scale"),
            length=form.get("length"),
            items=form.get("items"),
            values=None if values is None else tuple(str(value) for value in values),
            generated=form.get("generated") is True,
        )


@dataclass(frozen=True, slots=True)
class Stream:
    """A table or topic that an input delivers.

    `key` names the columns of its key, `schema` is a JSON Schema of `data`. `columns` are the columns with their
    types, empty if the input does not know them; `version` is a text that differs whenever they differ.
    """

    name: str
    key: Sequence[str] = ()
    schema: Mapping[str, Any] | None = None
    discovered: bool = False
    """Whether the output discovered it at run time (`OutputSession.discover`) and the input does not declare it."""
    columns: tuple[Column, ...] = ()
    version: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the stream in wire form."""
        form: dict[str, Any] = {"name": self.name, "key": list(self.key)}
        if self.schema is not None:
            form["schema"] = dict(self.schema)
        if self.discovered:
            form["discovered"] = True
        if self.columns:
            form["version"] = self.version or version_of(self.key, self.columns)
            form["columns"] = [column.to_json() for column in self.columns]
        return form

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> Stream:
        """Return the stream from its wire form. Raises KeyError, TypeError."""
        return cls(
            name=str(form["name"]),
            key=tuple(form.get("key") or ()),
            schema=form.get("schema"),
            discovered=form.get("discovered") is True,
            columns=tuple(Column.from_json(each) for each in form.get("columns") or ()),
            version=str(form.get("version") or ""),
        )


def version_of(key: Sequence[str], columns: Sequence[Column]) -> str:
    """Return a text that is equal exactly for equal key and columns."""
    import hashlib
    import json

    text = json.dumps([list(key), [column.to_json() for column in columns]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Released(NamedTuple):
    """An object that the task no longer needs, and that can be destroyed without loss although its type holds data.

    `plan` of an input or output yields it in place of the Resource. The host destroys it as any undeclared object, but
    does not treat that as a loss of data, and does not require the task to stop. Yield it only if that stays true: days
    may pass between a plan and its apply.
    """

    type: str
    key: str


class Notice(NamedTuple):
    """A warning about a plan, yielded by `plan` of an input or output.

    `summary` is the same for all of a kind; `path` is a place in the configuration, such as `config.tables[0]`.
    """

    summary: str
    detail: str = ""
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Object:
    """The real object of a resource.

    `identity` finds it again; `attributes` is all that its schema names; `private` is the provider's own note, kept in
    the state and handed back, never shown.
    """

    identity: Mapping[str, Any]
    attributes: Mapping[str, Any]
    private: Mapping[str, Any] | None = None


class Envelope(NamedTuple):
    """One parsed data item; `line` is its text without the newline."""

    data: dict[str, Any]
    metadata: dict[str, Any]
    line: bytes


class PlanContext(NamedTuple):
    """What `plan` may know besides its configuration: the task's name and, for an output, the input's
    streams. `assessed`: whether `consequences` is called as well, which is then given `prior`."""

    task: str = ""
    streams: tuple[Stream, ...] = ()
    assessed: bool = False
    prior: Prior = Prior()
