"""The first lines of a script that this Python runs, wherever it is: a path with spaces fits into no `#!` line."""

import sys


def shebang(options: str = "") -> str:
    """Return lines that a shell takes for a command, and Python for a text; `options` are Python's."""
    return f"""#!/bin/sh
'''exec' "{sys.executable}" {options} "$0" "$@"
' '''
"""
