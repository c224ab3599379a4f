"""Rules about where an input starts: R23 (resuming after a checkpoint) and R27 (redelivery of what was not committed).

The kit reads the source once without committing anything, which releases nothing, and then holds other sessions against
what it has read.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from dstream.plugins.conformance.opening import first_object
from dstream.plugins.conformance.result import Departed, Skipped
from dstream.plugins.conformance.talk import Talk
from dstream.plugins.wire import decode_object

CHECKPOINT, END = b'{"checkpoint":', b'{"end":'
_SECONDS = 20.0
_RECORDS = 200
"""Records that are read at most."""
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_DAY = 86_400

Opened = Callable[..., Talk]
"""Starts the input; arguments are members of the opening line."""


class Reading(Struct, frozen=True):
    """What one session has delivered, in order: records as `identity` names them, and checkpoints."""

    lines: tuple[str | Mapping[str, Any], ...]

    @property
    def records(self) -> list[str]:
        """The records."""
        return [line for line in self.lines if isinstance(line, str)]

    def resumable(self) -> list[tuple[Mapping[str, Any], list[str]]]:
        """Return positions with the records behind them, where there are any: the first, the middle and the last."""
        found = []
        for at, line in enumerate(self.lines):
            behind = [each for each in self.lines[at:] if isinstance(each, str)]
            if not isinstance(line, str) and behind:
                found.append((line, behind))
        return [found[at] for at in sorted({0, len(found) // 2, len(found) - 1})] if found else []


def read(talk: Talk, expected: Iterable[str] | None = None) -> Reading:
    """Read a session until it ends, has delivered `wanted` or as much as is read at most; then kill it."""
    missing = Counter(expected) if expected is not None else None
    lines: list[str | Mapping[str, Any]] = []
    until = time.monotonic() + _SECONDS
    while len(lines) < 4 * _RECORDS and (missing is None or missing):
        line = talk.line(max(until - time.monotonic(), 0.0))
        if line is None or line.startswith(END):
            break
        if line.startswith(CHECKPOINT):
            position = first_object(line).get("checkpoint")
            lines.append(position if isinstance(position, dict) else {})
            continue
        record = identity(line)
        lines.append(record)
        if missing is not None:
            missing -= Counter([record])
        elif sum(isinstance(each, str) for each in lines) >= _RECORDS:
            break
    talk.kill()
    return Reading(tuple(lines))


def identity(line: bytes) -> str:
    """Return what identifies a record in any session: without the time at which it was delivered."""
    form = decode_object(line)
    if form is None:
        return line.decode("utf-8", "replace")
    metadata = form.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    parts = [known.get("TableName"), known.get("Key"), _timeless(form.get("data"))]
    return json.dumps(parts, sort_keys=True, default=str)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: each for name, each in value.items() if not _is_now(each)}
    return value


def _is_now(value: Any) -> bool:
    if isinstance(value, str):
        return _TIME.match(value) is not None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return False
    now = int(time.time())
    return any(abs(int(value) - unit * now) < unit * _DAY for unit in (1, 10**3, 10**6, 10**9))


def check_resumed(opened: Opened, reference: Reading) -> None:
    """R23: after each checkpoint, the input delivers everything that it delivered after it before."""
    positions = [line for line in reference.lines if not isinstance(line, str)]
    if not positions:
        raise Skipped("it wrote no checkpoint")
    # Where no record follows any checkpoint, the last one has to be accepted.
    points = reference.resumable() or [(positions[-1], [])]
    for position, behind in points:
        with opened(checkpoint=position) as talk:
            again = read(talk, behind)
        lost = list((Counter(behind) - Counter(again.records)).elements())
        if lost:
            raise Departed(
                f"started again behind {json.dumps(position, default=str)[:200]}, it did not deliver {len(lost)} of "
                f"the {len(behind)} records that follow, such as {lost[0][:200]}"
            )


def check_uncommitted(opened: Opened, reference: Reading) -> None:
    """R27: everything that was read and not committed is delivered again from the beginning.

    A queue delivers a message again after its lock has expired: try the rule with a lock shorter than the wait.
    """
    if not reference.records:
        raise Skipped("its source delivers nothing")
    with opened() as talk:
        again = read(talk, reference.records)
    lost = list((Counter(reference.records) - Counter(again.records)).elements())
    if lost:
        raise Departed(
            f"nothing was committed, and when it was started again {len(lost)} of {len(reference.records)} records did "
            f"not come again, such as {lost[0][:200]}"
        )
