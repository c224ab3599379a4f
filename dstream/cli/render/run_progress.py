"""Output of `run`: records and rates, provider logs, restarts, and the outcome."""

from __future__ import annotations

import json as json_module
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from dstream.cli.render.paint import Paint, on_terminal, say
from dstream.cli.render.region import Region, size_of
from dstream.cli.render.run_table import FlowRow, table_lines
from dstream.cli.render.sizes import size
from dstream.diagnostics import Diagnostic
from dstream.run import Flow, Progress, RunOutcome, Totals

_QUIET_INTERVAL = 30.0
"""Seconds between lines of progress without a terminal."""


class Events:
    """A reporter that writes to standard error; on a terminal, below a live table of the flows."""

    def __init__(self, paint: Paint, *, json: bool, quiet: bool, several: bool) -> None:
        """With `several` flows, each line starts with the flow's name."""
        self._paint = paint
        self._json = json
        self._quiet = quiet
        self._several = several
        self._terminal = on_terminal(sys.stderr) and not json
        self._lock = threading.Lock()
        self._rows: dict[str, FlowRow] = {}
        self._last: dict[str, float] = {}
        self._region: Region | None = None
        self._shares_screen = on_terminal(sys.stdout)

    def _event(self, kind: str, flow: Flow, text: str | None, **data: Any) -> None:
        with self._lock:
            if self._json:
                say(
                    json_module.dumps({"type": kind, "flow": flow.name, **data}, ensure_ascii=False, default=str),
                    stream=sys.stderr,
                )
            elif text is not None:
                self._line(f"{self._paint(flow.name, 'bold')}: {text}" if self._several else text)

    def _line(self, text: str) -> None:
        if self._region is None or self._region.over:
            say(text, stream=sys.stderr)
        else:
            self._region.line(text)
            self._region.wait_for_room()

    def _change(self, flow: Flow, **changed: Any) -> None:
        """Change the row of a flow; the first change on a terminal starts the table."""
        with self._lock:
            if not self._terminal or self._quiet:
                return
            row = self._rows.get(flow.name) or FlowRow(flow.name)
            self._rows[flow.name] = replace(row, **changed)
            if self._region is None:
                self._region = Region(sys.stderr, self._drawn)

    def _drawn(self) -> list[str]:
        return table_lines(list(self._rows.values()), *size_of(sys.stderr))

    def close(self) -> None:
        """Restore the terminal."""
        with self._lock:
            if self._region is not None:
                self._region.close()
                self._region = None
            self._terminal = False
            sys.stderr.flush()

    def waiting(self, flow: Flow, holder: str) -> None:
        """See `dstream.run.Reporter`."""
        self._change(flow, state="waiting")
        self._event("waiting", flow, f"waiting for {holder}", holder=holder)

    def session_started(self, flow: Flow, number: int, checkpoint: Mapping[str, Any] | None) -> None:
        """See `dstream.run.Reporter`."""
        self._change(flow, state="running", restarts=number - 1)
        where = "from the beginning" if checkpoint is None else "from the stored checkpoint"
        text = None if self._quiet else f"running {where} ({flow.delivery})"
        self._event("started", flow, text, session=number, checkpoint=checkpoint, delivery=flow.delivery)

    def log(self, flow: Flow, side: str, line: str) -> None:
        """See `dstream.run.Reporter`."""
        # What an output writes is mostly meant for the user, as the console's records are; an input's log is marked.
        text = line if side == "output" else f"{self._paint(side, 'dim')}: {line}"
        self._event("log", flow, text, side=side, line=line)

    def text(self, _flow: Flow, line: str) -> None:
        """See `dstream.run.Reporter`."""
        with self._lock:
            if self._shares_screen and self._region is not None and not self._region.over:
                self._region.line(line)
                self._region.wait_for_room()
            else:
                say(line)

    def progress(self, flow: Flow, progress: Progress) -> None:
        """See `dstream.run.Reporter`."""
        totals = progress.totals
        line = (
            f"{flow.name}: {totals.records:,} records, {size(totals.bytes)}, "
            f"{progress.records_per_second:,.0f} records/s, {size(progress.bytes_per_second)}/s"
        )
        if self._json:
            self._event(
                "progress",
                flow,
                None,
                records=totals.records,
                bytes=totals.bytes,
                stored=totals.stored,
                dead_letters=totals.dead_letters,
                text_lines=totals.text_lines,
                records_per_second=round(progress.records_per_second, 1),
                bytes_per_second=round(progress.bytes_per_second, 1),
            )
        elif self._terminal:
            self._change(
                flow,
                records=totals.records,
                bytes=totals.bytes,
                dead_letters=totals.dead_letters,
                records_per_second=progress.records_per_second,
                bytes_per_second=progress.bytes_per_second,
            )
        elif (
            not self._quiet and time.monotonic() - self._last.setdefault(flow.name, time.monotonic()) >= _QUIET_INTERVAL
        ):
            self._last[flow.name] = time.monotonic()
            with self._lock:
                say(line, stream=sys.stderr)

    def stored(self, flow: Flow, checkpoint: Mapping[str, Any]) -> None:
        """See `dstream.run.Reporter`."""
        self._change(flow, stored_at=time.time())
        self._event("stored", flow, None, checkpoint=checkpoint)

    def problem(self, flow: Flow, diagnostic: Diagnostic) -> None:
        """See `dstream.run.Reporter`."""
        text = (
            f"{self._paint(diagnostic.title, 'yellow')}: {diagnostic.detail}" if diagnostic.detail else diagnostic.title
        )
        self._event("problem", flow, text, diagnostic=diagnostic.to_json())

    def restarting(self, flow: Flow, diagnostics: tuple[Diagnostic, ...], delay: float, attempt: int) -> None:
        """See `dstream.run.Reporter`."""
        self._change(flow, state="restarting")
        why = "; ".join(f"{d.title}: {d.detail}" if d.detail else d.title for d in diagnostics)
        text = f"{self._paint('restarting', 'yellow')} in {delay:.0f}s (attempt {attempt} without progress): {why}"
        shown = [diagnostic.to_json() for diagnostic in diagnostics]
        self._event("restarting", flow, text, delay=delay, attempt=attempt, diagnostics=shown)

    def stopping(self, flow: Flow) -> None:
        """See `dstream.run.Reporter`."""
        self._change(flow, state="stopping")
        self._event("stopping", flow, "Stopping after the current batch. Press Ctrl-C again to stop immediately.")

    def discovered(self, flow: Flow, tables: tuple[str, ...]) -> None:
        """See `dstream.run.Reporter`."""
        names = ", ".join(tables)
        self._event("discovered", flow, f"new table {names}: applying the required resources", tables=list(tables))

    def ended(self, flow: Flow, outcome: RunOutcome) -> None:
        """The run of a flow is over."""
        self._change(flow, state=outcome.status, records_per_second=0.0, bytes_per_second=0.0)

    def applying(self, flow: Flow, text: str) -> None:
        """Report an event of an apply within the run."""
        self._event("applying", flow, text, line=text)


