"""Logging: provider logs on standard error or in a file, as set by DSTREAM_LOG.

    DSTREAM_LOG=info       each line of a provider's standard error
    DSTREAM_LOG=debug      their processes too: command line, process id, how they ended
    DSTREAM_LOG_PATH=FILE  into a file, at its end, instead of to the standard error

The levels are those of Terraform's TF_LOG: trace equals debug; warn, error and off log nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from dstream.cli.render.paint import say
from dstream.plugins.provider_log import Level, listen

_SHOWN: dict[str, tuple[Level, ...]] = {
    "off": (),
    "error": (),
    "warn": (),
    "info": ("info",),
    "debug": ("info", "debug"),
    "trace": ("info", "debug"),
}


def start_logging(environment: Mapping[str, str] = os.environ) -> None:
    """Start logging as the environment sets it; raise ClickException for a wrong setting."""
    word = environment["DSTREAM_LOG"].strip().lower()
    shown = _SHOWN.get(word)
    if shown is None:
        raise click.ClickException(f"DSTREAM_LOG is {word!r}; use one of {', '.join(_SHOWN)}.")
    if not shown:
        return
    stream = sys.stderr
    if path := environment.get("DSTREAM_LOG_PATH"):
        try:
            descriptor = os.open(Path(path).expanduser(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as problem:
            raise click.ClickException(f"DSTREAM_LOG_PATH: {path}: {problem.strerror}.") from problem
        stream = os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace")

    def write(level: Level, provider: str, text: str) -> None:
        if level in shown:
            time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            say(f"{time} [{level.upper()}] {provider}: {text}", stream=stream)

    listen(write)
