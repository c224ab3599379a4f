"""Values: what expressions evaluate to.

None, bool, int, Decimal (never float, and never a whole number), str, list, dict with texts as keys in their order,
SetValue; Unknown for what only apply will know; Sensitive around a value that must not be shown. Both may stand at any
depth of a value. A plain list or dict is a tuple or object, with a type for each element; ListValue and MapValue, made
by conversion, have one type for all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from decimal import Context, Decimal
from itertools import islice
from types import NoneType
from typing import Any, TypeAlias

Value: TypeAlias = Any
"""A value of the language; see the docstring of the module."""
Path: TypeAlias = tuple[str | int, ...]
"""The path from a value to a part of it."""

PRECISION = Context(prec=154, Emin=-999_999, Emax=999_999)
"""Numbers that are not whole have this many digits, which are the 512 bits that HCL asks for."""
QUOTIENTS = Context(prec=160, Emin=-999_999, Emax=999_999)
"""Quotients have more, so that rounding brings back what was divided: 1 / 3 * 3 == 1."""


Lengths = tuple[int, int | None]
"""The least and the greatest number of elements of a collection; None where there is no limit."""


class Unknown:
    """A value that is not known yet; `type` is its type, if that is known.

    More may be known of it: that it is not null, the start of a text, and the number of elements.
    """

    __slots__ = ("lengths", "not_null", "prefix", "type")

    def __init__(
        self, type: Any = None, *, not_null: bool = False, prefix: str = "", lengths: Lengths = (0, None)
    ) -> None:
        """Take a type from `dstream.lang.types`, or None for any."""
        self.type = type
        self.not_null, self.prefix, self.lengths = not_null, prefix, lengths

    def __repr__(self) -> str:
        """Show it as plans do."""
        return "(known after apply)"

    def __eq__(self, other: object) -> bool:
        """Compare as the marker that it is: the language itself never compares unknown values."""
        return isinstance(other, Unknown)

    def __hash__(self) -> int:
        """Return the same for all."""
        return hash(Unknown)


UNKNOWN = Unknown()


class Sensitive:
    """A value that must not be shown; `origins` names its sources.

    They read `env NAME`, `var NAME` or `ADDRESS.attribute`.
    """

    __slots__ = ("origins", "value")

    def __init__(self, value: Value, origins: Iterable[str] = ()) -> None:
        """Wrap a value; a sensitive one is not wrapped twice."""
        if isinstance(value, Sensitive):
            origins = value.origins.union(origins)
            value = value.value
        self.value: Value = value
        self.origins: frozenset[str] = frozenset(origins)

    def __repr__(self) -> str:
        """Never show the value."""
        return "(sensitive value)"

    def __eq__(self, other: object) -> bool:
        """Compare the values inside."""
        return isinstance(other, Sensitive) and bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment]  # values are compared, never hashed


class ListValue(list[Any]):
    """A list whose elements have one type, such as `tolist` makes; `[...]` is a tuple, and never equal to it."""

    __slots__ = ()


class MapValue(dict[str, Any]):
    """A map whose elements have one type, such as `tomap` makes; `{...}` is an object, and never equal to it."""

    __slots__ = ()


class SetValue:
    """A set: each element once, in order: texts and numbers by size, lists and objects by their elements."""

    __slots__ = ("_identities", "items")

    def __init__(self, items: Iterable[Value] = ()) -> None:
        """Take the elements; equal ones become one."""
        self.items: tuple[Value, ...] = _deduplicated(items)
        self._identities: frozenset[Hashable] | None = None

    def __iter__(self) -> Iterator[Value]:
        """Go through the elements in order."""
        return iter(self.items)

    def __len__(self) -> int:
        """Return the number of elements."""
        return len(self.items)

    def __contains__(self, item: object) -> bool:
        """Return whether a value is an element."""
        if self._identities is None:
            self._identities = frozenset(map(identity, self.items))
        key = identity(item)
        if key is None or None in self._identities:
            return any(same(item, other) for other in self.items)
        return key in self._identities

    def __eq__(self, other: object) -> bool:
        """Sets are equal if they have equal elements."""
        if not isinstance(other, SetValue) or len(self.items) != len(other.items):
            return False
        return self.items == other.items or all(item in other for item in self.items)

    __hash__ = None  # type: ignore[assignment]  # values are compared, never hashed

    def __repr__(self) -> str:
        """Return it as the language would write it."""
        return f"toset({list(self.items)!r})"


def _deduplicated(items: Iterable[Value]) -> tuple[Value, ...]:
    plain: dict[Any, Value] = {}
    others: dict[Hashable, Value] = {}
    open_: dict[Hashable, Value] = {}
    for item in items:
        key = _simple_key(item)
        if key is not None:
            plain.setdefault(key, item)
        elif (known := identity(item)) is not None:
            others.setdefault(known, item)
        else:
            # Unknown elements may all differ; those with unknown parts are told apart by the other parts.
            open_.setdefault(len(open_) if isinstance(item, Unknown) else identity(item, unknown=True), item)
    rest = [*others.values(), *open_.values()]
    try:
        ordered = sorted(plain.values())
    except TypeError:
        ordered = sorted(plain.values(), key=lambda item: (type(item).__name__, item))
    if len(rest) > 1:
        with suppress(TypeError):  # null, unknown and sensitive elements have no order
            rest = sorted(rest, key=_order)
    return (*ordered, *rest)


def _order(item: Value) -> Any:
    """Return what orders lists and objects of one type."""
    if isinstance(item, dict):
        return [_order(item[name]) for name in sorted(item)]
    if isinstance(item, list | tuple | SetValue):
        return [_order(inner) for inner in item]
    return item


def _simple_key(item: Value) -> Any:
    """Return what distinguishes strings, numbers and booleans; None for other values."""
    if isinstance(item, bool):
        return ("bool", item)
    if isinstance(item, str):
        return ("str", item)
    if isinstance(item, int | Decimal):
        return ("number", item)
    return None


def identity(value: Value, *, unknown: bool = False) -> Hashable | None:
    """Return a key that exactly the equal values share (see `same`); None for a value with an unknown part.

    With `unknown`, unknown parts are equal to each other.
    """
    if isinstance(value, Sensitive):
        return identity(value.value, unknown=unknown)
    if unknown and isinstance(value, Unknown):
        return ("unknown",)
    if value is None:
        return ("null",)
    simple: Hashable = _simple_key(value)
    if simple is not None:
        return simple
    if isinstance(value, dict):
        inner: list[Hashable | None] = [identity(value[name], unknown=unknown) for name in sorted(value)]
        return None if None in inner else ("object", *sorted(value), *inner)
    if isinstance(value, list | tuple | SetValue):
        inner = [identity(item, unknown=unknown) for item in value]
        if None in inner:
            return None
        return ("set", frozenset(inner)) if isinstance(value, SetValue) else ("list", *inner)
    return None


def same(left: Value, right: Value) -> bool:
    """Return whether two known values are equal: a text is never a number, `true` never 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Sensitive) or isinstance(right, Sensitive):
        return same(unwrap(left), unwrap(right))
    return bool(left == right)


