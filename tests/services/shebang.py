"""The first lines of a script that this Python runs, wherever it is: a path with spaces fits into no `#!` line."""

import sys
from pathlib import Path


def shebang(options: str = "") -> str:
    """Return lines as pip writes them: a shell takes them for a command, Python for a text; `options` are Python's."""
    words = f"{options} " if options else ""
    return f"""#!/bin/sh
'''exec' "{sys.executable}" {words}"$0" "$@"
' '''
"""


def runs(script: Path) -> str:
    """Return the text of a program that runs a Python file, in the same process."""
    return f"{shebang()}import runpy\n\nrunpy.run_path({str(script)!r}, run_name='__main__')\n"
