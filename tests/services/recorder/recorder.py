"""Recorder: the test's side of the recording provider. It looks at what really exists, and says what is to go wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.shebang import shebang

ROOT = Path(__file__).resolve().parents[3]
ROLES = {"rec": "resource", "rec-in": "in", "rec-out": "out"}
"""The programs, and the role that each plays."""
PROGRAM = """
import sys
sys.path[:0] = [{root!r}, {sdk!r}]
from tests.services.recorder.provider import run
run({role!r})
"""


@dataclass(frozen=True)
class Call:
    """One line of the log: `command` is create, update, delete, read or find, or an end: created, updated, deleted."""

    command: str
    type: str
    name: str
    more: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.command} {self.name}"


class Recorder:
    """A folder of objects, the log of calls, and the executables `rec`, `rec-in` and `rec-out` in `bin`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "recorder"
        for name in ("objects", "behaviour"):
            (self.folder / name).mkdir(parents=True)
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name, role in ROLES.items():
            text = PROGRAM.format(root=str(ROOT), sdk=str(ROOT / "providers/sdk"), role=role)
            (self.bin / name).write_text(shebang("-S") + text)
            (self.bin / name).chmod(0o755)

    # -- what exists ---------------------------------------------------------------------------------

    def objects(self) -> dict[str, dict[str, Any]]:
        """Return the attributes of all that exists, by type and name."""
        found: dict[str, dict[str, Any]] = {}
        for path in sorted((self.folder / "objects").glob("[!.]*.json")):
            found[path.stem] = json.loads(path.read_text())["attributes"]
        return found

    def names(self) -> list[str]:
        """Return the names of all that exists, sorted; a name that exists twice is there twice."""
        return sorted(attributes["name"] for attributes in self.objects().values())

    def put(self, kind: str, name: str, **attributes: Any) -> None:
        """Make an object behind the engine's back, or change one."""
        path = self.folder / "objects" / f"{kind} {name}.json"
        stored = json.loads(path.read_text()) if path.exists() else {"intent": None, "serial": 1, "id": name}
        plain = {"name": name, "size": 1, "zone": "here", "tags": [], "uid": f"uid-of-{name}"}
        before = stored.get("attributes", plain)
        path.write_text(json.dumps({**stored, "attributes": {**before, **attributes}}))

    def vanish(self, kind: str, name: str) -> None:
        """Take an object away behind the engine's back."""
        (self.folder / "objects" / f"{kind} {name}.json").unlink()

    # -- what was called -----------------------------------------------------------------------------

    def calls(self, *commands: str) -> list[Call]:
        """Return the calls so far, all or those of some commands, in their order."""
        path = self.folder / "calls.jsonl"
        found = []
        text = path.read_text() if path.exists() else ""
        for line in text.split("\n")[:-1]:  # a last line without its end is still being written
            form = json.loads(line)
            call = Call(form.pop("command"), form.pop("type"), form.pop("name"), form)
            if not commands or call.command in commands:
                found.append(call)
        return found

    def changes(self) -> list[str]:
        """Return what was done, as `created a`, in the order of the ends."""
        return [str(call) for call in self.calls("created", "updated", "deleted")]

    def forget_calls(self) -> None:
        """Start a new log."""
        (self.folder / "calls.jsonl").unlink(missing_ok=True)

    # -- what is to go wrong -------------------------------------------------------------------------

    def on(self, command: str, name: str, **behaviour: Any) -> None:
        """Say what happens at the next `times` (default: all) calls of a command about a name, or about `any`.

        `fail`: an error of that class, with `retry` its retry_after, and with `made` only after it is done, with the
        object in the error. `answers`: attributes that the answer has in place of the real ones. `slow`: seconds
        before. `crash`: "before" or "after" it is done. `gate`: wait until
        `open_gate` of that name.
        """
        (self.folder / "behaviour" / f"{command} {name}.json").write_text(json.dumps(behaviour))

    def behave(self) -> None:
        """Let nothing go wrong any more."""
        for path in (self.folder / "behaviour").iterdir():
            path.unlink()

    def open_gate(self, name: str) -> None:
        """Let those go on who wait at a gate."""
        (self.folder / name).touch()
