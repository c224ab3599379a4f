"""Progress of an apply: one line an event; on a terminal, below them, what is under way and what is next."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol, TextIO

from dstream.cli.render.paint import Paint, on_terminal, say
from dstream.cli.render.refresh_progress import asked_lines
from dstream.cli.render.region import Region
from dstream.engine.setup.hooks import Ahead, Observer, RefreshProgress
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
"""Seconds after which a change that is under way is mentioned again, where there is no terminal."""
_SHOWN = 8


class Lines:
    """Writes one line for each event of an operation."""

    def __init__(self, paint: Paint, *, out: Callable[[str], None] = say) -> None:
        """Write in colour or plain, each line by `out`."""
        self._paint, self._out = paint, out

    def waiting(self, holder: Holder | None) -> None:
        """Say that the lock is somebody else's."""
        who = holder.describe() if holder is not None else "another process"
        self._out(f"Waiting for the lock, held by {who} ...")

    def stopping(self, flow: str, holder: Holder) -> None:
        """Say that a runner is asked to end."""
        self._out(f"Stopping the run of {flow} (pid {holder.pid}), and waiting for its last checkpoint ...")

    def recovering(self, count: int) -> None:
        """Say that an earlier operation did not end, and what it left is being looked up."""
        changes = "1 change" if count == 1 else f"{count} changes"
        self._out(f"An earlier operation was cut off: looking up {changes} it left open ...")

    def recovered(self, address: str, outcome: str) -> None:
        """Say what became of a change whose result was not known."""
        self._say(address, outcome)

    def begun(self, count: int, ahead: Ahead) -> None:
        """Nothing is to be said: the plan was shown."""

    def started(self, address: str, step: str) -> None:
        """Say that a change begins."""
        self._say(address, f"{_DOING[step]}...")

    def done(self, address: str, step: str, seconds: float) -> None:
        """Say that a change is done and recorded."""
        self._say(address, f"{_DONE[step]} after {duration(seconds)}")

    def still(self, address: str, step: str, seconds: float) -> None:
        """Say that a change takes its time."""
        self._say(address, f"still {_DOING[step].lower()} ({duration(seconds)})")

    def retrying(self, address: str, seconds: float, why: str) -> None:
        """Say that a change failed for now and is tried again."""
        self._say(address, f"trying again in {duration(seconds)} ({why})")

    def failed(self, address: str, step: str) -> None:
        """Say that a change failed; the diagnostics follow at the end."""
        self._say(address, self._paint(f"could not {step}", "red"))

    def skipped(self, address: str, because: str) -> None:
        """Say that a change was not tried because another failed."""
        self._say(address, f"not tried, because of {because}")

    def _say(self, address: str, what: str) -> None:
        self._out(f"{self._paint(address, 'bold')}: {what}")


class Telling(Observer, Protocol):
    """What puts events into words, and also what takes its time."""

    def still(self, address: str, step: str, seconds: float) -> None:
        """A step is under way since so many seconds."""


class Underway:
    """Passes events on, and knows meanwhile what is under way, since when, what is next, and how long things took."""

    def __init__(self, lines: Telling) -> None:
        """Pass events on to `lines`."""
        self.lines = lines
        self.total = self.finished = self.failures = self.skips = 0
        self.began = time.monotonic()
        self.running: dict[str, tuple[str, float]] = {}
        """The step and its begin, by address."""
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

    def planning(self, asked: RefreshProgress) -> None:
        """What is to be done is being found out."""

    def pause(self) -> None:
        """Others write now."""

    def note(self, text: str) -> None:
        """Say something that is no event of a change. Called in a signal handler: no buffer may be touched there."""
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), f"{text}\n".encode())

    def close(self) -> None:
        """All is over."""

    def under_way(self) -> list[tuple[str, str, float]]:
        """Return address, step and seconds of all that is under way, the oldest first; from any thread."""
        now = time.monotonic()
        with self._lock:
            found = [(address, step, now - since) for address, (step, since) in self.running.items()]
        return sorted(found, key=lambda each: -each[2])

    def next(self) -> list[str]:
        """Return the addresses of what may start next; from any thread."""
        running = {address for address, _, _ in self.under_way()}
        return [address for address in self._ahead() if address not in running]

    @property
    def left(self) -> int:
        """How many steps have neither succeeded nor failed."""
        return self.total - self.finished - self.failures

    def _ended(self, address: str) -> None:
        with self._lock:
            self.running.pop(address, None)


