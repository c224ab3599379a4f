"""Column changes: how the columns of a task's streams differ from those at its last apply, and which outputs use them.

Columns are recorded as texts, such as `decimal(12,2)`, with `?` behind those that may be null.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dstream.consequences import Consequence, Label
from dstream.engine.providers.task_instance import TaskInstance
from dstream.lang import strip_sensitive
from dstream_state import TaskState

_WIDER = (("int16", "int32", "int64", "decimal"), ("uint32", "int64", "decimal"), ("float32", "float64"))
"""Types of which each takes every value of those before it."""
_TYPE = re.compile(r"([^(]*)(?:\((\d+)(?:,(\d+))?\))?")


def column_consequences(
    task: TaskInstance, prior: TaskState, columns: Mapping[str, Mapping[str, str]]
) -> Iterator[Consequence]:
    """Yield the differences of the streams that declared columns then and now."""
    for stream, now in columns.items():
        before = prior.columns.get(stream)
        if before is None or before == now:
            continue
        for name in [*before, *(name for name in now if name not in before)]:
            found = _difference(name, before.get(name), now.get(name))
            if found is not None:
                label, text = found
                detail = _users(task, name) if label is Label.BREAKING else ""
                yield Consequence("schema", label, f"{stream}: {text}", detail, stream)


def _difference(name: str, before: str | None, now: str | None) -> tuple[Label, str] | None:
    if before == now:
        return None
    if now is None:
        return Label.BREAKING, f"the column {name} no longer exists"
    if before is None:
        return Label.NON_BREAKING, f"the column {name} is new ({_shown(now)})"
    text = f"the column {name} is {_shown(now)}, and was {_shown(before)}"
    nullable = now.endswith("?") and not before.endswith("?")
    compatible = not nullable and _takes(now.removesuffix("?"), before.removesuffix("?"))
    return Label.NON_BREAKING if compatible else Label.BREAKING, text


def _shown(column: str) -> str:
    return f"{column.removesuffix('?')}, nullable" if column.endswith("?") else column


def _takes(now: str, before: str) -> bool:
    """Return whether a type takes every value of another one."""
    if now == before:
        return True
    (kind, *sizes), (other, *others) = _parts(now), _parts(before)
    if kind != other:
        wider = any(kind in row and other in row and row.index(kind) > row.index(other) for row in _WIDER)
        return wider and sizes[0] is None  # a decimal with a precision may be too short
    if sizes[0] is None:
        return True
    if others[0] is None:
        return False
    scale, earlier = sizes[1] or 0, others[1] or 0
    return scale >= earlier and sizes[0] - scale >= others[0] - earlier


def _parts(column: str) -> tuple[str, int | None, int | None]:
    found = _TYPE.fullmatch(column)
    if found is None:
        return column, None, None
    kind, first, second = found.groups()
    return kind, None if first is None else int(first), None if second is None else int(second)


def _users(task: TaskInstance, column: str) -> str:
    """Return which outputs name a column in their settings, as a sentence; empty if none does."""
    found = [output.spec.name for output in task.outputs if _names(strip_sensitive(output.spec.config), column)]
    return f"{', '.join(found)} names it in the settings." if found else ""


def _names(value: Any, column: str) -> bool:
    if isinstance(value, Mapping):
        return column in value or any(_names(inner, column) for inner in value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(_names(inner, column) for inner in value)
    return isinstance(value, str) and value == column
