"""Run files: the status of each flow, written by its runner to the folder of the configuration.

    .dstream/run/<flow>.json    the note; replaced when it changes, about once a second at most
    .dstream/run/<task>.log     what a detached run prints; the one before it is <task>.log.1

The state does not need them: they are for people, on the machine where the run is.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from dstream.bounded_json import parse_object
from dstream.diagnostics import Diagnostic
from dstream.engine.setup.operation import DATA_DIR
from dstream.files import LARGEST_TEXT, UnsuitableFile, make_folder, read_file
from dstream.run import Flow, Progress, Reporter, RunOutcome

_EVERY = 1.0


class RunStatus(Struct, frozen=True):
    """How one flow is doing; times are seconds since 1970."""

    flow: str
    pid: int
    state: str = "starting"
    """starting, waiting, running, restarting, stopping; after that ended, stopped, blocked, failed or lost."""
    started_at: float = 0.0
    restarts: int = 0
    records: int = 0
    bytes: int = 0
    records_per_second: float = 0.0
    checkpoint_at: float | None = None
    last_error: str = ""
    last_error_at: float | None = None
    providers: tuple[Mapping[str, str], ...] = field(default_factory=tuple)
    """For the input and the output: where it comes from, and the digest of its content."""


def run_folder(root: Path) -> Path:
    """Return where the notes and logs of a configuration are."""
    return root / DATA_DIR / "run"


def make_run_folder(root: Path) -> None:
    """Make the folder; raise OSError if that is not possible, or if it is a link, which is not followed."""
    folder = run_folder(root)
    make_folder(folder, 0o700)
    if folder.is_symlink():
        raise UnsuitableFile(errno.ELOOP, "It is a link, and dstream writes only to a folder of its own", str(folder))


def status_path(root: Path, flow: str) -> Path:
    """Return where the note of a flow is."""
    return run_folder(root) / f"{quote(flow, safe='')}.json"


def log_path(root: Path, task: str) -> Path:
    """Return where the log of a task is, if it runs detached."""
    return run_folder(root) / f"{quote(task, safe='')}.log"


def read_run_status(root: Path, flow: str) -> RunStatus | None:
    """Return the note of a flow's latest run, or None."""
    try:
        form = parse_object(read_file(status_path(root, flow), LARGEST_TEXT))
        known = RunStatus.__struct_fields__
        return RunStatus(**{name: value for name, value in form.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


class RunStatusWriter:
    """A reporter that passes everything on to another one, and keeps the notes. Never fails: notes are for people."""

    def __init__(
        self, root: Path, flows: list[Flow], reporter: Reporter, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Begin a note for each flow."""
        self._root, self._reporter, self._clock = root, reporter, clock
        self._lock = threading.Lock()
        self._written: dict[str, tuple[RunStatus, float]] = {}
        self._writes = False
        self._notes = {
            flow.name: RunStatus(flow.name, os.getpid(), started_at=clock(), providers=_providers(flow))
            for flow in flows
        }
        try:
            make_run_folder(root)
        except OSError:
            return
        self._writes = True
        for flow in flows:
            self._change(flow)

    def waiting(self, flow: Flow, holder: str) -> None:
        """See `dstream.run.Reporter`."""
        self._change(flow, state="waiting")
        self._reporter.waiting(flow, holder)

    def session_started(self, flow: Flow, number: int, checkpoint: Mapping[str, Any] | None) -> None:
        """See `dstream.run.Reporter`."""
        self._change(flow, state="running", restarts=number - 1)
        self._reporter.session_started(flow, number, checkpoint)

    def log(self, flow: Flow, side: str, line: str) -> None:
        """See `dstream.run.Reporter`."""
        self._reporter.log(flow, side, line)

    def text(self, flow: Flow, line: str) -> None:
        """See `dstream.run.Reporter`."""
        self._reporter.text(flow, line)

    def progress(self, flow: Flow, progress: Progress) -> None:
        """See `dstream.run.Reporter`."""
        totals = progress.totals
        changed = {"records": totals.records, "bytes": totals.bytes, "records_per_second": progress.records_per_second}
        self._change(flow, soon=True, **changed)
        self._reporter.progress(flow, progress)

    def stored(self, flow: Flow, checkpoint: Mapping[str, Any]) -> None:
        """See `dstream.run.Reporter`."""
        self._change(flow, soon=True, checkpoint_at=self._clock())
        self._reporter.stored(flow, checkpoint)

    def problem(self, flow: Flow, diagnostic: Diagnostic) -> None:
        """See `dstream.run.Reporter`."""
        self._change(flow, **self._error((diagnostic,)))
        self._reporter.problem(flow, diagnostic)

    def restarting(self, flow: Flow, diagnostics: tuple[Diagnostic, ...], delay: float, attempt: int) -> None:
        """See `dstream.run.Reporter`."""
        self._change(flow, state="restarting", **self._error(diagnostics))
        self._reporter.restarting(flow, diagnostics, delay, attempt)

    def stopping(self, flow: Flow) -> None:
        """See `dstream.run.Reporter`."""
        self._change(flow, state="stopping")
        self._reporter.stopping(flow)

    def discovered(self, flow: Flow, tables: tuple[str, ...]) -> None:
        """See `dstream.run.Reporter`."""
        self._change(flow, state="restarting")
        self._reporter.discovered(flow, tables)

    def ended(self, flow: Flow, outcome: RunOutcome) -> None:
        """The run of a flow is over."""
        totals = outcome.totals
        changed: dict[str, Any] = {"records": totals.records, "bytes": totals.bytes, "records_per_second": 0.0}
        self._change(flow, state=outcome.status, **changed, **self._error(outcome.diagnostics))

    def _error(self, diagnostics: tuple[Diagnostic, ...]) -> dict[str, Any]:
        if not diagnostics:
            return {}
        first = diagnostics[0]
        return {"last_error": f"{first.summary}: {first.detail.splitlines()[0] if first.detail else ''}",
                "last_error_at": self._clock()}  # fmt: skip

    def _change(self, flow: Flow, *, soon: bool = False, **changed: Any) -> None:
        """Change a note; what may wait (`soon`) is written at most once a second."""
        with self._lock:
            note = self._notes[flow.name] = replace(self._notes[flow.name], **changed)
            now = self._clock()
            written, at = self._written.get(flow.name, (None, 0.0))
            if soon and (note == written or now - at < _EVERY):
                return
            self._written[flow.name] = note, now
            if not self._writes:
                return
            path = status_path(self._root, flow.name)
            with contextlib.suppress(OSError):
                with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False) as file:
                    json.dump(asdict(note), file)
                Path(file.name).replace(path)


def _providers(flow: Flow) -> tuple[Mapping[str, str], ...]:
    sides = (("input", flow.input.binary), ("output", flow.output.binary))
    return tuple(
        {"side": side, "kind": binary.source.kind, "source": binary.source.value, "digest": binary.digest}
        for side, binary in sides
    )
