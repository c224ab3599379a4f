"""A Python process that was forked in place of a new one: which variables it cannot read again, and how it ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from typing import NoReturn

INTERPRETER = ("PYTHON", "LC_", "LANG", "TZ", "LD_")
"""Beginnings of names of variables that the interpreter reads when it starts."""
READ_AT_START = (*INTERPRETER, "DSTREAM_FAULT")
"""The same, and those that our modules read when they are imported."""


def end(code: int) -> NoReturn:
    """End a forked child as the interpreter ends, but without freeing every object: that alone takes 0.1 s."""
    threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing does it in its forked children
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
