"""collect: runs a Pulumi program against the monitor, and returns the resources that it registers.

The program runs like Pulumi's inline programs: `pulumi.runtime.run_in_stack` in an event loop, with settings in a
copied context, so that several can run in parallel. Importing this module imports neither pulumi nor grpc.
"""

from __future__ import annotations

import re
import threading
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING

from dstream_pulumi.plugin import Plugin
from dstream_sdk import Deferred, InvalidError, ProviderError, Resource

if TYPE_CHECKING:
    from dstream_pulumi.functions import Invokes
    from dstream_pulumi.functions import Settings as PluginSettings
    from dstream_pulumi.monitor import Monitor

Program = Callable[[], Awaitable[None] | None]
_UNSUPPORTED = re.compile(r"The Pulumi CLI does not support (?:the )?(.+?)\. Please update the Pulumi CLI", re.I)
"""The SDK's message about a feature that the monitor does not support. Its advice does not apply here."""


def collect(
    program: Program,
    *,
    project: str = "dstream",
    stack: str = "dev",
    config: Mapping[str, str] | None = None,
    secrets: Sequence[str] = (),
    plugins: Sequence[Plugin] = (),
    invokes: Invokes | None = None,
    settings: PluginSettings | None = None,
) -> list[Resource]:
    """Run a program and return its resources, sorted by type and key. Raises ProviderError.

    `config` is the content of `pulumi.Config`; the names in `secrets` are secret. `plugins` serve the resources, and
    the program must not require other versions of them. `invokes` has functions by token. With `settings`, the
    configurations of plugins by name, the plugins evaluate all other function calls.
    """
    from dstream_pulumi.functions import Functions
    from dstream_pulumi.monitor import Monitor
    from dstream_pulumi.required_resources import RequiredResources

    given = {plugin.name: plugin for plugin in plugins}
    functions = Functions(invokes or {}, given, settings)
    monitor = Monitor(project, stack, functions, given)
    texts = {_full(name, project): value for name, value in (config or {}).items()}
    try:
        problem = _run(program, monitor, project, stack, texts, [_full(name, project) for name in secrets])
    finally:
        functions.close()
    if problem is not None:
        explained = _error_of(problem, monitor)
        raise explained from None if explained is problem else problem
    return RequiredResources(monitor.registered, given, functions.secrets).resources()


def _run(
    program: Program, monitor: Monitor, project: str, stack: str, config: dict[str, str], secrets: list[str]
) -> BaseException | None:
    """Run the program in a new thread, because the caller may have a running event loop. Returns what it raised."""
    import asyncio

    from pulumi.runtime import Settings, configure, run_in_stack, set_all_config

    from dstream_pulumi.monitor import ProgramLog

    raised: list[BaseException] = []

    def run() -> None:
        settings = Settings(project, stack, monitor, ProgramLog(), dry_run=True, organization="organization")
        configure(settings)
        set_all_config(config, secrets)
        with asyncio.Runner() as runner:
            # A failed program leaves tasks of the SDK behind, each of which would log the same error.
            runner.get_loop().set_exception_handler(lambda _loop, _context: None)
            try:
                runner.run(run_in_stack(program))
            except BaseException as problem:  # noqa: BLE001 - a program may raise anything, SystemExit included
                raised.append(problem)

    thread = threading.Thread(target=copy_context().run, args=(run,), name="pulumi program")
    thread.start()
    thread.join()
    return raised[0] if raised else None


def _error_of(problem: BaseException, monitor: Monitor) -> BaseException:
    """Return the error to report for a failed program."""
    if monitor.refusal is not None:
        return monitor.refusal
    if isinstance(problem, ProviderError | Deferred):
        return problem
    for failed in monitor.failed_calls:
        if failed.detail in str(problem):
            return failed
    feature = _UNSUPPORTED.search(str(problem))
    if feature is not None:
        return InvalidError(
            "Pulumi program uses an unsupported feature",
            f"It uses {feature[1]}, which only Pulumi's engine supports: here, the program ends before its resources "
            "are created.",
        )
    text = f"{type(problem).__name__}: {problem}"
    return ProviderError("Pulumi program failed", f"{text}{_place(problem)}")


def _place(problem: BaseException) -> str:
    """Return the line of the program that raised, without frames of libraries."""
    import pulumi

    libraries = Path(pulumi.__file__).parent.parent
    frames = [
        frame
        for frame in traceback.extract_tb(problem.__traceback__)
        if not Path(frame.filename).is_relative_to(libraries)
        and "asyncio" not in frame.filename
        and frame.filename != __file__
    ]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def _full(name: str, project: str) -> str:
    """Return the qualified name of a setting, with the project before it."""
    return name if ":" in name else f"{project}:{name}"
