"""Backend change: what `init` does about another `backend` block, and moving state between backends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from dstream.diagnostics import Diagnostic, DiagnosticsError, error
from dstream.engine.setup.backend_record import CREDENTIALS, check_unchanged, recorded_backend, save_record
from dstream.engine.setup.operation import Operation
from dstream.files import LARGEST_TEXT, read_file
from dstream_state import Backend, Holder, Moved, open_backend

Change = Literal["refuse", "migrate", "reconfigure"]
OnWait = Callable[[Holder | None], None]


class Moves(Struct, frozen=True):
    """What was moved of each workspace, and the old place."""

    source: str
    workspaces: Mapping[str, Moved]


def initialize_backend(
    operation: Operation, given: Sequence[str], change: Change, timeout: float, on_wait: OnWait
) -> Moves | None:
    """Prepare the configured backend and record it; return what was moved, None if nothing was.

    `given` are the values of `-backend-config`. Raises DiagnosticsError if the backend is not the recorded one, unless
    `change` resolves it.
    """
    recorded = recorded_backend(operation.root)
    kept = recorded.overrides if recorded is not None and change != "reconfigure" else {}
    found = operation.open_backend({**kept, **_storable(read_settings(given))})
    moves = None
    if change == "refuse":
        check_unchanged(recorded, found.record)
    found.backend.prepare()
    if change == "migrate" and recorded is not None and recorded.place not in ("", found.record.place):
        old = _open(operation, recorded.type, recorded.settings)
        moves = _move(old, found.backend, timeout, on_wait)
    save_record(operation.root, found.record)
    return moves


def migrate_from(
    operation: Operation, kind: str, settings: Mapping[str, str], timeout: float, on_wait: OnWait
) -> Moves:
    """Move all workspaces from another backend to the configured one, which is recorded."""
    recorded = recorded_backend(operation.root)
    found = operation.open_backend(recorded.overrides if recorded is not None else {})
    found.backend.prepare()
    moves = _move(_open(operation, kind, settings), found.backend, timeout, on_wait)
    save_record(operation.root, found.record)
    return moves


def read_settings(given: Sequence[str]) -> dict[str, str]:
    """Return backend arguments from KEY=VALUE and from files with `name = "value"` on each line.

    Raises DiagnosticsError.
    """
    settings: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if equals and name.strip().isidentifier():
            settings[name.strip()] = value
        elif Path(text).is_file():
            settings |= _file(Path(text))
        else:
            raise DiagnosticsError(_invalid(f"{text!r} is neither KEY=VALUE nor a file."))
    return settings


def _file(path: Path) -> dict[str, str]:
    from dstream.config import parse_text
    from dstream.lang import Scope, evaluate

    parsed = parse_text(read_file(path, LARGEST_TEXT, pipe=True).decode("utf-8"), str(path))
    problems = [*parsed.diagnostics]
    problems += [_invalid("A file of backend arguments has no blocks.") for _ in parsed.body.blocks]
    if problems:
        raise DiagnosticsError(problems)
    settings = {}
    for name, attribute in parsed.body.attributes.items():
        value = evaluate(attribute.expr, Scope())
        if isinstance(value, bool):
            value = "true" if value else "false"
        if not isinstance(value, str):
            raise DiagnosticsError(_invalid(f"{name} in {path} is not a string."))
        settings[name] = value
    return settings


def _storable(settings: dict[str, str]) -> dict[str, str]:
    for name in settings:
        if name in CREDENTIALS:
            raise DiagnosticsError(
                _invalid(
                    f"{name} is a credential, and init would have to store it in .dstream/backend.json. Set it in the "
                    "environment instead (for azurerm: ARM_ACCESS_KEY, ARM_SAS_TOKEN, ARM_CLIENT_SECRET or "
                    "AZURE_STORAGE_CONNECTION_STRING)."
                )
            )
    return settings


def _invalid(detail: str) -> Diagnostic:
    return error("Invalid backend configuration", detail)


def _open(operation: Operation, kind: str, settings: Mapping[str, object]) -> Backend:
    return open_backend(kind, settings, root=operation.root, encryption=operation.encryption)


def _move(old: Backend, new: Backend, timeout: float, on_wait: OnWait) -> Moves:
    moved: dict[str, Moved] = {}
    for name in old.workspaces():
        found = old.at(name).move_to(new.at(name), timeout=timeout, on_wait=on_wait)
        if found is not None:
            moved[name] = found
    return Moves(old.describe(), moved)
