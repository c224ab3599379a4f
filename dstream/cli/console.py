"""`dstream console`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from dstream.cli.open_operation import opened
from dstream.cli.options import Command, config_options, flag
from dstream.cli.render.paint import paint_for, say

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
    operation = opened(config, var, var_file, ask=True, empty=True)
    from dstream.engine.commands.plan import current_state
    from dstream.engine.providers.pool import ProviderPool
    from dstream.engine.refresh.prior_values import PriorValues

    snapshot, _ = current_state(operation)
    recorded = PriorValues(snapshot, operation, ProviderPool(operation))
    scope = operation.module.scope(resources=recorded)

    def answer(text: str) -> bool:
        return _answer(text, scope, json=json, sources=operation.config.sources, unasked=recorded.problems)

    if not expressions:
        return 1 if _converse(answer) else 0
    answered = [answer(text) for text in expressions]
    return 0 if all(answered) else 1


def _converse(answer: Callable[[str], bool]) -> bool:
    """Answer what is typed until the end; tell whether that failed, which on a terminal it never does."""
    asking = sys.stdin.isatty()
    if asking:
        import readline  # noqa: F401 - line editing and history, by being imported
    failed = False
    text = ""
    while True:
        try:
            line = input("" if not asking else "> " if not text else ": ")
        except EOFError:
            break
        except KeyboardInterrupt:
            say()
            text = ""
            continue
        text = f"{text}\n{line}" if text else line
        if text.strip() in ("exit", "quit"):
            return failed and not asking
        if text.strip() and not _goes_on(text):
            failed = not answer(text) or failed
            text = ""
    if text.strip():
        failed = not answer(text) or failed
    return failed and not asking


def _goes_on(text: str) -> bool:
    """Tell whether a bracket, heredoc or comment is open at the end of a text."""
    from dstream.config import parse_expression
    from dstream.diagnostics import DiagnosticsError

    try:
        parse_expression(f"{text}\n", _NAME)
    except DiagnosticsError as problem:
        return problem.diagnostics[0].error_code in _OPEN
    return False


def _answer(text: str, scope: Scope, *, json: bool, sources: Mapping[str, str], unasked: Sequence[Diagnostic]) -> bool:
    """Print what an expression gives, or what is wrong with it; tell whether it gave a value.

    `unasked` says why some attributes are not known, which may be what is wrong.
    """
    from dstream.config import parse_expression
    from dstream.diagnostics import DiagnosticsError
    from dstream.lang import evaluate

    try:
        value = evaluate(parse_expression(text, _NAME), scope)
        if json:
            say(_json(value))
        else:
            from dstream.lang import to_text

            say(to_text(value))
    except DiagnosticsError as problem:
        from dstream.cli.render.diagnostics import diagnostics_text

        found = (*problem.diagnostics, *unasked)
        say(diagnostics_text(found, {**sources, _NAME: text}, paint_for(sys.stderr)), stream=sys.stderr)
        return False
    return True


def _json(value: Any) -> str:
    from dstream.lang import contains_unknown, sensitive_paths, value_as_json

    if sensitive_paths(value):
        raise click.ClickException("The value is sensitive. To show it, use nonsensitive(...).")
    if contains_unknown(value):
        raise click.ClickException("The value is known only after apply.")
    return value_as_json(value)
