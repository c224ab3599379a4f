"""What happens to the data, as text: breaking consequences on top of a plan, all of them at their task or object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dstream.cli.render.paint import Paint
from dstream.cli.render.sizes import size
from dstream.consequences import UNITS, Consequence, Label, label_counts
from dstream.plan import Plan

TITLE = "Breaking consequences"
_QUALIFIERS = {"resume": {"bytes": " behind", "hours": " old"}, "retention": {"bytes": " left", "hours": " left"}}
"""What a number is, for kinds where the unit alone does not tell."""
_STYLES = {Label.BREAKING: ("bold", "red"), Label.FORWARD_ONLY: ("yellow",), Label.NON_BREAKING: ("dim",)}


def breaking_of(plan: Plan) -> list[tuple[str, Consequence]]:
    """Return the breaking consequences of a plan, each with the address of its task or object."""
    return [(address, each) for address, each in plan.consequences if each.breaking]


def breaking_lines(plan: Plan, paint: Paint) -> Iterator[str]:
    """Yield the lines that go on top of a plan, and an empty one; none if nothing is breaking."""
    found = breaking_of(plan)
    if not found:
        return
    yield paint(f"{TITLE}:", "bold", "red")
    yield ""
    for address, each in found:
        yield f"  {paint('!', 'bold', 'red')} {address}: {sentence(each)}"
        yield from (f"      {line}" for line in more_lines(each))
    yield ""


def consequence_lines(found: Iterable[Consequence], paint: Paint) -> Iterator[str]:
    """Yield the lines of the consequences of one task or object, in their order."""
    for each in found:
        yield paint(f"  # {each.label}, {each.kind}: {sentence(each)}", *_STYLES[each.label])
        if not each.breaking:  # on top of the plan, breaking ones have their details
            yield from (paint(f"  #     {line}", "dim") for line in more_lines(each))


def sentence(each: Consequence) -> str:
    """Return the summary of a consequence with its numbers."""
    known = _QUALIFIERS.get(each.kind, {})
    numbers = [_amount(unit, each.numbers[unit]) + known.get(unit, "") for unit in UNITS if unit in each.numbers]
    numbers += (f"{value:,} {unit}" for unit, value in each.numbers.items() if unit not in UNITS)
    return f"{each.text} ({', '.join(numbers)})" if numbers else each.text


def more_lines(each: Consequence) -> Iterator[str]:
    """Yield the detail of a consequence, and how to avoid it."""
    if each.detail:
        yield each.detail
    if each.fix:
        yield f"Fix: {each.fix}"


def consequence_summary(plan: Plan) -> str:
    """Return the sentence that counts the consequences by label; empty if there are none."""
    parts = [f"{count} {name}" for name, count in label_counts(each for _, each in plan.consequences).items() if count]
    return f" Consequences: {', '.join(parts)}." if parts else ""


def _amount(unit: str, value: float) -> str:
    if unit == "bytes":
        return size(value, "bytes")
    if unit == "hours":
        return _time(value)
    return f"{value:,.0f} {unit[:-1] if value == 1 else unit}"


def _time(hours: float) -> str:
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:,.1f} h" if hours < 48 else f"{hours / 24:,.1f} days"
