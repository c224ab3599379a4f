"""Differences between two sets of attributes: fast for planning, by path for display.

`same` and `changed_names` compare with ==. `differences` returns paths; it is the only user of deepdiff, which is
imported when a changed object is shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from dstream.lang import Unknown
from dstream.lang.markers import fingerprint_marker, fingerprint_text, is_fingerprint

MISSING = object()


class Difference(Struct, frozen=True):
    """One path at which two values differ; `MISSING` stands for an absent side."""

    path: tuple[str | int, ...]
    before: Any
    after: Any


def normalised(value: Any, *, unordered: bool = False) -> Any:
    """Return the value in a form for == : floats as decimals, sets in one order, and booleans that equal no number."""
    if isinstance(value, bool):
        return bool, value
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {name: normalised(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        items = [normalised(inner) for inner in value]
        return sorted(items, key=repr) if unordered else items
    return value


def same(before: Any, after: Any, *, unordered: bool = False) -> bool:
    """Return whether two values are equivalent; an unknown value equals nothing."""
    if type(before) is type(after) and isinstance(before, str | int):
        return bool(before == after)
    if has_unknown_part(after) or has_unknown_part(before):
        return False
    return bool(normalised(before, unordered=unordered) == normalised(after, unordered=unordered))


def has_unknown_part(value: Any) -> bool:
    """Whether JSON values, as in planned attributes, have an unknown part; the language has `contains_unknown`."""
    if isinstance(value, str | int) or value is None:
        return False
    if isinstance(value, Unknown):
        return True
    if isinstance(value, Mapping):
        return any(map(has_unknown_part, value.values()))
    if isinstance(value, list | tuple):
        return any(map(has_unknown_part, value))
    return False


def changed_names(before: Mapping[str, Any], after: Mapping[str, Any], unordered: Collection[str] = ()) -> list[str]:
    """Return the names of the top-level attributes that differ, sorted; null and absent are the same.

    `before` has real attributes, none unknown.
    """
    if before == after and not (_has_boolean(before) or _has_boolean(after)):
        return []
    return sorted(
        name
        for name in before.keys() | after.keys()
        if not same(before.get(name), after.get(name), unordered=name in unordered)
    )


def _has_boolean(value: Any) -> bool:
    """Whether a value has a boolean in it, which == takes for 0 or 1."""
    if isinstance(value, Mapping):
        return any(map(_has_boolean, value.values()))
    return any(map(_has_boolean, value)) if isinstance(value, list | tuple) else isinstance(value, bool)


def differences(before: Any, after: Any) -> Iterator[Difference]:
    """Yield each path at which two values differ, sorted by path; lists are compared item by item.

    Both sides are JSON values; an unknown differs from everything, and a fingerprint is one value, not an object.
    """
    from deepdiff import DeepDiff

    found = DeepDiff(
        _folded(before),
        _folded(after),
        view="tree",
        ignore_numeric_type_changes=True,
        ignore_type_in_groups=[(dict, Mapping)],
        threshold_to_diff_deeper=0,
    )
    rows = []
    for kind, entries in found.items():
        for entry in entries:
            path = tuple(entry.path(output_format="list"))
            left = MISSING if kind.endswith("_added") else _unfolded(entry.t1)
            right = MISSING if kind.endswith("_removed") else _unfolded(entry.t2)
            rows.append(Difference(path, left, right))
    yield from sorted(rows, key=lambda row: [(isinstance(part, str), str(part).zfill(8)) for part in row.path])


class _Fingerprint(str):
    """A fingerprint as a single value for deepdiff."""


class _Boolean(str):
    """A boolean for deepdiff, which takes it for a number otherwise."""


def _folded(value: Any) -> Any:
    if is_fingerprint(value):
        return _Fingerprint(fingerprint_text(value))
    if isinstance(value, bool):
        return _Boolean(value)
    if isinstance(value, Mapping):
        return {name: _folded(inner) for name, inner in value.items()}
    return [_folded(item) for item in value] if isinstance(value, list | tuple) else value


def _unfolded(value: Any) -> Any:
    if isinstance(value, _Fingerprint):
        return fingerprint_marker(str(value))
    if isinstance(value, _Boolean):
        return value == "True"
    if isinstance(value, Mapping):
        return {name: _unfolded(inner) for name, inner in value.items()}
    return [_unfolded(item) for item in value] if isinstance(value, list | tuple) else value
