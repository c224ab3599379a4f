"""Opening: from a backend's name and settings, as the configuration gives them, to a `Backend`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .backend import Backend
from .crypt import Sealer
from .errors import SettingsError
from .stored import StoredBackend

if TYPE_CHECKING:
    from .memory import MemoryPlace

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
    """Return the backend `kind` (local, azurerm, memory) for `workspace`; nothing is read or made yet.

    `settings` are the arguments of the `backend` block (text, or true and false); `root` is the
    configuration's folder. Raises SettingsError.
    """
    check_workspace(workspace)
    texts = {name: _text(name, value) for name, value in settings.items() if value is not None}
    if kind == "local":
        from .local import LocalStorage

        return StoredBackend(LocalStorage.open(texts, root, workspace), workspace, encryption)
    if kind == "azurerm":
        from .azure_settings import open_storage

        return StoredBackend(open_storage(texts, workspace), workspace, encryption)
    if kind == "memory":
        from .memory import MemoryPlace

        place = _PLACES.setdefault(texts.get("name", str(root)), MemoryPlace())
        return StoredBackend(place.storage(workspace), workspace, encryption)
    raise SettingsError(f"there is no backend {kind!r}; there are {', '.join(KINDS[:2])}.")


def check_workspace(name: str) -> None:
    """Raise SettingsError unless `name` can be a workspace's."""
    if not _WORKSPACE.fullmatch(name):
        raise SettingsError(
            f"{name!r} cannot be a workspace's name: letters, digits, '-' and '_', at most 90, a letter or digit first."
        )


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise SettingsError(f"{name} of a backend is a text, not {type(value).__name__}.")
    return value


_PLACES: dict[str, MemoryPlace] = {}  # By name, so that a second backend of this process sees the same state.
