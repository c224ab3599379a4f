"""A process that applies its own object of a world's configuration over and over, among others that do.

Called with `FOLDER NUMBER SECONDS`, it writes one line for each apply: the serial, and the size its object then has.
"""

import sys
import time
from pathlib import Path

from dstream.engine.apply.apply import ApplyOptions, apply
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.setup.operation import OperationInputs, open_operation
from dstream.stopping import Stop
from tests.services.recorder.world import Told

if __name__ == "__main__":
    folder, number, until = Path(sys.argv[1]), sys.argv[2], time.monotonic() + float(sys.argv[3])
    size = 0
    while size == 0 or time.monotonic() < until:
        size += 1
        operation = open_operation(OperationInputs(config=folder, variables={"size": str(size)}))
        options = ApplyOptions(PlanOptions(targets=(f"rec_marked.n{number}",)), lock_timeout=600)
        outcome = apply(operation, options, lambda plan: True, Told(), Stop())
        if outcome.diagnostics or outcome.snapshot is None:
            sys.exit(f"{outcome.diagnostics}")
        print(outcome.snapshot.serial, size, flush=True)
