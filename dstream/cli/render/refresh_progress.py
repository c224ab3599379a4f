"""Progress of a refresh: announced immediately, and on a terminal the number of refreshed objects."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dstream.cli.render.paint import on_terminal, say

if TYPE_CHECKING:
    from dstream.engine.setup.hooks import RefreshProgress


def announce(what: str, *, quiet: bool = False) -> None:
    """Announce an operation on standard error, before anything slow is imported."""
    if not quiet:
        say(f"{what}...", stream=sys.stderr)


def refresh_lines(refresh: RefreshProgress, began: float) -> list[str]:
    """Return the line that shows the progress; none in the first second."""
    seconds = time.monotonic() - began
    if seconds < 1.0 or not refresh.sent:
        return []
    return [f"  {refresh.answered:,} of {refresh.sent:,} objects refreshed, {seconds:.0f}s"]


@contextmanager
def show_refresh(refresh: RefreshProgress, *, quiet: bool = False) -> Iterator[None]:
    """Show the progress on a terminal while the block runs; the block must not write anything."""
    if quiet or not on_terminal(sys.stderr):
        yield
        return
    from dstream.cli.render.region import Region

    began = time.monotonic()
    region = Region(sys.stderr, lambda: refresh_lines(refresh, began))
    try:
        yield
    finally:
        region.close()
