"""The command line: one click command per file, imported when it is called. Prints through `render` alone."""

import gc

# Before the first import: much is made and kept until the end, hardly anything in cycles, so the collector would look
# through it in vain, first of all through the modules.
gc.set_threshold(200_000, 20, 100)

from dstream.cli.main import main  # noqa: E402

__all__ = ["main"]
