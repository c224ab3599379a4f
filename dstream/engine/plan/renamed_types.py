"""Renamed types: warnings where an object is destroyed and created because its task names it with another type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dstream.addresses import DerivedAddress, parse_address
from dstream.diagnostics import Diagnostic, warning
from dstream.engine.evaluate.desired import DesiredObject
from dstream.plan import Action, Change, Reason


def warn_of_renamed_types(changes: Mapping[str, Change], desired: Mapping[str, DesiredObject]) -> Iterator[Diagnostic]:
    """Yield a warning for each object that a task no longer requires, and requires under another type of its provider.

    An alias from the provider would move the object instead.
    """
    gone: dict[tuple[str, ...], Change] = {}
    for address, change in changes.items():
        if change.action is Action.DELETE and change.reason is Reason.NOT_WANTED_BY_TASK:
            place = _place(address)
            if place is not None:
                gone[place] = change
    for address, change in changes.items() if gone else ():
        place = _place(address) if change.action is Action.CREATE else None
        if place is not None and place in gone:
            yield _renamed(gone[place], change, desired.get(address))


def _place(address: str) -> tuple[str, ...] | None:
    """Return what stays of the address of a task's object when its type is renamed within a provider's types."""
    parsed = parse_address(address.partition("#")[0])
    if not isinstance(parsed, DerivedAddress) or parsed.key is None or "#" in address:
        return None
    return str(parsed.task), parsed.side, parsed.label or "", parsed.type.partition("_")[0], str(parsed.key)


def _renamed(old: Change, new: Change, desired: DesiredObject | None) -> Diagnostic:
    key = new.key or new.address
    return warning(
        "Type of an object changed",
        f'"{key}" was a {old.type}, and is required as a {new.type}: {old.address} is destroyed, and this object is '
        "created. If both types mean the same object, its provider can say so, and it is moved instead: in a Pulumi "
        f'program with opts=ResourceOptions(aliases=[Alias(type_="{old.type}")]), with the SDK by '
        f'Resource(..., aliases=[("{old.type}", "{key}")]).',
        desired.range if desired is not None else None,
        address=new.address,
    )
