"""Approval: shows a plan and asks whether to carry it out."""

from __future__ import annotations

import json
import sys

from dstream.cli.render.paint import Paint, say, say_lines
from dstream.cli.render.plan import plan_lines
from dstream.engine.apply import Outcome
from dstream.plan import Plan


class Approval:
    """Asks on a terminal; elsewhere only `-auto-approve` says yes."""

    def __init__(self, paint: Paint, *, auto: bool, allow_data_loss: bool, json: bool) -> None:
        """Take the user's options."""
        self._paint = paint
        self._auto = auto
        self._allow_data_loss = allow_data_loss
        self._json = json
        self.refusal = "Nothing was changed."

    def __call__(self, plan: Plan) -> bool:
        """Show the plan and return whether to go on."""
        if self._json:
            say(json.dumps({"type": "plan", "plan": plan.to_json()}, ensure_ascii=False, default=str))
        else:
            say_lines(plan_lines(plan, self._paint))
            say()
        losing = [change.address for change in plan.changes if change.loses_data]
        if self._auto:
            if losing and not self._allow_data_loss:
                self.refusal = (
                    f"Nothing was changed: this destroys data ({', '.join(losing)}). "
                    "Add -allow-data-loss if that is meant, or run without -auto-approve and be asked."
                )
                return False
            return True
        if not sys.stdin.isatty():
            self.refusal = "Nothing was changed: there is no terminal to ask on. Add -auto-approve."
            return False
        what = "destroy all of this" if plan.destroy else "do this"
        say(self._paint(f"Shall dstream {what}?", "bold") + " Only 'yes' is taken as yes.")
        sys.stdout.write("  > ")
        sys.stdout.flush()
        return sys.stdin.readline().strip() == "yes"

    @staticmethod
    def outcome_json(outcome: Outcome) -> str:
        """Return the outcome as one line of JSON."""
        return json.dumps(
            {
                "type": "outcome",
                "summary": outcome.counts,
                "diagnostics": [diagnostic.to_json() for diagnostic in outcome.diagnostics],
            },
            ensure_ascii=False,
        )
