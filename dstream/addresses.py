"""Address: names one task, resource or instance, as users type it and as state and plan record it.

postgres_publication.orders                     a resource block, or its only instance
postgres_publication.orders["eu"]               an instance of `for_each`; [0] of `count`
task.copy                                       a task; task.copy["eu"] an instance of it
task.copy.output.asb_queue["Orders_cdc_events"] an object that the task's output asked for
task.copy.output["audit"].asb_queue["Orders"]   the same, of a labelled output
task.copy.output.lifecycle                      the opaque resource of a version 1 output
"""

from __future__ import annotations

import json
import re
from typing import Literal

from msgspec import Struct

Key = str | int | None
Side = Literal["input", "output"]

_NAME = r"[^\W\d][\w-]*"
_KEY = r'\["(?:[^"\\]|\\.)*"\]|\[\d+\]'
_TASK = re.compile(
    rf"task\.(?P<task>{_NAME})(?P<task_key>{_KEY})?"
    rf"(?:\.(?P<side>input|output)(?P<label>{_KEY})?\.(?P<type>{_NAME})(?P<key>{_KEY})?)?"
)
_RESOURCE = re.compile(rf"(?P<type>{_NAME})\.(?P<name>{_NAME})(?P<key>{_KEY})?")


_quoted = json.JSONEncoder(ensure_ascii=False).encode


def _show(key: Key) -> str:
    if key is None:
        return ""
    return f"[{key}]" if isinstance(key, int) else f"[{_quoted(key)}]"


def _read(text: str | None) -> Key:
    if text is None:
        return None
    inner = text[1:-1]
    if inner.startswith('"'):
        return str(json.loads(inner))
    return int(inner)


class ResourceAddress(Struct, frozen=True):
    """A declared resource: `type.name`, or one instance of it."""

    type: str
    name: str
    key: Key = None

    def __str__(self) -> str:
        """Return the address as the user types it."""
        return f"{self.type}.{self.name}{_show(self.key)}"

    @property
    def block(self) -> ResourceAddress:
        """The address of the block that this is an instance of."""
        return ResourceAddress(self.type, self.name)


class TaskAddress(Struct, frozen=True):
    """A task, or one instance of it."""

    name: str
    key: Key = None

    def __str__(self) -> str:
        """Return the address as the user types it."""
        return f"task.{self.name}{_show(self.key)}"

    @property
    def block(self) -> TaskAddress:
        """The address of the block that this is an instance of."""
        return TaskAddress(self.name)


class DerivedAddress(Struct, frozen=True):
    """An object that a side of a task requires."""

    task: TaskAddress
    side: Side
    label: str | None
    type: str
    key: Key = None

    def __str__(self) -> str:
        """Return the address as the user types it."""
        return f"{self.task}.{self.side}{_show(self.label)}.{self.type}{_show(self.key)}"


Address = ResourceAddress | TaskAddress | DerivedAddress


def parse_address(text: str) -> Address:
    """Parse an address; raise ValueError with a message for the user if it is invalid."""
    if match := _TASK.fullmatch(text):
        task = TaskAddress(match["task"], _read(match["task_key"]))
        if match["side"] is None:
            return task
        label = _read(match["label"])
        if label is not None and not isinstance(label, str):
            raise ValueError(f'{text!r}: the label of an output is a string, as in output["audit"]')
        side: Side = "input" if match["side"] == "input" else "output"
        return DerivedAddress(task, side, label, match["type"], _read(match["key"]))
    if match := _RESOURCE.fullmatch(text):
        return ResourceAddress(match["type"], match["name"], _read(match["key"]))
    raise ValueError(
        f"{text!r} is not an address; examples: task.copy, postgres_publication.orders, "
        'task.copy.output.asb_queue["Orders_cdc_events"]'
    )
