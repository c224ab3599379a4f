"""Workspaces: states of one configuration beside each other, and which of them is selected.

The selection is a file in the configuration's data folder; `DSTREAM_WORKSPACE` goes before it.
"""

from __future__ import annotations

import os
from pathlib import Path

from dstream.diagnostics import DiagnosticsError, error
from dstream.engine.setup.operation import DATA_DIR, Operation
from dstream.files import read_file, replace_file

DEFAULT = "default"
VARIABLE = "DSTREAM_WORKSPACE"
_FILE = "workspace"


def selected_workspace(config: Path | None) -> str:
    """Return the workspace that is selected for a configuration, a file or a folder.

    None stands for one that is not trusted: what its folder says does not count.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return named
    if config is None:
        return DEFAULT
    root = config.parent if config.is_file() else config
    try:
        return read_file(root / DATA_DIR / _FILE, 4096).decode("utf-8").strip() or DEFAULT
    except (OSError, UnicodeDecodeError):
        return DEFAULT


def workspaces(operation: Operation) -> list[str]:
    """Return the names of all workspaces, the selected one among them although it may have no state yet."""
    return sorted({*operation.backend.workspaces(), operation.workspace})


def new_workspace(operation: Operation, name: str) -> None:
    """Make a workspace with an empty state, and select it; raise DiagnosticsError if there is one of that name."""
    _check_name(name)
    _not_overridden("new")
    if name in operation.backend.workspaces():
        detail = f"There is a workspace {name} already. dstream workspace select {name} selects it."
        raise DiagnosticsError(error("Workspace exists", detail))
    backend = operation.backend.at(name)
    backend.prepare()
    with backend.lock("workspace new") as held:
        held.finish()
    _select(operation, name)


def select_workspace(operation: Operation, name: str, *, create: bool = False) -> bool:
    """Select a workspace, made first if it is not there and `create`; return whether it was made."""
    _not_overridden("select")
    known = operation.backend.workspaces()
    if name not in known:
        if create:
            new_workspace(operation, name)
            return True
        detail = (
            f"There is no workspace {name}. There are: {', '.join(known)}. "
            f"dstream workspace new {name} makes it, and so does select -or-create."
        )
        raise DiagnosticsError(error("Unknown workspace", detail))
    _select(operation, name)
    return False


def delete_workspace(operation: Operation, name: str, *, force: bool) -> None:
    """Delete the state of a workspace; with `force` also one with objects, which are no longer managed then."""
    if name == DEFAULT:
        raise DiagnosticsError(error("Protected workspace", "The workspace default is always there."))
    if name == operation.workspace:
        detail = f"{name} is selected. Select another one first: dstream workspace select default."
        raise DiagnosticsError(error("Protected workspace", detail))
    if name not in operation.backend.workspaces():
        known = ", ".join(operation.backend.workspaces())
        raise DiagnosticsError(error("Unknown workspace", f"There is no workspace {name}. There are: {known}."))
    backend = operation.backend.at(name)
    view = backend.read()
    count = len(view.snapshot.resources) if view.snapshot is not None else 0
    if (count or view.pending) and not force:
        what = f"{count} object{'s' if count != 1 else ''}" if count else "an unfinished apply"
        detail = (
            f"{name} has {what}. Destroy them first ({VARIABLE}={name} dstream destroy), or use -force: they then "
            "stay and are no longer managed."
        )
        raise DiagnosticsError(error("Workspace not empty", detail))
    backend.delete()


def _check_name(name: str) -> None:
    from dstream_state.backend_registry import check_workspace

    check_workspace(name)


def _not_overridden(verb: str) -> None:
    named = os.environ.get(VARIABLE)
    if named:
        detail = f"{VARIABLE} is set to {named}, which goes before what is selected. Unset it for `workspace {verb}`."
        raise DiagnosticsError(error("Workspace selected by the environment", detail))


def _select(operation: Operation, name: str) -> None:
    folder = operation.root / DATA_DIR
    folder.mkdir(mode=0o700, exist_ok=True)
    replace_file(folder / _FILE, f"{name}\n".encode())
