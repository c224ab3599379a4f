"""Property paths of plugins, such as `sku.name`, `rules[0]` or `["special name"].x`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from dstream_pulumi.shapes import Member

_STEP = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[([^\]]*)\]|([^.\[]+)')


def steps(path: str) -> Iterator[str]:
    """Yield the steps of a path as strings; an index is its digits."""
    for quoted, index, name in _STEP.findall(path):
        yield quoted.replace('\\"', '"') or index or name


def first_step(path: str) -> str:
    """Return the first step of a path, which is the top-level property."""
    return next(steps(path), path)


def forced(members: Mapping[str, Member], path: str) -> bool:
    """Return whether the schema forces replacement for a change at a path or above it."""
    for step in steps(path):
        member = members.get(step)
        if member is None:
            continue  # an index, or a key of a map
        if member.forces:
            return True
        shape = member.shape
        while shape.item is not None:
            shape = shape.item
        members = shape.members
    return False
