"""Reporter: the events of a run. The command line renders them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct

from dstream.diagnostics import Diagnostic
from dstream.run.flow import Flow, Totals


class Progress(Struct, frozen=True):
    """The progress of a run, and its rate since the last report."""

    totals: Totals
    records_per_second: float
    bytes_per_second: float


class Reporter(Protocol):
    """All methods may be called from any thread, and must return soon."""

    def waiting(self, flow: Flow, holder: str) -> None:
        """Another runner has the task; `holder` describes it."""

    def session_started(self, flow: Flow, number: int, checkpoint: Mapping[str, Any] | None) -> None:
        """Both providers are ready; the input starts behind `checkpoint`."""

    def log(self, flow: Flow, side: str, line: str) -> None:
        """A provider wrote a line to its stderr; `side` is input or output."""

    def text(self, flow: Flow, line: str) -> None:
        """A version 1 output wrote a line for the user."""

    def progress(self, flow: Flow, progress: Progress) -> None:
        """Called about once a second while a session runs, and at its end."""

    def stored(self, flow: Flow, checkpoint: Mapping[str, Any]) -> None:
        """A checkpoint has been stored."""

    def problem(self, flow: Flow, diagnostic: Diagnostic) -> None:
        """Something is worth telling and does not end the run, such as an unfinished line that was dropped."""

    def restarting(self, flow: Flow, diagnostics: tuple[Diagnostic, ...], delay: float, attempt: int) -> None:
        """A session failed; the next starts after `delay` seconds. `attempt` counts those without progress."""

    def stopping(self, flow: Flow) -> None:
        """A stop was requested; the input is finishing."""

    def discovered(self, flow: Flow, tables: tuple[str, ...]) -> None:
        """The output met tables that it was not given; what they require is applied, then the flow continues."""


class Silent(Reporter):
    """A reporter that reports nothing."""
