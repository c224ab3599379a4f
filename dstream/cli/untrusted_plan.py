"""`dstream plan -untrusted`: opens and plans a configuration that is not trusted, within limits of time and memory."""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

from dstream.cli.apply import with_targets
from dstream.cli.open_operation import operation_inputs, task_targets
from dstream.cli.render.plan import left_out_lines
from dstream.diagnostics import DiagnosticsError, error, warning
from dstream.engine.commands.untrusted_plan import plan_untrusted
from dstream.engine.plan.plan_result import PlanOptions
from dstream.engine.setup.operation import OperationInputs, open_operation
from dstream.engine.setup.untrusted import Untrusted
from dstream.plan import Plan

PROCESSOR_SECONDS = 60
"""The processor time of the plan, and of each provider that it starts."""
MEMORY_BYTES = 1 << 30
"""The memory that the plan may take, and each provider that it starts."""
_LAST_SECONDS = 10
"""After these, a plan that cannot be interrupted is killed."""


def untrusted_inputs(
    config: str,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    allow_env: tuple[str, ...],
    allow_provider: tuple[str, ...],
    state: str | None,
) -> OperationInputs:
    """Return the options as inputs of an operation on a configuration that is not trusted."""
    copy = Path(state) if state is not None else None
    return operation_inputs(config, var, var_file, Untrusted(frozenset(allow_env), frozenset(allow_provider), copy))


def plan_in_limits(inputs: OperationInputs, options: PlanOptions, task: str | None, target: tuple[str, ...]) -> Plan:
    """Return the plan; raise DiagnosticsError with all errors, also if it takes too much time or memory."""
    with _limits():
        operation = open_operation(inputs)
        try:
            return plan_untrusted(operation, with_targets(options, task_targets(operation, task, target)))
        except DiagnosticsError as problem:
            found = operation.confinement.withheld() if operation.confinement is not None else ()
            detail = "\n".join(left_out_lines(found))
            raise DiagnosticsError([*problem.diagnostics, warning("Parts left out", detail)]) from None


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    """Limit processor time and memory of this process and of those that it starts."""
    before = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_CPU, resource.RLIMIT_DATA)}
    used = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime + resource.getrusage(resource.RUSAGE_SELF).ru_stime)
    _lower(resource.RLIMIT_CPU, used + PROCESSOR_SECONDS)
    _lower(resource.RLIMIT_DATA, _data() + MEMORY_BYTES)
    handler = signal.signal(signal.SIGXCPU, _out_of_time)
    try:
        yield
    except MemoryError:
        detail = f"The plan of a configuration that is not trusted takes more than {MEMORY_BYTES >> 30} GiB of memory."
        raise DiagnosticsError(error("Plan too large", detail)) from None
    finally:
        signal.signal(signal.SIGXCPU, handler)
        for kind, (soft, _) in before.items():
            resource.setrlimit(kind, (soft, resource.getrlimit(kind)[1]))


def _data() -> int:
    """Return the bytes that count against the limit of memory now, 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0


def _lower(kind: int, limit: int) -> None:
    """Lower a soft limit; the hard one stays, so that it can be restored."""
    soft, hard = resource.getrlimit(kind)
    if soft == resource.RLIM_INFINITY or soft > limit:
        resource.setrlimit(kind, (limit, hard))


def _out_of_time(_signal: int, _frame: object) -> None:
    # Once more after a while, in case that this error is caught, or that the first one came in a long call.
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (soft + _LAST_SECONDS, hard))
    detail = f"The plan of a configuration that is not trusted takes more than {PROCESSOR_SECONDS} s of processor time."
    raise DiagnosticsError(error("Plan too large", detail))
