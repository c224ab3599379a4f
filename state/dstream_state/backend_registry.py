"""Backend registry: from a backend's name and its settings in the configuration to a `Backend`.

A third-party backend is an installed package with an entry point in the group `dstream.backends`. Its name is that of
`backend "NAME"`; its object is called with the settings, the configuration's folder and the workspace, and returns a
`Storage`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dstream_state.backend import Backend
from dstream_state.backend_impl import StoredBackend
from dstream_state.errors import SettingsError
from dstream_state.sealing import Sealer

if TYPE_CHECKING:
    from dstream_state.memory import MemoryPlace
    from dstream_state.storage import Storage

GROUP = "dstream.backends"
KINDS = ("local", "azurerm", "memory")
_WORKSPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,89}")


def open_backend(
    kind: str,
    settings: Mapping[str, object],
    workspace: str = "default",
    *,
    root: Path,
    encryption: Sealer | None = None,
) -> Backend:
    """Return the backend `kind` (local, azurerm, memory, or an installed one) for `workspace`; nothing is read yet.

    `settings` are the arguments of the `backend` block (text, or true and false); `root` is the configuration's folder.
    Raises SettingsError.
    """
    check_workspace(workspace)
    texts = {name: _text(name, value) for name, value in settings.items() if value is not None}
    if kind == "local":
        from dstream_state.local import LocalStorage

        return StoredBackend(LocalStorage.open(texts, root, workspace), workspace, encryption)
    if kind == "azurerm":
        from dstream_state.azure.settings import open_storage

        return StoredBackend(open_storage(texts, workspace), workspace, encryption)
    if kind == "memory":
        from dstream_state.memory import MemoryPlace

        place = _MEMORY.setdefault(texts.get("name", str(root)), MemoryPlace())
        return StoredBackend(place.storage(workspace), workspace, encryption)
    return StoredBackend(_installed(kind)(texts, root, workspace), workspace, encryption)


def _installed(kind: str) -> Callable[[Mapping[str, str], Path, str], Storage]:
    from importlib.metadata import entry_points

    found = entry_points(group=GROUP)
    for each in found:
        if each.name == kind:
            try:
                opener: Callable[[Mapping[str, str], Path, str], Storage] = each.load()
            except Exception as problem:
                raise SettingsError(f"The backend {kind!r} ({each.value}) cannot be loaded: {problem!r}.") from problem
            return opener
    names = ", ".join([*KINDS[:2], *sorted(found.names)])
    raise SettingsError(f"Unknown backend {kind!r}. The backends are: {names}.")


def check_workspace(name: str) -> None:
    """Raise SettingsError unless `name` can be a workspace's."""
    if not _WORKSPACE.fullmatch(name):
        raise SettingsError(
            f"{name!r} is not a workspace name: up to 90 letters, digits, '-' and '_', starting with a letter or digit."
        )


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise SettingsError(f"{name} of a backend must be a string, not {type(value).__name__}.")
    return value


_MEMORY: dict[str, MemoryPlace] = {}  # By name, so that a second backend of this process sees the same state.
