"""Run limits: the arguments `record_limit` and `max_dead_letters` of a task."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from msgspec import Struct

from dstream.config import TaskBlock
from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.lang import Scope, Sensitive, contains_unknown, evaluate

MIB = 1024 * 1024
RECORD_LIMIT = 16 * MIB
LARGEST_RECORD_LIMIT = 512 * MIB
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB)?", re.ASCII)
_UNITS = {"B": 1, "KiB": 1024, "MiB": MIB}


class RunLimits(Struct, frozen=True):
    """The limits of each run of a task."""

    record_limit: int = RECORD_LIMIT
    """The maximum size of a record in bytes."""
    max_dead_letters: int | None = None
    """The maximum number of dead letters that a run may add; None for no limit."""


def run_limits(block: TaskBlock, scope: Scope) -> RunLimits:
    """Return the limits of a task; raise DiagnosticsError with all errors in them."""
    problems: list[Diagnostic] = []
    found: dict[str, int] = {}
    for name, expr, read in (
        ("record_limit", block.record_limit, _bytes),
        ("max_dead_letters", block.max_dead_letters, _count),
    ):
        if expr is None:
            continue
        try:
            value = evaluate(expr, scope)
            if value is not None:
                found[name] = read(value)
        except ValueError as problem:
            problems.append(error("Invalid run limit", f"{name} {problem}.", expr.range))
        except DiagnosticsError as problem:
            problems.extend(problem.diagnostics)
    if problems:
        raise DiagnosticsError(problems)
    return RunLimits(**found)


def _known(value: Any) -> Any:
    if isinstance(value, Sensitive):
        raise ValueError("may not be a sensitive value")
    if contains_unknown(value):
        raise ValueError("must be known before the task runs")
    return value


def _bytes(value: Any) -> int:
    value = _known(value)
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        size = int(match[1]) * _UNITS[match[2] or "B"]
    else:
        size = _integer(value, 'is a number of bytes, or a text such as "64 MiB"')
    if not 1 <= size <= LARGEST_RECORD_LIMIT:
        raise ValueError(f"is at least 1 byte and at most {LARGEST_RECORD_LIMIT // MIB} MiB")
    return size


def _count(value: Any) -> int:
    number = _integer(_known(value), "is a whole number, 0 or more")
    if number < 0:
        raise ValueError("is a whole number, 0 or more")
    return number


def _integer(value: Any, otherwise: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value != int(value):
        raise ValueError(otherwise)
    return int(value)
