"""Result: the outcome of a rule. A check that finds a departure raises `Departed`; one that cannot see, `Skipped`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

TITLES = {
    "R1": "answers the probe with one line and exits 0",
    "R2": "writes nothing but the protocol to standard output",
    "R3": "ignores members that it does not know",
    "R4": "answers a command or role that it does not know with an error",
    "R5": "accepts a byte order mark and CRLF in the opening line",
    "R7": "answers the opening line with ready, or with an error that carries diagnostics",
    "R8": "answers a wrong configuration with diagnostics of class invalid that name the path",
    "R9": "shows no secret of the configuration",
    "R10": "ends when its standard input ends",
    "R11": "ends a plan with done, deferred or error, and exits 0",
    "R12": "plans the same twice",
    "R14": "plans objects that its schema describes, with unique keys",
    "R16": "plans timeouts that are seconds, each at most a year",
    "R17": "plans many tasks in one process as it does one by one",
    "R18": "forks sessions that are as processes of their own",
    "R19": "reports what happens to the data in a form that is valid, and plans the same objects",
    "R20": "writes nothing but ready before it is ready",
    "R21": "numbers checkpoints from 1, rising by 1",
    "R22": "writes complete positions of at most 64 KiB",
    "R23": "continues behind a checkpoint",
    "R24": "ends with an end line and exit code 0",
    "R25": "answers SIGTERM with a last checkpoint and the end",
    "R26": "writes envelopes only where nothing is acknowledged",
    "R27": "delivers again what was not committed",
    "R28": "ends with until = current when it has delivered what was there",
    "R29": "ends at the first consistent point after max_records",
    "R30": "acknowledges only what is durable",
    "R31": "acknowledges what was sent, as it was sent, with rising numbers",
    "R32": "acknowledges the last checkpoint without waiting for more",
    "R33": "finishes, acknowledges and exits 0 after the end line",
    "R34": "acknowledges nothing when its input ends without an end line",
    "R35": "delivers no half line",
    "R36": "rejects before it acknowledges",
    "R37": "says in ready which checkpoint it has stored",
    "R38": "requests the objects of a table that is not among its streams, and then ends",
    "R40": "answers every request once, with its id",
    "R41": "reads requests while it writes answers",
    "R42": "answers what is outstanding when its standard input ends, and exits 0",
    "R44": "shows after a creation what it has answered",
    "R45": "destroys an object that no longer exists without an error",
    "R47": "gives errors a class, and continues after them",
    "R48": "answers a list of objects in its order",
    "R50": "writes a checkpoint soon after data, without waiting for more",
    "R60": "answers a version 1 opening line without control lines",
    "R61": "answers a version 1 lifecycle command with one object with a status",
    "R62": "takes a first line without a command for the configuration of run",
}
"""What a provider that keeps a rule does, in short; the rule itself is in PROTOCOL.md."""

Outcome = Literal["passed", "failed", "skipped"]


class Result(Struct, frozen=True):
    """One rule, in one role of the provider, or as it shows in the sink."""

    rule: str
    outcome: Outcome
    detail: str = ""
    role: str = ""

    @property
    def title(self) -> str:
        """What the rule is about."""
        title = TITLES[self.rule]
        return f"{title} ({self.role})" if self.role else title

    def to_json(self) -> dict[str, str]:
        """Return the result as JSON."""
        form = {"rule": self.rule, "title": TITLES[self.rule], "outcome": self.outcome, "detail": self.detail}
        return form | {"role": self.role} if self.role else form


class Departed(Exception):
    """The provider departs from the rule; the text says how."""


class Skipped(Exception):
    """The rule cannot be checked; the text has the reason."""


def check(rule: str, look: Callable[[], None], role: str = "") -> Result:
    """Return the result of checking `rule` by `look`."""
    try:
        look()
    except Departed as problem:
        return Result(rule, "failed", str(problem), role)
    except Skipped as reason:
        return Result(rule, "skipped", str(reason), role)
    return Result(rule, "passed", role=role)


def require(condition: bool, otherwise: str) -> None:
    """Raise Departed unless the condition holds."""
    if not condition:
        raise Departed(otherwise)
