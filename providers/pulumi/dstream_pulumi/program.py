"""collect: runs a Pulumi program against our monitor, and returns the resources that it registers.

The program runs as Pulumi's own inline programs do: `pulumi.runtime.run_in_stack` in an event loop, with settings that
live in a copied context, so that several may run at once. Importing this imports neither pulumi nor grpc.
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
"""What the SDK says of a feature that the monitor does not have: wrong advice here."""


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
    """Run a program and return its resources, sorted by type and key; raise ProviderError with what went wrong.

    `config` is what `pulumi.Config` sees; the names in `secrets` are secret in it. `plugins` are those that will serve
    the resources: the program may not ask for another version. `invokes` answers function calls by their token; with
    `settings`, the configurations of plugins by their names, plugins answer the other calls.
    """
    from dstream_pulumi.functions import Functions
    from dstream_pulumi.monitor import Monitor
    from dstream_pulumi.required_resources import Collected

    given = {plugin.name: plugin for plugin in plugins}
    functions = Functions(invokes or {}, given, settings)
    monitor = Monitor(project, stack, functions, given)
    texts = {_full(name, project): value for name, value in (config or {}).items()}
    try:
        problem = _run(program, monitor, project, stack, texts, [_full(name, project) for name in secrets])
    finally:
        functions.close()
    if problem is not None:
        explained = _explained(problem, monitor)
        raise explained from None if explained is problem else problem
    return Collected(monitor.registered, given, functions.secrets).resources()


def _run(
    program: Program, monitor: Monitor, project: str, stack: str, config: dict[str, str], secrets: list[str]
) -> BaseException | None:
    """Run the program in a thread of its own (the caller may have an event loop running); return what it raised."""
    import asyncio

    from pulumi.runtime import Settings, configure, run_in_stack, set_all_config

    from dstream_pulumi.monitor import ProgramLog

    raised: list[BaseException] = []

    def run() -> None:
        settings = Settings(project, stack, monitor, ProgramLog(), dry_run=True, organization="organization")
        configure(settings)
        set_all_config(config, secrets)
        with asyncio.Runner() as runner:
            # The SDK leaves tasks behind when a program fails, each of which would tell the same error once more.
            runner.get_loop().set_exception_handler(lambda _loop, _context: None)
            try:
                runner.run(run_in_stack(program))
            except BaseException as problem:  # noqa: BLE001 - a program may raise anything, SystemExit included
                raised.append(problem)

    thread = threading.Thread(target=copy_context().run, args=(run,), name="pulumi program")
    thread.start()
    thread.join()
    return raised[0] if raised else None


def _explained(problem: BaseException, monitor: Monitor) -> BaseException:
    """Return the error that tells a failed program."""
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
            f"It uses {feature[1]}, which only Pulumi's engine has: the program says what is wanted and is over "
            "before any of it is made.",
        )
    text = f"{type(problem).__name__}: {problem}"
    return ProviderError("Pulumi program failed", f"{text}{_place(problem)}")


def _place(problem: BaseException) -> str:
    """Return where in the program it was raised, without the frames of libraries."""
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
    """Return the name of a setting as Pulumi has it: with the project before it."""
    return name if ":" in name else f"{project}:{name}"
