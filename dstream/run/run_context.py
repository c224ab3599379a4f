"""RunContext, Attempt: the inputs of a run, and those of one session of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from dstream.run.flow import Flow, RunOptions
from dstream.run.fork_servers import Begin
from dstream.run.reporter import Reporter
from dstream.stopping import Stop

if TYPE_CHECKING:
    from dstream_state import TaskLease


class RunContext(Struct, frozen=True):
    """What all sessions of a run share."""

    flow: Flow
    lease: TaskLease
    options: RunOptions
    reporter: Reporter
    stop: Stop
    begin: Begin
    """Starts the provider of one side."""


class Attempt(Struct, frozen=True):
    """What one session is to do."""

    number: int = 1
    """Counts the sessions of the run from 1."""
    max_records: int | None = None
    skip: int = 0
    """Records to put into the dead letters instead of delivering them."""
    careful: int = 0
    """Records at the start that go to the output one checkpoint at a time."""
    max_dead_letters: int | None = None
    """Dead letters that the session may add."""
