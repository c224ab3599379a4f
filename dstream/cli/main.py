"""The `dstream` command: finds the command, runs it, and turns every failure into a message and an exit code."""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from dstream import __version__
from dstream.cli.options import Group, Option
from dstream.cli.render.terminal import guard
from dstream.files import restrict_umask
from dstream.programs import leave_out_current_folder

# name -> (module below dstream.cli, short help). The help stands here so that `--help` imports no command.
_COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init", "Prepare providers and backend; with a TASK, apply that task"),
    "plan": ("plan", "Show what apply would do"),
    "apply": ("apply", "Create, update and delete objects to match the configuration"),
    "destroy": ("destroy", "Delete all managed objects"),
    "run": ("run", "Run the data flow of tasks"),
    "logs": ("logs", "Show the output of a background run"),
    "stop": ("stop", "Stop tasks that run on this machine"),
    "status": ("status", "Show what is deployed and what is running"),
    "drift": ("drift", "Report changes made outside of dstream"),
    "lint": ("lint", "Check the configuration"),
    "fmt": ("fmt", "Format configurations"),
    "console": ("console", "Evaluate expressions"),
    "graph": ("graph", "Show the dependency graph"),
    "show": ("show", "Show a saved plan, the state, or an earlier apply"),
    "history": ("history", "List earlier applies: who, when, which plan, and how they ended"),
    "ci": ("ci", "Show plans and drift in pull requests and issues"),
    "output": ("output", "Show the values of outputs"),
    "state": ("state", "Inspect and edit the state"),
    "workspace": ("workspace", "Manage several states of one configuration"),
    "import": ("import_", "Record an existing object in the state"),
    "untaint": ("untaint", "Clear the taint of objects"),
    "checkpoint": ("checkpoint", "Show, set or reset the position of a task"),
    "dlq": ("dlq", "List, show or replay dead letters"),
    "providers": ("providers", "Find, fetch, lock, publish, create and test providers"),
    "force-unlock": ("force_unlock", "Release a lock that was left behind"),
    "explain": ("explain", "Explain an error code"),
    "help": ("help", "Show the help of a command"),
    "version": ("version", "Show the version"),
}
_ALIASES = {"validate": "lint"}


def _command(name: str) -> click.Command | None:
    entry = _COMMANDS.get(_ALIASES.get(name, name))
    if entry is None:
        return None
    module = importlib.import_module(f"dstream.cli.{entry[0]}")
    command: click.Command = module.command
    return command


class LazyGroup(Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names in the order of a user's work."""
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None if there is none of that name."""
        return _command(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or fail with the name of the closest one."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            from dstream.cli.suggestions import instead_of_command

            hint = instead_of_command("", name, [*_COMMANDS, *_ALIASES])
            ctx.fail(f"Unknown command {name!r}. {hint}".rstrip())
        return super().resolve_command(ctx, args)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands."""
        with formatter.section("Commands"):
            rows = [(name, text) for name, (_, text) in _COMMANDS.items()]
            for alias, name in _ALIASES.items():
                at = [each for each, _ in rows].index(name) + 1
                rows.insert(at, (alias, f"Same as {name}"))
            formatter.write_dl(rows)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "-help", "--help"], "max_content_width": 100},
    epilog="The help of a command: dstream help COMMAND. Options take one dash or two: -var, --var.",
)
@click.version_option(__version__, "-v", "-version", "--version", message="dstream %(version)s", cls=Option)
@click.option("-chdir", "--chdir", metavar="DIR", help="Work in this folder instead of the current one.", cls=Option)
def root(chdir: str | None) -> None:
    """Terraform for data streaming: plan, apply, run and destroy data flows and the resources they need."""
    if os.environ.get("DSTREAM_LOG"):
        from dstream.cli.render.logging import start_logging

        start_logging()
    if chdir:
        try:
            os.chdir(chdir)
        except OSError as problem:
            raise click.ClickException(f"-chdir: cannot enter {chdir}: {problem.strerror}") from problem


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 error, 2 changes or drift where the command says so, 130 interrupted."""
    restrict_umask()
    words = sys.argv[1:] if args is None else args
    leave_out_current_folder()
    _choose_encodings(words)
    guard()
    code = _run(words)
    # The process exits: its memory need not be freed object by object.
    gc.freeze()
    sys.exit(code)


def _run(args: list[str]) -> int:
    try:
        return _carry_out(args)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return 130
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _choose_encodings(args: Sequence[str]) -> None:
    """Escape characters that the terminal's encoding does not have; write JSON in UTF-8 (RFC 8259, section 8.1)."""
    json = any("json" in each for each in args)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = "utf-8" if json and stream is sys.stdout else stream.encoding
            with contextlib.suppress(OSError):  # a stream that another program has moved keeps its encoding
                stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _carry_out(args: list[str]) -> int:
    began = time.monotonic()
    try:
        result: Any = root.main(args, prog_name="dstream", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (click.Abort, BrokenPipeError):
        raise
    except Exception as problem:  # noqa: BLE001 - the last resort: no input may end in a traceback
        try:
            if not _write_as_json(problem, args, time.monotonic() - began):
                _show(problem)
        except OSError as unwritable:  # JSON that cannot be written
            if isinstance(unwritable, BrokenPipeError):
                raise
            _show(problem)
        return 1


def _show(problem: Exception) -> None:
    """Print a failure as text."""
    if isinstance(problem, click.ClickException):
        problem.show()
    else:
        from dstream.cli.failure import report

        report(problem)


def _write_as_json(problem: Exception, args: Sequence[str], seconds: float) -> bool:
    """Write a failure in the command's own JSON, if JSON was requested; return whether text must be left out."""
    from dstream.cli.options import json_requested

    if not json_requested(args):
        return False
    from dstream.cli.failure import diagnostics_of, write_failure_json

    command = _command(_name_in(args))
    write_failure = getattr(command, "write_failure", None) if command is not None else write_failure_json
    return write_failure is not None and bool(write_failure(diagnostics_of(problem), seconds))


def _name_in(args: Sequence[str]) -> str:
    """Return the name of the command in a command line, or nothing."""
    words = iter(args)
    for word in words:
        if word in ("-chdir", "--chdir"):
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""
