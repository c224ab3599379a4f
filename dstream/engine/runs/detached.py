"""Detached runs: start them in the background, read their logs, and stop them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.runs.run_files import log_path, make_run_folder, read_run_status
from dstream.engine.runs.running import flows_of, runner_of
from dstream.engine.setup.operation import Operation
from dstream.files import owner_reads
from dstream.programs import python_module
from dstream_state.processes import alive, send, this_host

_UNDERWAY = ("running", "waiting", "restarting", "stopping")


class DetachedRun(Struct, frozen=True):
    """A run that was started in the background."""

    pid: int
    log: Path
    code: int | None
    """How it ended, if it has already."""


def start_detached(
    root: Path, task: str, flows: Sequence[str], arguments: Sequence[str], patience: float
) -> DetachedRun:
    """Start `dstream ARGUMENTS` in the background, its output going to the task's log; wait until it is underway.

    Returns early when it has ended. It has no terminal, and continues after the user who started it logs out.
    """
    make_run_folder(root)
    log = log_path(root, task)
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))
    with open(log, "ab", opener=owner_reads) as file:
        process = subprocess.Popen(
            python_module("dstream", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, "NO_COLOR": "1"},
            start_new_session=True,
        )
    until = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < until:
        notes = [read_run_status(root, flow) for flow in flows]
        if all(note is not None and note.pid == process.pid and note.state in _UNDERWAY for note in notes):
            break
        time.sleep(0.05)
    return DetachedRun(process.pid, log, process.poll())


def stop(operation: Operation, task: str, *, force: bool, patience: float) -> list[str]:
    """Stop the process that runs a task, and wait for its end; return the names of the flows that were stopped.

    With `force` it is killed, and its providers end with it. Raise DiagnosticsError where it runs on another machine or
    does not end in time.
    """
    stopped: list[str] = []
    runners: dict[int, int | None] = {}
    for flow in flows_of(operation, task):
        holder = runner_of(operation, flow)
        if holder is None:
            continue
        if holder.host != this_host():
            detail = f"{flow} is run by {holder.describe()}. Stop it on that machine."
            raise DiagnosticsError(error("Task runs on another machine", detail))
        stopped.append(flow)
        runners[holder.pid] = holder.started
    for pid, started in runners.items():
        if started is None and alive(pid, None):
            detail = (
                f"The state names process {pid} and not when it started, so that it may be any process. End the run by "
                "the program that started it."
            )
            raise DiagnosticsError(error("Unknown process", detail))
        send(pid, started, signal.SIGKILL if force else signal.SIGTERM)
    until = time.monotonic() + patience
    for pid, started in runners.items():
        while alive(pid, started):
            if time.monotonic() > until:
                detail = (
                    f"Process {pid} was asked to end {patience:g} s ago and is still finishing. Wait longer with "
                    f"-timeout, or kill it with: dstream stop {task} -force (what is not acknowledged comes again)."
                )
                raise DiagnosticsError(error("Task stop timeout", detail))
            time.sleep(0.05)
    return stopped
