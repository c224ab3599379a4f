"""`python -m dstream`: the same as the command."""

from dstream.cli import main

main()
