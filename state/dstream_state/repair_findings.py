"""Repair findings: what is wrong with a stored state, and what a repair would do about it."""

from __future__ import annotations

from msgspec import Struct

from dstream_state.lock_metadata import Meta
from dstream_state.records import Record
from dstream_state.snapshot import Snapshot


class Repair(Struct, frozen=True):
    """What is wrong with a state (`problems`, empty if nothing is), and what is done about it (`steps`).

    `snapshot` is what the state continues from, None if nothing was ever applied; `document` are its bytes. `kept`: it
    is in its place already. `journals` continue it; `broken` ones are damaged, or belong to another state, and
    `salvaged` are their records up to the damage. `tasks` have a checkpoint that cannot be used.
    """

    problems: tuple[str, ...]
    steps: tuple[str, ...]
    snapshot: Snapshot | None
    document: bytes
    kept: bool
    meta: Meta
    journals: tuple[str, ...]
    broken: tuple[str, ...]
    salvaged: tuple[Record, ...]
    tasks: tuple[str, ...]
