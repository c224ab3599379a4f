"""`python -m dstream`: the same as the command."""

import sys

import dstream

# Python puts the current folder in front of the installed packages, unless it was started with -P.
if not sys.flags.safe_path and sys.path[0] != dstream.__path__[0].rpartition("/")[0]:
    del sys.path[0]

from dstream.cli import main

main()
