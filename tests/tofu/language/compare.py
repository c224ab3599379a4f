"""The differences between the facts of OpenTofu and of dstream.

Those that are meant are excluded by the rules in `rules`, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tests.tofu.language.fact import Fact
from tests.tofu.language.rules import ERRORS, VALUES


def differences(
    expressions: Iterable[str], ours: Iterable[Fact], theirs: Iterable[Fact | None]
) -> tuple[list[str], Counter[str]]:
    """Return what differs, and how many expressions each rule excludes."""
    found, excluded = [], Counter[str]()
    for expression, our, their in zip(expressions, ours, theirs, strict=True):
        if their is None:
            excluded["unsteady"] += 1
        elif our.text() != their.text():
            rule = meant(expression, our, their)
            if rule:
                excluded[rule] += 1
            else:
                found.append(f"{expression}\n    dstream  {our.text()}\n    OpenTofu {their.text()}")
    return found, excluded


def meant(expression: str, our: Fact, their: Fact) -> str:
    """Return the name of the rule by which a difference is meant; empty if there is none."""
    rules = ERRORS if our.error or their.error else VALUES
    return next((name for name, applies in rules.items() if applies(expression, our, their)), "")
