"""`dstream console`."""

from __future__ import annotations

import json as json_module
import sys
from typing import TYPE_CHECKING, Any

import click

from dstream.cli.opening import opened
from dstream.cli.options import Command, config_options, flag
from dstream.cli.render.paint import paint_for, say

if TYPE_CHECKING:
    from dstream.lang import Scope


@click.command("console", cls=Command)
@config_options
@click.option(
    "-e", "-expression", "--expression", "expressions", metavar="EXPR", multiple=True, help="Evaluate and end."
)
@flag("json", help="With -e: the value as JSON.")
def command(
    config: str, var: tuple[str, ...], var_file: tuple[str, ...], expressions: tuple[str, ...], json: bool
) -> int:
    """Evaluate expressions against the configuration and what was last applied. Ctrl-D or `exit` ends."""
    operation = opened(config, var, var_file)
    from dstream.engine.flows import recorded_exports
    from dstream.engine.plan import current_state

    snapshot, _ = current_state(operation)
    scope = operation.module.scope(resources=recorded_exports(snapshot, operation))
    if expressions:
        for text in expressions:
            say(_json(text, scope) if json else _shown(text, scope))
        return 0
    return _converse(scope)


def _converse(scope: Scope) -> int:
    from dstream.cli.render.diagnostics import diagnostics_text
    from dstream.diagnostics import DiagnosticsError

    asking = sys.stdin.isatty()
    if asking:
        import readline  # noqa: F401 - line editing and history, by being imported
    failed = False
    while True:
        try:
            text = input("> " if asking else "")
        except EOFError:
            break
        except KeyboardInterrupt:
            say()
            continue
        if text.strip() in ("exit", "quit"):
            break
        if not text.strip():
            continue
        try:
            say(_shown(text, scope))
        except DiagnosticsError as problem:
            failed = True
            paint = paint_for(sys.stderr)
            say(diagnostics_text(problem.diagnostics, {"<console>": text}, paint), stream=sys.stderr)
    return 1 if failed and not asking else 0


def _value(text: str, scope: Scope) -> Any:
    from dstream.config import parse_expression
    from dstream.lang import evaluate

    return evaluate(parse_expression(text, "<console>"), scope)


def _shown(text: str, scope: Scope) -> str:
    from dstream.cli.render.values import literal
    from dstream.engine.secrets import redact
    from dstream.engine.wanted import plain
    from dstream.lang import sensitive_paths, strip_sensitive

    value = _value(text, scope)
    hidden = redact(plain(strip_sensitive(value)), [path for path, _ in sensitive_paths(value)], b"shown to nobody")
    return literal(hidden)


def _json(text: str, scope: Scope) -> str:
    from dstream.lang import contains_unknown, sensitive_paths, to_json_value

    value = _value(text, scope)
    if sensitive_paths(value):
        raise click.ClickException("The value is sensitive. To show it on purpose: nonsensitive(...).")
    if contains_unknown(value):
        raise click.ClickException("The value is known only after apply.")
    return json_module.dumps(to_json_value(value), ensure_ascii=False)
