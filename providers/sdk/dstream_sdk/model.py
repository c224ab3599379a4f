"""The nouns of the protocol, as a provider sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Resource:
    """An object that a task needs: what `plan` of an input or output yields.

    `key` tells it from others of its type within the task; it becomes part of the address. `depends_on` and
    `aliases` (earlier names of the same object) are pairs of type and key.
    """

    type: str
    key: str
    attributes: Mapping[str, Any]
    depends_on: Sequence[tuple[str, str]] = ()
    aliases: Sequence[tuple[str, str]] = ()
    sensitive: Sequence[Sequence[str | int]] = ()
    """Places in the attributes whose values are secret, beside those that the type's schema names."""
    prevent_destroy: bool = False
    ignore_changes: Sequence[str] = ()
    """Names of attributes that are left as they are once the object exists."""
    create_before_destroy: bool = False
    timeouts: Mapping[str, float] = field(default_factory=dict)
    """Seconds that `create`, `read`, `update` and `delete` of it may take, where that is not as long as for any object:
    the configuration's word counts more. Each such request then has it as its `timeout`."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A table or topic that an input delivers: its name, the columns of its key, and a JSON Schema of
    `data`."""

    name: str
    key: Sequence[str] = ()
    schema: Mapping[str, Any] | None = None
    discovered: bool = False
    """Whether the output met it at run time (`OutputSession.discover`), and the input does not name it."""


@dataclass(frozen=True, slots=True)
class Released:
    """An object that the task needs no longer, and with which nothing is lost though its type holds data.

    `plan` of an input or output yields it in place of the Resource. The host destroys it as it would any object that
    nobody asks for, but neither takes that for a loss of data nor waits for the task to stop. Only say so of what stays
    true: there may be days between a plan and its apply.
    """

    type: str
    key: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What users are to know of a plan: they see it as a warning. Yielded by `plan` of an input or output.

    `summary` is the same for all of a kind; `path` is a place in the configuration, such as `config.tables[0]`.
    """

    summary: str
    detail: str = ""
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Object:
    """A real object behind a resource.

    `identity` finds it again; `attributes` is all that its schema names; `private` is the provider's own
    note, kept in the state and handed back, never shown.
    """

    identity: Mapping[str, Any]
    attributes: Mapping[str, Any]
    private: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """One data item, parsed: `line` is the text it was read from, without the newline."""

    data: dict[str, Any]
    metadata: dict[str, Any]
    line: bytes


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What `plan` may know besides its configuration: the task's name and, for an output, the input's
    streams."""

    task: str = ""
    streams: tuple[Stream, ...] = field(default=())
