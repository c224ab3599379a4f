"""The command line: one click command per file, imported when it is called. Prints through `render` alone."""

from dstream.cli.main import main

__all__ = ["main"]
