"""Checks: what each verifies on the service, where that was modelled, and from which source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

LEARN = "https://learn.microsoft.com/"


class Check(NamedTuple):
    """One behaviour of a service. `run` returns what it found; it raises Different, or anything if it failed."""

    name: str
    behaviour: str
    model: str
    """What stands for the service in the tests."""
    source: str
    run: Callable[[Any], object]


class Stage(NamedTuple):
    """Checks that need the same resources, made by `prepare` from the stages before."""

    name: str
    title: str
    cost: str
    """What its resources cost until they are deleted, by the list price."""
    prepare: Callable[[Any], object]
    checks: tuple[Check, ...]


class Different(Exception):
    """The service does something else than what was modelled."""


def expect(found: object, modelled: object, what: str = "") -> None:
    """Raise Different unless what was found is what was modelled."""
    if found != modelled:
        raise Different(f"{what + ': ' if what else ''}modelled {modelled!r}, found {found!r}")


class Checks:
    """Collects the checks of a stage: a decorator for each."""

    def __init__(self, stage: str, model: str) -> None:
        self._stage, self._model = stage, model
        self.all: list[Check] = []

    def __call__(
        self, name: str, behaviour: str, source: str, model: str = ""
    ) -> Callable[[Callable[[Any], object]], Callable[[Any], object]]:
        """Register a function; `source` is a path on learn.microsoft.com, another address, or a page of docs/."""

        def register(run: Callable[[Any], object]) -> Callable[[Any], object]:
            address = source if source.endswith(".md") or "://" in source else LEARN + source
            self.all.append(Check(f"{self._stage}.{name}", behaviour, model or self._model, address, run))
            return run

        return register


def table(stages: tuple[Stage, ...]) -> str:
    """Return the table of all checks, in Markdown, for docs/try-azure.md."""
    lines = ["| check | modelled behaviour | model | source |", "|---|---|---|---|"]
    for stage in stages:
        for each in stage.checks:
            page = each.source.rstrip("/").rpartition("/")[2]
            lines.append(f"| `{each.name}` | {each.behaviour} | {each.model} | [{page}]({each.source}) |")
    return "\n".join(lines)


def costs(stages: tuple[Stage, ...]) -> str:
    """Return the table of what each stage costs, in Markdown."""
    lines = ["| stage | what it does | cost |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| `{each.name}` | {each.title} | {each.cost} |" for each in stages)])
