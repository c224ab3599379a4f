"""A Python process that was forked in place of a new one: which variables it cannot read again, and how it ends."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import NoReturn

INTERPRETER = ("PYTHON", "LC_", "LANG", "TZ", "LD_")
"""Beginnings of names of variables that the interpreter reads when it starts."""
COLLECTOR, RECURSION = gc.get_threshold(), sys.getrecursionlimit()
"""Limits with which this interpreter has started: they differ between its releases, and dstream changes them."""


def read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a process does not read again once it runs."""
    return {name: value for name, value in env.items() if name.startswith(INTERPRETER)}


ROOM = "_" * 4096
"""An argument that leaves room for the arguments of forks: see `show_arguments`."""


def show_arguments(argv: Sequence[str]) -> None:
    """Show `argv` as the command line of this fork, as /proc has it, up to the length of that of the first process.

    It is the memory between `arg_start` and `arg_end` of /proc/self/stat (proc_pid_stat(5)). Does nothing elsewhere.
    """
    if sys.platform != "linux":
        return
    with open("/proc/self/stat", "rb") as file:
        start, until = map(int, file.read().rpartition(b")")[2].split()[45:47])
    shown = b"".join(os.fsencode(each) + b"\0" for each in argv)[: until - start - 1]
    ctypes.memset(start, 0, until - start)
    ctypes.memmove(start, shown, len(shown))


def end(code: int) -> NoReturn:
    """End a forked child as the interpreter ends, but without freeing every object: that alone takes 0.1 s."""
    threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing does it in its forked children
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
