"""Detaching: `dstream run -detach` starts the same command again in the background, one for each task."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dstream.cli.render.paint import say, say_text

if TYPE_CHECKING:
    from dstream.engine.setup.operation import Operation

_PATIENCE = 60.0
_TAIL = 20


def run_detached(
    operation: Operation,
    tasks: tuple[str, ...],
    given: tuple[str, tuple[str, ...], tuple[str, ...]],
    settings: Mapping[str, object],
    flags: Mapping[str, bool],
) -> int:
    """Start a run of each task in the background; return 0 when all have started, 1 if one failed to."""
    from dstream.engine.runs.detached import start_detached
    from dstream.engine.runs.flows import flow_names
    from dstream.engine.runs.running import runner_of

    config, var, var_file = given
    common = ["-config", config, *(word for text in var for word in ("-var", text))]
    common += [word for name in var_file for word in ("-var-file", name)]
    common += [word for name, value in settings.items() if value is not None for word in (f"-{name}", str(value))]
    common += [f"-{name}" for name, value in flags.items() if value]
    code = 0
    for task in tasks:
        name = task.removeprefix("task.")
        flows = flow_names(operation, name)
        holder = next((found for flow in flows if (found := runner_of(operation, flow))), None)
        if holder is not None:
            say(f"{name}: is already running ({holder.describe()})", stream=sys.stderr)
            code = 1
            continue
        started = start_detached(operation.root, name, flows, ["run", name, *common], _PATIENCE)
        if started.code is None:
            say(f"{name}: running in the background, pid {started.pid}, log {started.log}")
        elif started.code == 0:
            say(f"{name}: finished; log {started.log}")
        else:
            code = 1
            lines = started.log.read_text("utf-8", "replace").splitlines()[-_TAIL:]
            say_text("\n".join([f"{name}: ended with exit code {started.code}:", *lines]), stream=sys.stderr)
    return code
