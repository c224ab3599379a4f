"""Progress of an apply: one line for each event; on a terminal, also the changes in progress and the next ones."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol, TextIO

from dstream.cli.render.paint import Paint, on_terminal, say
from dstream.cli.render.refresh_progress import refresh_lines
from dstream.cli.render.region import Region
from dstream.cli.render.task_change import applied_task_summary
from dstream.cli.render.terminal import visible
from dstream.engine.setup.hooks import Ahead, Observer, RefreshProgress
from dstream.plan import Plan
from dstream_state import Holder

_DOING = {
    "create": "Creating",
    "update": "Updating",
    "destroy": "Destroying",
    "forget": "Forgetting",
}
_DONE = {
    "create": "Created",
    "update": "Updated",
    "destroy": "Destroyed",
    "forget": "Forgotten",
}
STILL_EVERY = 10.0
"""Seconds between reports about a change in progress, without a terminal."""
_SHOWN = 8


class Lines:
    """Writes one line for each event of an operation."""

    def __init__(self, paint: Paint, *, out: Callable[[str], None] = say) -> None:
        """Write in colour or plain, each line by `out`."""
        self._paint, self._out = paint, out

    def waiting(self, holder: Holder | None) -> None:
        """Report that another operation holds the lock."""
        who = holder.describe() if holder is not None else "another process"
        self._out(f"Waiting for the state lock, held by {who} ...")

    def stopping(self, flow: str, holder: Holder) -> None:
        """Report that a run is being stopped."""
        self._out(f"Stopping the run of {flow} (pid {holder.pid}) and waiting for its last checkpoint ...")

    def recovering(self, count: int) -> None:
        """Report that the changes of an interrupted operation are being resolved."""
        changes = "1 change" if count == 1 else f"{count} changes"
        self._out(f"An earlier operation was interrupted: resolving {changes} ...")

    def recovered(self, address: str, outcome: str) -> None:
        """Report the outcome of a change that was pending."""
        self._say(address, outcome)

    def begun(self, count: int, ahead: Ahead) -> None:
        """Print nothing: the plan was shown."""

    def started(self, address: str, step: str) -> None:
        """Report that a change starts."""
        self._say(address, f"{_DOING[step]}...")

    def done(self, address: str, step: str, seconds: float) -> None:
        """Report that a change is complete and recorded."""
        self._say(address, f"{_DONE[step]} after {duration(seconds)}")

    def still(self, address: str, step: str, seconds: float) -> None:
        """Report that a change is still in progress."""
        self._say(address, f"still {_DOING[step].lower()} ({duration(seconds)})")

    def retrying(self, address: str, seconds: float, why: str) -> None:
        """Report that a change failed and will be retried."""
        self._say(address, f"retrying in {duration(seconds)} ({why})")

    def failed(self, address: str, step: str) -> None:
        """Report that a change failed; the diagnostics follow at the end."""
        self._say(address, self._paint(f"failed to {step}", "red"))

    def skipped(self, address: str, because: str) -> None:
        """Report that a change was skipped because another failed."""
        self._say(address, f"skipped, because of {because}")

    def _say(self, address: str, what: str) -> None:
        self._out(f"{self._paint(address, 'bold')}: {what}")


class EventPrinter(Observer, Protocol):
    """Prints events, including reports about changes in progress."""

    def still(self, address: str, step: str, seconds: float) -> None:
        """A step has been in progress for this many seconds."""


class ProgressTracker:
    """Passes events on, and keeps track of the changes in progress, the next ones, and durations."""

    def __init__(self, lines: EventPrinter) -> None:
        """Pass events on to `lines`."""
        self.lines = lines
        self.total = self.finished = self.failures = self.skips = 0
        self.began = time.monotonic()
        self.running: dict[str, tuple[str, float]] = {}
        """The step and its start time, by address."""
        self.slowest: list[tuple[float, str]] = []
        self._ahead: Ahead = list
        self._lock = threading.Lock()

    def waiting(self, holder: Holder | None) -> None:
        """See `Observer`."""
        self.lines.waiting(holder)

    def stopping(self, flow: str, holder: Holder) -> None:
        """See `Observer`."""
        self.lines.stopping(flow, holder)

    def recovering(self, count: int) -> None:
        """See `Observer`."""
        self.lines.recovering(count)

    def recovered(self, address: str, outcome: str) -> None:
        """See `Observer`."""
        self.lines.recovered(address, outcome)

    def begun(self, count: int, ahead: Ahead) -> None:
        """See `Observer`."""
        self.total, self._ahead = count, ahead
        self.began = time.monotonic()
        self.lines.begun(count, ahead)

    def started(self, address: str, step: str) -> None:
        """See `Observer`."""
        with self._lock:
            self.running[address] = (step, time.monotonic())
        self.lines.started(address, step)

    def done(self, address: str, step: str, seconds: float) -> None:
        """See `Observer`."""
        self.finished += 1
        self._ended(address)
        if seconds >= 1.0:
            self.slowest = sorted([*self.slowest, (seconds, address)], reverse=True)[:3]
        self.lines.done(address, step, seconds)

    def retrying(self, address: str, seconds: float, why: str) -> None:
        """See `Observer`."""
        self.lines.retrying(address, seconds, why)

    def failed(self, address: str, step: str) -> None:
        """See `Observer`."""
        self.failures += 1
        self._ended(address)
        self.lines.failed(address, step)

    def skipped(self, address: str, because: str) -> None:
        """See `Observer`."""
        self.skips += 1
        self.lines.skipped(address, because)

    def planning(self, refresh: RefreshProgress) -> None:
        """Report that planning starts."""

    def pause(self) -> None:
        """Stop writing: other output follows."""

    def note(self, text: str) -> None:
        """Print text that is not an event. Called in a signal handler: no buffer may be touched there."""
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), f"{visible(text)}\n".encode())

    def close(self) -> None:
        """Report that the operation has ended."""

    def in_progress(self) -> list[tuple[str, str, float]]:
        """Return address, step and seconds of the changes in progress, the oldest first; from any thread."""
        now = time.monotonic()
        with self._lock:
            found = [(address, step, now - since) for address, (step, since) in self.running.items()]
        return sorted(found, key=lambda each: -each[2])

    def next(self) -> list[str]:
        """Return the addresses that may start next; from any thread."""
        running = {address for address, _, _ in self.in_progress()}
        return [address for address in self._ahead() if address not in running]

    @property
    def left(self) -> int:
        """Number of steps that have neither succeeded nor failed."""
        return self.total - self.finished - self.failures

    def _ended(self, address: str) -> None:
        with self._lock:
            self.running.pop(address, None)


class PlainProgress(ProgressTracker):
    """For pipes and files: a line for each event, and regular lines about changes in progress."""

    def __init__(self, lines: EventPrinter, every: float = STILL_EVERY) -> None:
        """Report the changes in progress at regular intervals."""
        super().__init__(lines)
        self._every = every
        self._over = threading.Event()

    def begun(self, count: int, ahead: Ahead) -> None:
        """See `Observer`."""
        super().begun(count, ahead)
        threading.Thread(target=self._mention, name="progress", daemon=True).start()

    def close(self) -> None:
        """See `ProgressTracker`."""
        self._over.set()

    def _mention(self) -> None:
        while not self._over.wait(self._every):
            for address, step, seconds in self.in_progress():
                if seconds >= self._every:
                    self.lines.still(address, step, seconds)


class TerminalProgress(ProgressTracker):
    """For a terminal: lines of events scroll, and below them are the changes in progress and the next ones."""

    def __init__(self, paint: Paint, stream: TextIO) -> None:
        """Write to a terminal."""
        super().__init__(Lines(paint, out=self._line))
        self._stream = stream
        self._region: Region | None = None
        self._stopping = False

    def planning(self, refresh: RefreshProgress) -> None:
        """See `ProgressTracker`."""
        began = time.monotonic()
        self._region = Region(self._stream, lambda: refresh_lines(refresh, began))

    def pause(self) -> None:
        """See `ProgressTracker`."""
        self.close()

    def begun(self, count: int, ahead: Ahead) -> None:
        """See `Observer`."""
        super().begun(count, ahead)
        self.close()
        self._region = Region(self._stream, self.drawn)

    def note(self, text: str) -> None:
        """See `ProgressTracker`. Written when a stop is requested."""
        self._stopping = True
        self._line(text)

    def close(self) -> None:
        """See `ProgressTracker`."""
        if self._region is not None:
            self._region.close()
            self._region = None

    def _line(self, text: str) -> None:
        if self._region is not None:
            self._region.line(text)
        else:
            say(text, stream=self._stream)

    def drawn(self) -> list[str]:
        """Return the lines of the region as they are now."""
        running, upcoming = self.in_progress(), self.next()
        lines = [f"{duration(s):>7}  {address}: {_DOING[step].lower()}" for address, step, s in running[:_SHOWN]]
        if len(running) > _SHOWN:
            lines.append(f"         and {len(running) - _SHOWN} more")
        waiting = max(0, self.left - self.skips - len(running))
        if waiting and self._stopping:
            lines.append(f"   next  nothing: stopping ({waiting} skipped)")
        elif waiting:
            named = ", ".join(upcoming[:3]) or (f"after {running[0][0]}" if running else "...")
            lines.append(f"   next  {named} ({waiting} to go)")
        failed = f", {self.failures} failed" if self.failures else ""
        lines.append(f"  {self.finished} of {self.total} done{failed}, {duration(time.monotonic() - self.began)}")
        return lines


def duration(seconds: float) -> str:
    """Return a duration as text."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def progress_for(paint: Paint, stream: TextIO) -> ProgressTracker:
    """Return the view for the output stream."""
    if on_terminal(stream):
        return TerminalProgress(paint, stream)
    return PlainProgress(Lines(paint))


def applied_summary(
    plan: Plan, counts: dict[str, int], progress: ProgressTracker, seconds: float, *, failed: bool, paint: Paint
) -> list[str]:
    """Return the last lines of an apply or a destroy; tasks are counted only if nothing failed."""
    verb = "Destroy" if plan.destroy else "Apply"
    stopped = not failed and progress.left > 0
    title = f"{verb} incomplete:" if failed else f"{verb} interrupted:" if stopped else f"{verb} complete:"
    parts = [f"{counts['destroy']} destroyed"]
    if not plan.destroy:
        parts = [f"{counts['add']} added", f"{counts['change']} changed", *parts]
    if progress.failures:
        parts.append(f"{progress.failures} failed")
    if progress.left > 0:
        parts.append(f"{progress.left} skipped")
    tasks = "" if failed or stopped else applied_task_summary(plan)
    colour = "red" if failed else "yellow" if stopped else "green"
    lines = [f"{paint(title, 'bold', colour)} {', '.join(parts)}, in {duration(seconds)}.{tasks}"]
    if len(progress.slowest) > 1:
        lines.append(f"Slowest: {', '.join(f'{address} ({duration(took)})' for took, address in progress.slowest)}.")
    return lines
