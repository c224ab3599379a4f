"""`dstream console`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from dstream.cli.open_operation import open_configured
from dstream.cli.options import Command, config_options, flag
from dstream.cli.render.paint import paint_for, say, say_text

if TYPE_CHECKING:
    from dstream.diagnostics import Diagnostic
    from dstream.lang import Scope

_NAME = "<console>"
_OPEN = ("DS1006", "DS1007", "DS1008")
"""Errors that further lines may fix: an unterminated heredoc or comment, a missing closing bracket."""


@click.command("console", cls=Command)
@config_options
@click.option(
    "-e",
    "-expression",
    "--expression",
    "expressions",
    metavar="EXPR",
    multiple=True,
    help="Evaluate this expression and exit.",
)
@flag("json", help="Print values as JSON.")
def command(
    config: str, var: tuple[str, ...], var_file: tuple[str, ...], expressions: tuple[str, ...], json: bool
) -> int:
    """Evaluate expressions with the values of the configuration and the state. Exit with Ctrl-D or `exit`."""
    operation = open_configured(config, var, var_file, ask=True, empty=True)
    from dstream.engine.commands.plan import current_state
    from dstream.engine.providers.pool import ProviderPool
    from dstream.engine.refresh.prior_values import PriorValues

    snapshot, _ = current_state(operation)
    recorded = PriorValues(snapshot, operation, ProviderPool(operation))
    scope = operation.module.scope(resources=recorded)

    def answer(text: str) -> bool:
        return _answer(text, scope, json=json, sources=operation.config.sources, not_refreshed=recorded.problems)

    if not expressions:
        return 1 if _read_and_answer(answer) else 0
    answered = [answer(text) for text in expressions]
    return 0 if all(answered) else 1


def _read_and_answer(answer: Callable[[str], bool]) -> bool:
    """Evaluate each line of standard input; return whether one failed, always False on a terminal."""
    prompting = sys.stdin.isatty()
    if prompting:
        import readline  # noqa: F401 - line editing and history, by being imported
    failed = False
    text = ""
    while True:
        try:
            line = input("" if not prompting else "> " if not text else ": ")
        except EOFError:
            break
        except KeyboardInterrupt:
            say()
            text = ""
            continue
        text = f"{text}\n{line}" if text else line
        if text.strip() in ("exit", "quit"):
            return failed and not prompting
        if text.strip() and not _is_incomplete(text):
            failed = not answer(text) or failed
            text = ""
    if text.strip():
        failed = not answer(text) or failed
    return failed and not prompting


def _is_incomplete(text: str) -> bool:
    """Return whether a bracket, heredoc or comment is open at the end of a text."""
    from dstream.config import parse_expression
    from dstream.diagnostics import DiagnosticsError

    try:
        parse_expression(f"{text}\n", _NAME)
    except DiagnosticsError as problem:
        return problem.diagnostics[0].error_code in _OPEN
    return False


def _answer(
    text: str, scope: Scope, *, json: bool, sources: Mapping[str, str], not_refreshed: Sequence[Diagnostic]
) -> bool:
    """Print the value of an expression, or its errors; return whether it has a value.

    `not_refreshed` has the reasons why some attributes are unknown, which may explain an error.
    """
    from dstream.config import parse_expression
    from dstream.diagnostics import DiagnosticsError
    from dstream.lang import evaluate

    try:
        value = evaluate(parse_expression(text, _NAME), scope)
        if json:
            say_text(_json(value))
        else:
            from dstream.lang import to_text

            say_text(to_text(value))
    except DiagnosticsError as problem:
        from dstream.cli.render.diagnostics import diagnostics_text

        found = (*problem.diagnostics, *not_refreshed)
        say_text(diagnostics_text(found, {**sources, _NAME: text}, paint_for(sys.stderr)), stream=sys.stderr)
        return False
    return True


def _json(value: Any) -> str:
    from dstream.lang import contains_unknown, sensitive_paths, value_as_json

    if sensitive_paths(value):
        raise click.ClickException("The value is sensitive. To show it, use nonsensitive(...).")
    if contains_unknown(value):
        raise click.ClickException("The value is known only after apply.")
    return value_as_json(value)
