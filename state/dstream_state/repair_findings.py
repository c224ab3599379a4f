"""Repair findings: the damage of a stored state, and the steps of its repair."""

from __future__ import annotations

from msgspec import Struct

from dstream_state.lock_metadata import Meta
from dstream_state.records import Record
from dstream_state.snapshot import Snapshot


class Repair(Struct, frozen=True):
    """The damage of a state (`problems`, empty if it is intact), and the repair (`steps`).

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
