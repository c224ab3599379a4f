"""Asked: how far the questions to providers are, for whoever watches an operation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Asked:
    """Counts of objects; written by those who ask, read from any thread."""

    sent: int = 0
    answered: int = 0
