"""`ignore_changes`: attributes, or parts of them, that keep their real values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

_STEP = re.compile(r'\.?([^\W\d][\w-]*)|\[\s*("(?:[^"\\]|\\.)*")\s*\]|\[\s*(\d+)\s*\]|\.(\d+)')
_ABSENT = object()

Path = tuple[str | int, ...]


def ignored_path(text: str) -> Path:
    """Parse a path such as `tags`, `labels.team`, `labels["a b"]` or `rules[0].port` into its steps."""
    return tuple(
        name or (json.loads(quoted) if quoted else int(index or number))
        for name, quoted, index, number in _STEP.findall(text)
    )


def with_ignored(
    desired: Mapping[str, Any],
    real: Mapping[str, Any],
    ignored: Collection[str],
    keeps: Callable[[Any], bool] = lambda _value: True,
) -> dict[str, Any]:
    """Return desired attributes with the ignored ones set to their real values; "*" is all of them.

    An ignored attribute that does not exist is removed. If `keeps` is false for a real value, the desired one is used.
    """
    found = dict(desired)
    paths = [(name,) for name in desired.keys() | real.keys()] if "*" in ignored else map(ignored_path, ignored)
    for path in paths:
        if path:
            _keep(found, real, path, keeps)
    return found


def _keep(desired: Any, real: Any, path: Path, keeps: Callable[[Any], bool]) -> None:
    """Set the value at a path of a collection to the real one; modifies the outermost level in place."""
    step = path[0]
    value = _child(real, step)
    if len(path) == 1:
        if value is _ABSENT:
            if isinstance(desired, dict):
                desired.pop(step, None)
        elif keeps(value):
            _put(desired, step, value)
        return
    below = _child(desired, step)
    if value is _ABSENT and below is _ABSENT:
        return
    copied: Any = dict(below) if isinstance(below, Mapping) else list(below) if isinstance(below, list) else {}
    _keep(copied, None if value is _ABSENT else value, path[1:], keeps)
    if copied or below is not _ABSENT:
        _put(desired, step, copied)


def _child(value: Any, step: str | int) -> Any:
    if isinstance(value, Mapping):
        return value.get(str(step), _ABSENT)
    if isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
        return value[step]
    return _ABSENT


def _put(collection: Any, step: str | int, value: Any) -> None:
    if isinstance(collection, dict):
        collection[str(step)] = value
    elif isinstance(step, int) and step < len(collection):
        collection[step] = value
