"""Start setting: the valid values of `start`, and of a checkpoint `{"start": ...}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dstream_sdk import InvalidError

OFFSETS = "cdc_offsets"
_LSN = re.compile(r"(?:0x)?[0-9A-Fa-f]{20}")


def is_lsn(text: str) -> bool:
    """Return whether `text` is an LSN."""
    return _LSN.fullmatch(text) is not None


def check_start(text: str) -> None:
    """Raise ValueError if `text` is not a valid value."""
    if text in ("oldest", "now", OFFSETS) or is_lsn(text):
        return
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(
            f'start is {text!r}: expected "oldest", "now", "{OFFSETS}", an LSN of 20 hexadecimal digits, or a time '
            'with its zone, such as "2026-11-30T08:00:00Z"'
        )


def start_of(checkpoint: Mapping[str, Any] | None) -> str | None:
    """Return the start value of a checkpoint that has one in place of a position. Raises InvalidError."""
    if checkpoint is None or set(checkpoint) != {"start"}:
        return None
    try:
        check_start(str(checkpoint["start"]))
    except ValueError as problem:
        raise InvalidError("Invalid checkpoint", f"{problem}. Set another: dstream checkpoint set") from None
    return str(checkpoint["start"])
