"""Consent: what may be destroyed although it holds data, by address."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Sequence

from msgspec import Struct

from dstream.addresses import parse_address
from dstream.engine.refresh.moved_blocks import within
from dstream.plan import Plan

ALL = "*"
"""Every address: `-allow-data-loss` without a value."""


class Consent(Struct, frozen=True):
    """The addresses whose data may be lost: objects, blocks with all their instances, or tasks with their objects."""

    addresses: tuple[str, ...] = ()

    @classmethod
    def read(cls, given: Iterable[str]) -> Consent:
        """Return the consent that the user gave; raise ValueError, with a message, for what is not an address."""
        addresses = tuple(dict.fromkeys(given))
        for each in addresses:
            if each != ALL:
                parse_address(each)
        return cls(addresses)

    def refused(self, plan: Plan) -> list[str]:
        """Return the addresses of `plan` whose loss of data is not allowed."""
        if ALL in self.addresses:
            return []
        return [each for each in losing(plan) if not any(within(each, allowed) for allowed in self.addresses)]

    def unused(self, plan: Plan) -> list[str]:
        """Return a sentence for each address whose data `plan` does not destroy: a mistake, or an earlier consent."""
        lost, planned = losing(plan), [change.address for change in plan.changes]
        found = []
        for allowed in self.addresses:
            if allowed == ALL or any(within(each, allowed) for each in lost):
                continue
            sentence = f"-allow-data-loss={allowed} has no effect: this plan destroys no data there."
            near = difflib.get_close_matches(allowed, lost, n=1)
            if near and not any(within(each, allowed) for each in planned):
                sentence += f" Did you mean {near[0]}?"
            found.append(sentence)
        return found


def losing(plan: Plan) -> list[str]:
    """Return the addresses of the objects with data that `plan` destroys."""
    return [change.address for change in plan.changes if change.loses_data]


def flags(addresses: Sequence[str]) -> str:
    """Return the options that allow the loss of data at these addresses, quoted for a shell."""
    return " ".join(shlex.quote(f"-allow-data-loss={each}") for each in addresses)
