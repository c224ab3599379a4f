"""Timeouts: the time limit of a change, from its block, from the provider of a task, or by default.

The state records it with the object, for its destruction after its block was removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from dstream.addresses import Key
from dstream.config import Expr, ResourceBlock, TaskBlock, TimeoutsBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError, SourceRange, error
from dstream.engine.evaluate.expansion import InstanceNames
from dstream.engine.evaluate.targeting import block_of_text
from dstream.lang import Scope, Sensitive, contains_unknown, evaluate, sensitive_paths
from dstream.lang.durations import duration_text, seconds_of
from dstream.plugins.derivation import LONGEST_SECONDS
from dstream_state import NO_TIMEOUTS, Timeouts

_SHOWN = 40
CHANGE_SECONDS = 1800.0
"""The time limit of a change without a timeout."""


def timeouts_of(block: TimeoutsBlock | None, scope: Scope, *, lenient: bool = False) -> Timeouts:
    """Return the timeouts of a block; raise DiagnosticsError with all errors in it.

    With `lenient`, an unknown timeout counts as not set.
    """
    if block is None:
        return NO_TIMEOUTS
    found: dict[str, float] = {}
    problems: list[Diagnostic] = []
    for name, expr in block.given.items():
        try:
            value = evaluate(expr, scope)
            if value is None or (lenient and contains_unknown(value)):
                continue
            found[name] = _seconds(name, value, expr)
        except DiagnosticsError as problem:
            problems.extend(problem.diagnostics)
    if problems:
        raise DiagnosticsError(problems)
    return Timeouts(**found)


def timeouts_of_removed(
    block: ResourceBlock | TaskBlock, names: InstanceNames, key: Key, recorded: Timeouts, scope: Scope
) -> Timeouts:
    """Return the timeouts of an object that is removed while its block exists: by a destroy, or an extra instance.

    The present block takes precedence, if it can be evaluated, so that a recorded timeout that is too short can be
    fixed. For an object of a task, the recorded timeouts fill in what the block does not set. Raise DiagnosticsError
    for an invalid timeout.
    """
    try:
        bound = names.of(scope).get(key)
    except DiagnosticsError:
        return recorded
    if bound is None:
        return recorded
    reported = timeouts_of(block.timeouts, scope.bind(bound), lenient=True)
    return reported.over(recorded) if isinstance(block, TaskBlock) else reported


def seconds_for(timeouts: Timeouts, step: str) -> float:
    """Return the time limit of a step (`create`, `update` or `destroy`) in seconds."""
    given: float | None = getattr(timeouts, "delete" if step == "destroy" else step)
    return CHANGE_SECONDS if given is None else given


def out_of_time(
    address: str,
    step: str,
    seconds: float,
    reported: Iterable[Diagnostic],
    subject: SourceRange | None,
    *,
    declared: bool,
) -> Diagnostic:
    """Return the error for a change that timed out; `reported` has the diagnostics of its provider.

    `declared` says whether the configuration has its block.
    """
    name, block = "delete" if step == "destroy" else step, block_of_text(address)
    longer = f'timeouts {{ {name} = "{duration_text(2 * seconds)}" }}'
    fix = f"apply again with {longer} in the block {block}"
    if not declared:
        fix = f"put the block {block} back with {longer}, and take it away by dstream destroy -target={block}"
    more = "".join(f"\n{each.summary}: {each.detail}" for each in reported)
    return error(
        "Change timeout",
        f"The provider had {duration_text(seconds)} to {step} this object, and gave no answer. What became of it is "
        f"looked up, now or by the next apply. If it needs longer, {fix}.{more}",
        subject,
        address=address,
    )


def _seconds(name: str, value: Any, expr: Expr) -> float:
    if isinstance(value, Sensitive) or sensitive_paths(value):
        raise _wrong(
            "Sensitive timeout",
            f"The value of {name} is sensitive, and a timeout is recorded and shown in messages. "
            f"If it is not secret, write {name} = nonsensitive({expr.text}).",
            expr,
        )
    if contains_unknown(value):
        raise _wrong(
            "Unknown timeout",
            f"What {name} depends on is known only after apply. A time is needed before: take a text, a local or a "
            "variable.",
            expr,
        )
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        raise _wrong("Wrong timeout", f'{name} needs a unit: "{value}s" is {value} seconds, "{value}m" minutes.', expr)
    if not isinstance(value, str):
        raise _wrong("Wrong timeout", f'{name} is a duration as a text, such as "45s", "30m" or "1h30m".', expr)
    shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}..."
    try:
        seconds = seconds_of(value)
    except ValueError:
        detail = f'"{shown}" is not a duration. Write {name} as "45s", "30m" or "1h30m"; the units are h, m, s and ms.'
        raise _wrong("Wrong timeout", detail, expr) from None
    if not Fraction(1, 1000) <= seconds <= LONGEST_SECONDS:
        limits = f"1ms at least and {duration_text(LONGEST_SECONDS)} (a year) at most"
        raise _wrong("Wrong timeout", f'{name} is "{shown}". A provider can be given {limits}.', expr)
    return float(seconds)


def _wrong(summary: str, detail: str, expr: Expr) -> DiagnosticsError:
    return DiagnosticsError(error(summary, detail, expr.range))