class Spoken(Underway):
    """For pipes and files: a line for each event, and now and then one for what takes its time."""

    def __init__(self, lines: Telling, every: float = STILL_EVERY) -> None:
        """Mention what is under way every so many seconds."""
        super().__init__(lines)
        self._every = every
        self._over = threading.Event()

    def begun(self, count: int, ahead: Ahead) -> None:
        """See `Observer`."""
        super().begun(count, ahead)
        threading.Thread(target=self._mention, name="progress", daemon=True).start()

    def close(self) -> None:
        """See `Underway`."""
        self._over.set()

    def _mention(self) -> None:
        while not self._over.wait(self._every):
            for address, step, seconds in self.under_way():
                if seconds >= self._every:
                    self.lines.still(address, step, seconds)


class Live(Underway):
    """For a terminal: the lines of events scroll by, and below them stands what is under way, and what is next."""

    def __init__(self, paint: Paint, stream: TextIO) -> None:
        """Write to a terminal."""
        super().__init__(Lines(paint, out=self._line))
        self._stream = stream
        self._region: Region | None = None
        self._stopping = False

    def planning(self, asked: RefreshProgress) -> None:
        """See `Underway`."""
        began = time.monotonic()
        self._region = Region(self._stream, lambda: asked_lines(asked, began))

    def pause(self) -> None:
        """See `Underway`."""
        self.close()

    def begun(self, count: int, ahead: Ahead) -> None:
        """See `Observer`."""
        super().begun(count, ahead)
        self.close()
        self._region = Region(self._stream, self.drawn)

    def note(self, text: str) -> None:
        """See `Underway`. It is said when a stop is asked for."""
        self._stopping = True
        self._line(text)

    def close(self) -> None:
        """See `Underway`."""
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
        running, upcoming = self.under_way(), self.next()
        lines = [f"{duration(s):>7}  {address}: {_DOING[step].lower()}" for address, step, s in running[:_SHOWN]]
        if len(running) > _SHOWN:
            lines.append(f"         and {len(running) - _SHOWN} more")
        waiting = max(0, self.left - self.skips - len(running))
        if waiting and self._stopping:
            lines.append(f"   next  nothing: it stops ({waiting} not tried)")
        elif waiting:
            named = ", ".join(upcoming[:3]) or (f"after {running[0][0]}" if running else "...")
            lines.append(f"   next  {named} ({waiting} to go)")
        failed = f", {self.failures} failed" if self.failures else ""
        lines.append(f"  {self.finished} of {self.total} done{failed}, {duration(time.monotonic() - self.began)}")
        return lines


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def progress_for(paint: Paint, stream: TextIO) -> Underway:
    """Return the view that fits where the output goes."""
    if on_terminal(stream):
        return Live(paint, stream)
    return Spoken(Lines(paint))


def applied_summary(
    counts: dict[str, int], progress: Underway, seconds: float, *, destroyed: bool, failed: bool, paint: Paint
) -> list[str]:
    """Return the last lines of an apply or a destroy."""
    verb = "Destroy" if destroyed else "Apply"
    stopped = not failed and progress.left > 0
    title = f"{verb} failed in part:" if failed else f"{verb} was stopped:" if stopped else f"{verb} complete:"
    parts = [f"{counts['destroy']} destroyed"]
    if not destroyed:
        parts = [f"{counts['add']} added", f"{counts['change']} changed", *parts]
    if progress.failures:
        parts.append(f"{progress.failures} failed")
    if progress.left > 0:
        parts.append(f"{progress.left} not tried")
    colour = "red" if failed else "yellow" if stopped else "green"
    lines = [f"{paint(title, 'bold', colour)} {', '.join(parts)}, in {duration(seconds)}."]
    if len(progress.slowest) > 1:
        lines.append(f"Slowest: {', '.join(f'{address} ({duration(took)})' for took, address in progress.slowest)}.")
    return lines
