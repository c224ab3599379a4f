"""Formats: a plan or a state as text, Markdown, JSON or HTML, written to the standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from dstream.cli.render.document import Document
from dstream.cli.render.paint import Paint, say, say_lines, say_text
from dstream.cli.render.terminal import put_exact, redacted
from dstream.plan import Plan
from dstream_state import Snapshot


def say_plan(
    plan: Plan,
    form: str,
    paint: Paint,
    sources: Mapping[str, str],
    saved: Mapping[str, Any] | None = None,
    *,
    concise: bool = False,
) -> None:
    """Show a plan; `sources` are the texts of the configuration's files, for warnings, `saved` its JSON form.

    With `concise`, a text has one line for each object, task and output.
    """
    if form == "json":
        say_json(plan.to_json() if saved is None else saved)
    elif form == "text":
        from dstream.cli.render.diagnostics import diagnostics_text
        from dstream.cli.render.plan import plan_lines

        if plan.diagnostics:
            say_text(diagnostics_text(plan.diagnostics, sources, paint), stream=sys.stderr)
        if plan.pending:
            say_text(
                f"An apply is in progress or was interrupted: {plan.pending} pending records are assumed complete.\n"
            )
        if concise:
            from dstream.cli.render.concise import concise_lines

            say_lines(concise_lines(plan, paint))
        else:
            say_lines(plan_lines(plan, paint))
    else:
        from dstream.cli.render.document import plan_document

        say_document(plan_document(plan), form)


def say_state(snapshot: Snapshot, pending: int, workspace: str, form: str, paint: Paint) -> None:
    """Show a state."""
    from dstream.cli.render.state import state_document, state_json, state_lines

    if form == "json":
        say_json(state_json(snapshot, pending, workspace))
    elif form == "text":
        say_lines(state_lines(snapshot, pending, paint))
    else:
        say_document(state_document(snapshot, pending), form)


def say_document(document: Document, form: str) -> None:
    """Show a document as Markdown or HTML."""
    if form == "markdown":
        from dstream.cli.render.markdown import markdown

        write([markdown(document)])
    else:
        from dstream.cli.render.page import page

        write(page(document))


def say_json(value: Any) -> None:
    """Write JSON values on one line, numbers with all their digits."""
    from dstream_state.codec import dumps

    say(dumps(value).decode())


def write(pieces: Iterable[str]) -> None:
    """Write the pieces of a document that has its own border, Markdown or HTML, to standard output."""
    for piece in pieces:
        put_exact(redacted(piece))
