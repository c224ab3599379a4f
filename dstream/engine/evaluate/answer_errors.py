"""Answer errors: the errors for an invalid answer, which name the provider."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from dstream.diagnostics import Diagnostic, error
from dstream.engine.evaluate.answer_types import AnswerTypes
from dstream.engine.evaluate.answer_values import Inconsistency, described, written
from dstream.engine.evaluate.redaction import Path

_SHOWN = 5
_BUG = "This is a bug in the provider: report it to the authors of the provider."


def invalid_object(
    types: AnswerTypes, attributes: Mapping[str, Any] | None, address: str, provider: str, request: str, fix: str = ""
) -> Diagnostic | None:
    """Return the error for an answer to `request` whose attributes are not of the types in the schema."""
    found = types.errors(attributes) if attributes else []
    if not found:
        return None
    reasons = "; ".join(f"{written(path)}: {reason}" for path, reason in found[:_SHOWN])
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return error(
        "Provider produced invalid object",
        f"{provider} answered the request to {request} {address} with values that its own schema does not allow: "
        f"{reasons}{more}. {_BUG}{fix}",
        address=address,
    )


def inconsistent_result(
    found: Collection[Inconsistency], sensitive: Collection[Path], address: str, provider: str
) -> Diagnostic:
    """Return the error for an object that became another one than its provider planned, or was asked for."""
    return error(
        "Provider produced inconsistent result after apply",
        f"When applying changes to {address}, {provider} produced an unexpected new value: "
        f"{described(found, sensitive)}. The values that it reported are recorded in the state. {_BUG}",
        address=address,
    )


def inconsistent_plan(reasons: Iterable[str], address: str, provider: str) -> Diagnostic:
    """Return the error for a plan, made again with all values known, that differs from the approved one."""
    return error(
        "Provider produced inconsistent final plan",
        f"When expanding the plan for {address} to include new values learned so far during apply, {provider} produced "
        f"another plan than the one that was approved: {'; '.join(reasons)}. The object was not changed. {_BUG}",
        address=address,
    )
