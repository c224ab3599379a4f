"""What a migration of the state moved, as text."""

from __future__ import annotations

from dstream.cli.render.paint import say
from dstream.engine.commands.backend_change import Moves
from dstream_state import Backend


def say_moves(moves: Moves, backend: Backend) -> None:
    """Write what was moved to `backend`."""
    for name, moved in moves.workspaces.items():
        counts = (
            _count(moved.objects, "object"),
            _count(moved.snapshots, "earlier snapshot"),
            _count(moved.checkpoints, "checkpoint"),
            _count(moved.dead_letters, "dead letter"),
        )
        say(f"Moved workspace {name}: {', '.join(counts)}.")
    if moves.workspaces:
        say(f"The copy in {backend.describe()} was compared with {moves.source}, which is marked as moved.")
    else:
        say(f"There is no state to move in {moves.source}.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
