"""Block places: where in the configuration the object stands that a diagnostic is about."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from dstream.addresses import DerivedAddress, ResourceAddress, TaskAddress, parse_address
from dstream.config import Config
from dstream.diagnostics import Diagnostic, SourceRange


def placed(diagnostics: Iterable[Diagnostic], config: Config) -> tuple[Diagnostic, ...]:
    """Return diagnostics, each that has an address and no place with the place of its block."""
    return tuple(
        replace(each, subject=place_of(each.address, config)) if each.subject is None and each.address else each
        for each in diagnostics
    )


def place_of(address: str, config: Config) -> SourceRange | None:
    """Return the range of the block that an address is in; None if the configuration has none, or has it no longer."""
    try:
        found = parse_address(address.partition("#")[0])
    except ValueError:
        return None
    if isinstance(found, ResourceAddress):
        resource = config.resources.get((found.type, found.name))
        return resource.range if resource is not None else None
    task = config.tasks.get(found.task.name if isinstance(found, DerivedAddress) else found.name)
    if task is None or isinstance(found, TaskAddress):
        return task.range if task is not None else None
    if found.side == "input":
        return task.input.range
    return next((each.range for each in task.outputs if each.label == found.label), task.range)