def summary_lines(flows: Sequence[Flow], outcomes: Sequence[RunOutcome], paint: Paint, *, json: bool) -> Iterator[str]:
    """Yield a line for each flow with its outcome."""
    for flow, outcome in zip(flows, outcomes, strict=True):
        totals = outcome.totals
        if json:
            yield json_module.dumps(
                {
                    "type": "outcome",
                    "flow": flow.name,
                    "status": outcome.status,
                    "records": totals.records,
                    "bytes": totals.bytes,
                    "stored": totals.stored,
                    "dead_letters": totals.dead_letters,
                    "text_lines": totals.text_lines,
                    "sessions": outcome.sessions,
                    "checkpoint": outcome.checkpoint,
                    "diagnostics": [diagnostic.to_json() for diagnostic in outcome.diagnostics],
                },
                ensure_ascii=False,
                default=str,
            )
            continue
        state = paint(outcome.status, "green" if outcome.ok else "red", "bold")
        dead = f", {_counted(totals.dead_letters, 'dead letter')}" if totals.dead_letters else ""
        text = f", {_counted(totals.text_lines, 'line')} of text" if totals.text_lines else ""
        restarts = f", {_counted(outcome.sessions - 1, 'restart')}" if outcome.sessions > 1 else ""
        yield f"{flow.name}: {state}, {_moved(flow, totals)}{dead}{text}{restarts}"


def _moved(flow: Flow, totals: Totals) -> str:
    """Return the records that a flow moved; with confirmation, only those that the stored checkpoint covers."""
    if not flow.acks:
        return f"{_counted(totals.records, 'record')} ({size(totals.bytes)}) moved, delivery not confirmed"
    rest = totals.records - totals.stored
    unconfirmed = f" ({rest:,} more sent)" if rest > 0 else ""
    return f"{_counted(totals.stored, 'record')} moved{unconfirmed}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def waiting_line(found: Sequence[Diagnostic], delay: float, *, json: bool) -> str:
    """Return the line that announces a retry of a run that cannot start yet."""
    if json:
        diagnostics = [diagnostic.to_json() for diagnostic in found]
        return json_module.dumps(
            {"type": "unreachable", "delay": delay, "diagnostics": diagnostics}, ensure_ascii=False
        )
    why = "; ".join(f"{each.title}: {each.detail}" if each.detail else each.title for each in found)
    return f"Not ready to run, trying again in {delay:.0f}s: {why}"


def applying_line(text: str, *, json: bool) -> str:
    """Return a line about the state, before a first run records its task."""
    return json_module.dumps({"type": "applying", "line": text}, ensure_ascii=False) if json else text


def broken_line(found: Sequence[Diagnostic], seconds: float) -> str:
    """Return, as JSON, the outcome of a run that did not start."""
    diagnostics = [diagnostic.to_json() for diagnostic in found]
    form = {"type": "outcome", "status": "error", "elapsed_seconds": round(seconds, 3), "diagnostics": diagnostics}
    return json_module.dumps(form, ensure_ascii=False)
