"""The command line: one click command per file, each imported only when it is called."""

from dstream.cli.main import main

__all__ = ["main"]
