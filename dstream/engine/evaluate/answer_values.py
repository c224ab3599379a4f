"""Answer values: compares the attributes that were planned with those that a provider answers. Pure.

Values are equal as in Terraform: an unknown value equals every value; 1 and 1.0 are one number, 1 and true are not;
null and absent are the same; the order of a list counts, that of a set (`uniqueItems`) does not. A value that the
provider withholds is not compared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from msgspec import Struct

from dstream.engine.evaluate.redaction import Path, has_withheld
from dstream.lang import Unknown, to_text
from dstream.lang.markers import WITHHELD, is_fingerprint
from dstream.plan import has_unknown_part

_SHOWN = 5
_LONGEST = 120


class Inconsistency(Struct, frozen=True):
    """One path at which an answer differs from the plan."""

    path: Path
    planned: Any
    answered: Any


def inconsistencies(
    planned: Mapping[str, Any], answered: Mapping[str, Any], schema: Mapping[str, Any], computed: Collection[str] = ()
) -> Iterator[Inconsistency]:
    """Yield where clear attributes of an answer differ from the planned ones (Unknown inside).

    An attribute that the answer leaves out is as planned. One that was not planned may be answered if it is `computed`,
    or if the schema does not name it.
    """
    properties: Mapping[str, Any] = schema.get("properties", {})
    for name, before in planned.items():
        if name in answered:
            yield from _differing(before, answered[name], properties.get(name), (name,), name in computed)
    aliases = {part["x-alias-of"] for part in properties.values() if "x-alias-of" in part}
    for name, value in answered.items():
        added = name not in planned and name in properties and name not in computed
        if added and name not in aliases and value is not None and not _is_opaque(value):
            yield Inconsistency((name,), None, value)


def _differing(before: Any, after: Any, schema: Any, path: Path, growing: bool) -> Iterator[Inconsistency]:
    """Yield the differences of two values; `growing` objects may have members that were not planned."""
    if isinstance(before, Unknown) or _is_opaque(after) or before == WITHHELD:
        return
    part: Mapping[str, Any] = schema if isinstance(schema, Mapping) else {}
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in before.keys() | after.keys():
            inner = _member(part, name)
            required = before.get(name)
            if required is None and (growing or after.get(name) == _default(inner)):
                continue
            yield from _differing(required, after.get(name), inner, (*path, name), growing)
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple):
        if _alternative(part, "items").get("uniqueItems"):
            if not _same_sets(before, after):
                yield Inconsistency(path, before, after)
        elif len(before) != len(after):
            yield Inconsistency(path, before, after)
        else:
            items = _alternative(part, "items").get("items")
            for index, (required, given) in enumerate(zip(before, after, strict=True)):
                yield from _differing(required, given, items, (*path, index), growing)
    elif not _equal(before, after):
        yield Inconsistency(path, before, after)


def _is_opaque(value: Any) -> bool:
    return isinstance(value, Mapping) and (value == WITHHELD or is_fingerprint(value))


def _equal(before: Any, after: Any) -> bool:
    if isinstance(before, bool) or isinstance(after, bool):
        return before is after
    return bool(before == after)


def _same_sets(before: Collection[Any], after: Collection[Any]) -> bool:
    if has_unknown_part(before) or has_withheld(after):
        return True
    left = list(after)
    for required in before:
        found = next(
            (index for index, each in enumerate(left) if not any(_differing(required, each, None, (), False))), None
        )
        if found is None:
            return False
        left.pop(found)
    return not left


def _alternative(schema: Mapping[str, Any], member: str) -> Mapping[str, Any]:
    """Return the only alternative of a schema that has a member, the schema itself if it has it."""
    found = [each for each in (schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())) if member in each]
    return found[0] if len(found) == 1 else {}


def _member(schema: Mapping[str, Any], name: str) -> Any:
    properties = _alternative(schema, "properties").get("properties", {})
    return properties.get(name, _alternative(schema, "additionalProperties").get("additionalProperties"))


def _default(schema: Any) -> Any:
    return schema.get("default") if isinstance(schema, Mapping) else None


def described(found: Collection[Inconsistency], sensitive: Collection[Path]) -> str:
    """Return differences as text; a value at, above or below a `sensitive` path is not shown."""
    lines = [_described(each, sensitive) for each in list(found)[:_SHOWN]]
    more = len(found) - len(lines)
    return "; ".join([*lines, f"and {more} more"] if more else lines)


def _described(found: Inconsistency, sensitive: Collection[Path]) -> str:
    path = found.path
    if any(secret[: len(path)] == path[: len(secret)] for secret in sensitive):
        return f"{written(path)}: inconsistent values for sensitive attribute"
    return f"{written(path)}: was {_shown(found.planned)}, but now {_shown(found.answered)}"


def _shown(value: Any) -> str:
    if has_unknown_part(value):
        return "a value with parts that are known after apply"
    text = to_text(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def written(path: Path) -> str:
    """Return a path as in a configuration, such as `rules[0].port`."""
    first, *rest = path
    return str(first) + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest)
