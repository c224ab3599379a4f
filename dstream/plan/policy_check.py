"""PolicyCheck: one policy that a plan was held against, and the outcome."""

from __future__ import annotations

from msgspec import Struct


class PolicyCheck(Struct, frozen=True):
    """One policy and whether the plan meets it; the diagnostics of the plan say why not."""

    name: str
    advisory: bool
    """Whether a plan that does not meet it may be applied."""
    met: bool
