"""Processes that apply at once, each its own object of one world's configuration, over and over.

Called with `FOLDER COUNT SECONDS`: forks COUNT processes, once everything is imported, which is most of the processor
time of a short apply. A process writes one line for each of its applies: its number, the serial, and the size that its
object then has. Exits with 1 if a process fails; its error is on standard error.
"""

import importlib
import os
import sys
import time
import traceback
from pathlib import Path

from dstream.engine.apply.apply import ApplyOptions, apply
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.setup.operation import OperationInputs, open_operation
from dstream.stopping import Stop
from tests.services.recorder.world import Told


def contend(folder: Path, number: int, seconds: float) -> None:
    """Apply at least once, and until the seconds are over."""
    until = time.monotonic() + seconds
    size = 0
    while size == 0 or time.monotonic() < until:
        size += 1
        operation = open_operation(OperationInputs(config=folder, variables={"size": str(size)}))
        options = ApplyOptions(PlanOptions(targets=(f"rec_marked.n{number}",)), lock_timeout=600)
        outcome = apply(operation, options, lambda plan: True, Told(), Stop())
        if outcome.diagnostics or outcome.snapshot is None:
            raise RuntimeError(f"{outcome.diagnostics}")
        os.write(1, f"{number} {outcome.snapshot.serial} {size}\n".encode())  # one write: lines are never mixed


def fork(folder: Path, number: int, seconds: float) -> int:
    """Fork one of the processes; return its process ID."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        contend(folder, number, seconds)
        code = 0
    except BaseException:  # noqa: BLE001 - the parent's code must not run in the child
        traceback.print_exc()
    os._exit(code)


if __name__ == "__main__":
    importlib.import_module("azure.storage.blob")
    place, count, duration = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    running = [fork(place, number, duration) for number in range(count)]
    sys.exit(any(os.waitpid(pid, 0)[1] for pid in running))
