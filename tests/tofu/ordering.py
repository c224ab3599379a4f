"""What the order of an apply has to respect, checked on the events of either program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tests.tofu.results import Event, Result
from tests.tofu.steps import Step


def violations(step: Step, earlier: Step | None, result: Result, *, direct: bool = False) -> list[str]:
    """Return the pairs of actions in an order that breaks a dependency.

    With `direct`, those through other blocks do not count, since OpenTofu does not follow them through a block without
    objects, nor does an instance in `replace_triggered_by`, which is all that OpenTofu waits for. Deletions wait for no
    trigger there.
    """
    starts: dict[tuple[str, str], int] = {}
    ends: dict[tuple[str, str], int] = {}
    for position, event in enumerate(result.events):
        (starts if event.kind == "start" else ends)[_key(event)] = position
    found = [
        f"{second[0]} of {second[1]} starts before {first[0]} of {first[1]} ends"
        for first, second in _pairs(step, earlier, result, list(starts), direct)
        if first not in ends or ends[first] > starts[second]
    ]
    return sorted(found)


def _key(event: Event) -> tuple[str, str]:
    return ("delete" if event.action == "delete" else "create or update", event.address)


def _pairs(
    step: Step, earlier: Step | None, result: Result, begun: list[tuple[str, str]], direct: bool
) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Yield pairs of actions of which the first ends before the second starts."""
    reached = transitive(step.needs)
    before: Mapping[str, Iterable[str]] = {}
    if earlier is not None:
        before = earlier.needs_recorded if direct else transitive(earlier.needs)
    needs: Mapping[str, Iterable[str]] = step.needs_entirely if direct else reached
    moved = any("previous" in each for each in result.plan.values())
    for first in begun:
        for second in begun:
            a, b = block_of(first[1]), block_of(second[1])
            if first[0] == second[0] == "create or update" and a in needs.get(b, ()):
                yield first, second
            elif first[0] == second[0] == "delete" and not moved and _deleted(result, first[1], second[1]):
                if b in before.get(a, ()) and a not in before.get(b, ()) and a not in reached.get(b, ()):
                    yield first, second
            elif first[1] == second[1] and first[0] != second[0]:
                order = result.plan.get(first[1], {}).get("actions", "")
                if order == ("delete-create" if first[0] == "delete" else "create-delete"):
                    yield first, second


def _deleted(result: Result, *addresses: str) -> bool:
    return all(result.plan.get(each, {}).get("actions") == "delete" for each in addresses)


def block_of(address: str) -> str:
    """Return the name of the block of an address."""
    return address.split(".")[1].partition("[")[0]


def transitive(needs: Mapping[str, tuple[str, ...]]) -> dict[str, set[str]]:
    """Return the blocks that each block refers to, directly or through others."""
    found: dict[str, set[str]] = {}
    for name in needs:
        pending, reached = list(needs[name]), set()
        while pending:
            each = pending.pop()
            if each not in reached:
                reached.add(each)
                pending += needs.get(each, ())
        found[name] = reached
    return found