def number(value: Decimal | float | int) -> int | Decimal:
    """Return a number as the language represents it: int for a whole number, otherwise Decimal."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        value = Decimal(repr(value))
    return int(value) if value == value.to_integral_value() else value.normalize(QUOTIENTS)


def unwrap(value: Value) -> Value:
    """Return a value without the Sensitive directly around it."""
    return value.value if isinstance(value, Sensitive) else value


def mark(value: Value, origins: frozenset[str] | None) -> Value:
    """Return a value marked with origins; None leaves it unchanged."""
    return value if origins is None else Sensitive(value, origins)


def contains_unknown(value: Value) -> bool:
    """Return whether a value is unknown, or has an unknown part."""
    return _any(value, lambda part: isinstance(part, Unknown))


def contains_sensitive(value: Value) -> bool:
    """Return whether a value is sensitive, or has a sensitive part."""
    return _any(value, lambda part: isinstance(part, Sensitive))


_PLAIN = frozenset({str, int, bool, Decimal, NoneType})


def _is_flat(parts: Iterable[Value]) -> bool:
    """Return whether all parts are known and plain, so that there is nothing in them to look for."""
    return _PLAIN.issuperset(map(type, parts))


def _any(value: Value, test: Callable[[Value], bool]) -> bool:
    pending = [value]
    while pending:
        part = pending.pop()
        if test(part):
            return True
        if isinstance(part, Sensitive):
            pending.append(part.value)
        elif isinstance(part, dict | list | tuple | SetValue):
            parts = part.values() if isinstance(part, dict) else part
            if not _is_flat(parts):
                pending.extend(parts)
    return False


def sensitive_paths(value: Value) -> list[tuple[Path, frozenset[str]]]:
    """Return the path of every outermost sensitive part, and its origins."""
    found: list[tuple[Path, frozenset[str]]] = []
    _sensitive_paths(value, (), found)
    return found


def _sensitive_paths(value: Value, here: Path, found: list[tuple[Path, frozenset[str]]]) -> None:
    if isinstance(value, Sensitive):
        found.append((here, value.origins | _inner_origins(value.value)))
    elif isinstance(value, dict | list | tuple | SetValue) and _is_flat(
        value.values() if isinstance(value, dict) else value
    ):
        return
    elif isinstance(value, dict):
        for name, inner in value.items():
            _sensitive_paths(inner, (*here, name), found)
    elif isinstance(value, list | tuple | SetValue):
        for index, inner in enumerate(value):
            _sensitive_paths(inner, (*here, index), found)


def _inner_origins(value: Value) -> frozenset[str]:
    return frozenset().union(*(origins for _, origins in sensitive_paths(value)))


def origins(value: Value) -> frozenset[str] | None:
    """Return the origins of the sensitive parts of a value; None if it has none."""
    paths = sensitive_paths(value)
    return frozenset().union(*(found for _, found in paths)) if paths else None


def child(value: Any, step: str | int) -> Any:
    """Return a member of an object or an element of a list or set; None if there is none."""
    if isinstance(value, Mapping):
        return value.get(str(step))
    if not isinstance(step, int):
        return None
    if isinstance(value, list | tuple):
        return value[step] if step < len(value) else None
    return next(islice(value, step, None), None) if isinstance(value, SetValue) else None


def value_at(value: Any, path: Iterable[str | int]) -> Any:
    """Return the value at a path, such as one of `sensitive_paths`; None if the path leads nowhere."""
    for step in path:
        value = child(value, step)
    return value


def strip_sensitive(value: Value) -> Value:
    """Return a value without any Sensitive in it."""
    if isinstance(value, Sensitive):
        return strip_sensitive(value.value)
    if isinstance(value, dict):
        made = {name: strip_sensitive(inner) for name, inner in value.items()}
        return MapValue(made) if isinstance(value, MapValue) else made
    if isinstance(value, list | tuple):
        items = [strip_sensitive(inner) for inner in value]
        return ListValue(items) if isinstance(value, ListValue) else items
    if isinstance(value, SetValue):
        return SetValue(strip_sensitive(inner) for inner in value) if contains_sensitive(value) else value
    return value


def kind(value: Value) -> str:
    """Return the kind of a value for messages."""
    value = unwrap(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a bool"
    if isinstance(value, int | Decimal):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, SetValue):
        return "a set"
    if isinstance(value, list | tuple):
        return "a list"
    return "unknown"
