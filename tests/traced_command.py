"""Runs one command and writes which source files it executed: `python -m tests.traced_command REPORT ARGUMENTS...`.

REPORT gets the paths, one a line, of all files in which a function was called, in any thread of this process.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from dstream.cli import main


def trace(arguments: list[str], report: Path) -> None:
    """Run a command and exit as it does."""
    called: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_name != "<module>":
            called.add(frame.f_code.co_filename)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        main(arguments)
    finally:
        sys.setprofile(None)
        report.write_text("\n".join(sorted(called)), "utf-8")


if __name__ == "__main__":
    trace(sys.argv[2:], Path(sys.argv[1]))
