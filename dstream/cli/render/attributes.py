"""Attributes of an object or a task as lines of a plan: all of them, or those that differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dstream.cli.render.paint import Paint
from dstream.cli.render.values import SENSITIVE_CHANGED, attribute_name, literal_lines, scalar
from dstream.lang.markers import is_fingerprint
from dstream.plan import MISSING, differences

COLOURS = {"+": "green", "-": "red", "~": "yellow", "-/+": "red", "+/-": "red", "?": "cyan", ".": "dim"}
"""The colour of each symbol."""


def all_attributes(attributes: Mapping[str, Any], symbol: str, paint: Paint) -> Iterator[str]:
    """Yield the lines of all attributes that are not null."""
    names = [name for name in sorted(attributes) if attributes[name] is not None]
    width = max((len(attribute_name(name)) for name in names), default=0)
    mark = paint(symbol, COLOURS[symbol])
    for name in names:
        first, *rest = literal_lines(attributes[name], "        ")
        yield f"      {mark} {attribute_name(name):<{width}} = {first}"
        yield from rest


def changed_attributes(
    before: Mapping[str, Any], after: Mapping[str, Any], replace_paths: tuple[str, ...], paint: Paint
) -> Iterator[str]:
    """Yield the lines of the attributes that differ, and the number of the others."""
    names = sorted(name for name in before.keys() | after.keys())
    different = [name for name in names if before.get(name) != after.get(name)]
    width = max((len(attribute_name(name)) for name in different), default=0)
    for name in different:
        left, right = before.get(name), after.get(name)
        forces = paint("  # forces replacement", "red") if name in replace_paths else ""
        label = f"{attribute_name(name):<{width}}"
        short_left, short_right = scalar(left), scalar(right)
        if left is None:
            yield from _one_side("+", label, right, forces, paint)
        elif right is None:
            yield from _one_side("-", label, left, forces, paint)
        elif short_left is not None and short_right is not None:
            changes = f"{short_left} -> {short_right}"
            if is_fingerprint(left) and is_fingerprint(right):
                changes = SENSITIVE_CHANGED
            yield f"      {paint('~', 'yellow')} {label} = {changes}{forces}"
        else:
            yield f"      {paint('~', 'yellow')} {label} = {'[' if isinstance(right, list) else '{'}{forces}"
            yield from _inner(left, right, paint)
            yield f"        {']' if isinstance(right, list) else '}'}"
    kept = len(names) - len(different)
    if kept:
        yield paint(f"        # ({kept} unchanged attribute{'s' if kept != 1 else ''})", "dim")


def _one_side(symbol: str, label: str, value: Any, forces: str, paint: Paint) -> Iterator[str]:
    first, *rest = literal_lines(value, "        ")
    yield f"      {paint(symbol, COLOURS[symbol])} {label} = {first}{forces}"
    yield from rest


def _inner(before: Any, after: Any, paint: Paint) -> Iterator[str]:
    for difference in differences(before, after):
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in difference.path).lstrip(".")
        name = f"{path} = " if path and not isinstance(after, list) else ""
        if is_fingerprint(difference.before) and is_fingerprint(difference.after):
            yield f"          {paint('~', 'yellow')} {name}{SENSITIVE_CHANGED}"
            continue
        for symbol, value in (("-", difference.before), ("+", difference.after)):
            if value is not MISSING:
                first, *rest = literal_lines(value, "            ")
                yield f"          {paint(symbol, COLOURS[symbol])} {name}{first}"
                yield from rest
