"""A pytest plugin: providers that tests drive by hand (`dstream_sdk.testing`) are forks of the command server."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tests.services.interpreter  # noqa: F401 - it looks at limits before any test changes them


def _popen(argv: Sequence[str], *, env: Mapping[str, str], start_new_session: bool = False, **streams: Any) -> Any:
    """Start a program as subprocess.Popen does with the arguments of `dstream_sdk.testing.process`: three pipes."""
    from tests.services import command_server, provider_forks

    if argv[0] == sys.executable:
        ours = argv[1] == "-m" or not argv[1].startswith("-")
    else:
        ours = provider_forks.is_ours(Path(argv[0]))
    if ours and command_server.has_read(env):
        return command_server.start_program(argv, cwd=Path.cwd(), env=env, leads=start_new_session)
    return subprocess.Popen(argv, env=env, start_new_session=start_new_session, **streams)


def pytest_configure() -> None:
    """Have providers forked on Linux."""
    if sys.platform == "linux":
        from dstream_sdk.testing import process

        names = ("PIPE", "TimeoutExpired")
        vars(process)["subprocess"] = types.SimpleNamespace(
            Popen=_popen, **{name: getattr(subprocess, name) for name in names}
        )
