"""Approval: shows a plan and asks for confirmation."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Mapping

from dstream.cli.render.paint import Paint, say, say_lines, say_prose, say_text
from dstream.cli.render.plan import plan_lines
from dstream.cli.render.terminal import put, short
from dstream.engine.apply.consent import Consent, flags
from dstream.plan import Plan

_LOOK = 0.2
"""Seconds between checks for a signal while the prompt waits."""


class Approval:
    """Prompts on a terminal; without one, only `-auto-approve` approves."""

    def __init__(
        self,
        paint: Paint,
        *,
        auto: bool,
        consent: Consent,
        show: Callable[[Plan], None] | None = None,
        before: Callable[[], None] = lambda: None,
        sources: Mapping[str, str] | None = None,
        saved: bool = False,
        concise: bool = False,
    ) -> None:
        """Take the user's options. `show` prints the plan, as text by default; `before` is called first.

        `sources` are the texts of the configuration, to show the lines of warnings. A `saved` plan was reviewed before:
        it is not printed as text again, and the prompt is only about the loss of data. With `concise`, the text has one
        line for each object, task and output.
        """
        self._concise = concise
        self._sources = sources or {}
        self._saved = saved
        self._paint = paint
        self._auto = auto
        self._consent = consent
        self._show = show or self._as_text
        self._before = before
        self.refusal = "Nothing was changed."

    def __call__(self, plan: Plan) -> bool:
        """Show the plan and return whether it is approved."""
        self._before()
        self._show(plan)
        refused = self._consent.refused(plan)
        for sentence in self._consent.unused(plan):
            say_prose(f"Warning: {sentence}", stream=sys.stderr)
        if self._auto or self._saved:
            if not refused:
                return True
            if self._auto or not sys.stdin.isatty():
                other = "" if self._saved else ". Or run without -auto-approve to be prompted"
                self.refusal = (
                    f"Nothing was changed: the plan destroys data ({', '.join(refused)}). "
                    f"To allow that, add {flags(refused)}{other}."
                )
                return False
            say(f"This destroys data: {', '.join(map(short, refused))}.")
        if not sys.stdin.isatty():
            self.refusal = "Nothing was changed: approval needs a terminal. To approve without one, add -auto-approve."
            return False
        question = (
            "Do you really want to destroy these objects?" if plan.destroy else "Do you want to perform these actions?"
        )
        say(self._paint(question, "bold") + " Only 'yes' will be accepted to approve.")
        put("  Enter a value: ", sys.stdout)
        return _read_line().strip() == "yes"

    def _as_text(self, plan: Plan) -> None:
        if self._saved:
            return
        if self._concise:
            from dstream.cli.render.concise import concise_lines

            say_lines(concise_lines(plan, self._paint))
        else:
            say_lines(plan_lines(plan, self._paint))
        say()
        if plan.diagnostics:
            from dstream.cli.render.diagnostics import diagnostics_text

            say_text(diagnostics_text(plan.diagnostics, self._sources, self._paint), stream=sys.stderr)


def _read_line() -> str:
    """Return a line from the terminal.

    A signal between the prompt and the read must not wait for the line: Python runs signal handlers only between two
    bytecode instructions.
    """
    while not select.select([sys.stdin], [], [], _LOOK)[0]:
        pass
    return sys.stdin.readline()
