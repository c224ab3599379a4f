"""Backend record: which backend this folder was initialized with, so that another one is noticed.

It is `.dstream/backend.json` and holds no credentials. Without it, state in the default local place counts as recorded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, ValidationError, convert, field

from dstream.bounded_json import InvalidJson, parse_object
from dstream.diagnostics import DiagnosticsError, error
from dstream.files import LARGEST_TEXT, read_file, replace_file
from dstream_state import Backend

DATA_DIR = ".dstream"
CREDENTIALS = frozenset(
    ("access_key", "sas_token", "connection_string", "client_secret", "client_certificate_password")
)
"""Backend arguments that are secrets: they are in no message and in no file."""
FORMAT_VERSION = 1
_FILE = "backend.json"


class BackendRecord(Struct, frozen=True):
    """A backend: its type, its settings without credentials, those of them from `-backend-config`, and its place.

    Two backends with the same `place` have the same state.
    """

    type: str
    place: str
    settings: Mapping[str, object] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, kind: str, settings: Mapping[str, object], overrides: Mapping[str, str], backend: Backend
    ) -> BackendRecord:
        """Return the record of an opened backend."""
        kept = {name: value for name, value in settings.items() if name not in CREDENTIALS}
        if kind == "local":
            place = f"local state in {os.path.normpath(str(settings.get('path') or '.dstream/state'))}"
        else:
            place = backend.at("default").describe()
        return cls(kind, place, kept, overrides)


def recorded_backend(root: Path) -> BackendRecord | None:
    """Return the backend that the configuration in `root` was used with, None if it has no state yet.

    Raises DiagnosticsError if the record cannot be read.
    """
    path = root / DATA_DIR / _FILE
    try:
        form = parse_object(read_file(path, LARGEST_TEXT))
        record = convert({name: form[name] for name in ("type", "place", "settings", "overrides")}, BackendRecord)
    except FileNotFoundError:
        record = BackendRecord("local", "local state in .dstream/state")
    except (OSError, InvalidJson, ValidationError, KeyError) as problem:
        why = f"{type(problem).__name__}: {problem}"
        detail = f"{path} cannot be read ({why}). Delete it, then run: dstream init -reconfigure"
        raise DiagnosticsError(error("Unreadable backend record", detail)) from problem
    if record.type == "local" and not _has_local_state(root / str(record.settings.get("path") or ".dstream/state")):
        return None if not record.overrides else BackendRecord("local", "", record.settings, record.overrides)
    return record


def save_record(root: Path, record: BackendRecord) -> None:
    """Record the backend that the configuration in `root` uses from now on."""
    folder = root / DATA_DIR
    folder.mkdir(mode=0o700, exist_ok=True)
    form = {
        "format_version": FORMAT_VERSION,
        "type": record.type,
        "place": record.place,
        "settings": dict(record.settings),
        "overrides": dict(record.overrides),
    }
    replace_file(folder / _FILE, (json.dumps(form, indent=1) + "\n").encode())


def check_unchanged(recorded: BackendRecord | None, record: BackendRecord) -> None:
    """Raise DiagnosticsError if the state is in another place than the configured backend's."""
    if recorded is None or not recorded.place or recorded.place == record.place:
        return
    detail = (
        f"The state of this configuration is {recorded.place}. The configured backend is {record.place}, where dstream "
        "would start with another state. To move the state with its workspaces, history, checkpoints and dead letters, "
        "run: dstream init -migrate-state. To use the state of the new backend and leave the old one where it is, run: "
        "dstream init -reconfigure."
    )
    raise DiagnosticsError(error("Backend changed", detail))


def _has_local_state(folder: Path) -> bool:
    return any(path.suffix in (".json", ".meta") for path in folder.glob("*/state.*"))
