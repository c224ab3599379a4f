"""Progress of an apply: one line an event, on the standard output."""

from __future__ import annotations

from dstream.cli.render.paint import Paint, say
from dstream.plan import Action
from dstream_state import Holder

_DOING = {
    "create": "Creating",
    "update": "Updating",
    "destroy": "Destroying",
    "forget": "Forgetting",
}
_DONE = {
    "create": "Created",
    "update": "Updated",
    "destroy": "Destroyed",
    "forget": "Forgotten",
}


class Lines:
    """Writes one line for each event of an operation."""

    def __init__(self, paint: Paint, *, quiet: bool = False) -> None:
        """Write in colour or plain; `quiet` keeps only what went wrong."""
        self._paint = paint
        self._quiet = quiet

    def waiting(self, holder: Holder | None) -> None:
        """Say that the lock is somebody else's."""
        who = holder.describe() if holder is not None else "another process"
        say(f"Waiting for the lock, held by {who} ...")

    def recovering(self, count: int) -> None:
        """Say that an earlier operation did not end, and what it left is being looked up."""
        say(f"An earlier operation was cut off: looking up {count} change{'s' if count != 1 else ''} it left open ...")

    def recovered(self, address: str, outcome: str) -> None:
        """Say what became of a change whose result was not known."""
        say(f"{self._paint(address, 'bold')}: {outcome}")

    def started(self, address: str, step: str) -> None:
        """Say that a change begins."""
        if not self._quiet:
            say(f"{self._paint(address, 'bold')}: {_DOING[step]}...")

    def done(self, address: str, step: str, seconds: float) -> None:
        """Say that a change is done and recorded."""
        if not self._quiet:
            say(f"{self._paint(address, 'bold')}: {_DONE[step]} after {_duration(seconds)}")

    def retrying(self, address: str, seconds: float, why: str) -> None:
        """Say that a change failed for now and is tried again."""
        say(f"{self._paint(address, 'bold')}: trying again in {_duration(seconds)} ({why})")

    def failed(self, address: str, step: str) -> None:
        """Say that a change failed; the diagnostics follow at the end."""
        say(f"{self._paint(address, 'bold')}: {self._paint(f'could not {_VERB[step]}', 'red')}")

    def skipped(self, address: str, because: str) -> None:
        """Say that a change was not tried because another failed."""
        say(f"{self._paint(address, 'bold')}: not tried, because of {because}")


_VERB = {"create": "create", "update": "update", "delete": "destroy", "forget": "forget"}


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def applied_summary(counts: dict[str, int], *, destroyed: bool, paint: Paint) -> str:
    """Return the last line of an apply or a destroy."""
    if destroyed:
        return paint("Destroy complete:", "bold", "green") + f" {counts['destroy']} destroyed."
    return (
        paint("Apply complete:", "bold", "green")
        + f" {counts['add']} added, {counts['change']} changed, {counts['destroy']} destroyed."
    )


def action_word(action: Action) -> str:
    """Return an action as a word in a list."""
    return "replace" if action.replaces else str(action)
