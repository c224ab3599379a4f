"""The folder of the recording provider, in which its objects and its calls are, and what it does beyond its duty."""

import json
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dstream_sdk as sdk

SETTLE = 0.3
"""Seconds after which a call that was cut off has no more effect."""


@dataclass(frozen=True)
class Settings:
    """What every role of the recorder is configured with."""

    folder: str = sdk.setting(description="where objects, calls and behaviour are")
    password: str = sdk.setting("", sensitive=True)
    region: str = ""
    tables: list[str] = field(default_factory=list)
    size: int = 1
    patience: int = sdk.setting(0, description="seconds that changes of the parts of an output may take")
    bad: str = sdk.setting("", description="a table that a task is refused for")
    retired: list[str] = field(default_factory=list)
    """Containers that a task asks for besides, or, with a leading -, releases."""
    lifecycles: dict[str, str] = field(default_factory=dict)
    """Objects of the type `lifecycle` that an output needs: name to zone, or to `later`, whose size is not known."""


class Life:
    """The process that the provider is: what names it, and how it waits and dies."""

    pid = os.getpid()

    def die(self) -> None:
        """End at this moment."""
        os.kill(self.pid, signal.SIGKILL)

    def sleep(self, seconds: float) -> None:
        """Wait; what has been killed does not come back from it."""
        time.sleep(seconds)


class Store:
    """The folder, as the provider uses it."""

    def __init__(self, folder: str, life: Life) -> None:
        self.folder = Path(folder)
        self.life = life
        self.lock = threading.Lock()

    def log(self, command: str, kind: str, name: str, **more: Any) -> None:
        form = {"command": command, "type": kind, "name": name, "pid": self.life.pid, **more}
        line = json.dumps(form, default=lambda _: {"$withheld": True})
        with (self.folder / "calls.jsonl").open("ab") as file:
            file.write(line.encode() + b"\n")

    def behaviour(self, command: str, name: str) -> dict[str, Any]:
        path = self.folder / "behaviour" / f"{command} {name}.json"
        with self.lock:
            if not path.exists():
                path = path.with_name(f"{command} any.json")
            if not path.exists():
                return {}
            found: dict[str, Any] = json.loads(path.read_text())
            times = found.get("times")
            if times is not None:
                found["times"] = times - 1
                path.write_text(json.dumps(found)) if times > 1 else path.unlink()
        return found

    def path(self, kind: str, name: str) -> Path:
        return self.folder / "objects" / f"{kind} {name.replace('/', '_')}.json"

    def read(self, kind: str, name: str) -> dict[str, Any] | None:
        path = self.path(kind, name)
        return json.loads(path.read_text()) if path.exists() else None

    def write(self, kind: str, name: str, content: dict[str, Any]) -> None:
        path = self.path(kind, name)
        fresh = path.with_name(f".{path.name}.{threading.get_ident()}")
        fresh.write_text(json.dumps(content))
        fresh.replace(path)


ERRORS = {
    "retriable": sdk.RetriableError,
    "invalid": sdk.InvalidError,
    "conflict": sdk.ConflictError,
    "denied": sdk.DeniedError,
    "fatal": sdk.ProviderError,
}


class Act:
    """What the test wants of one call: before the duty is done, and after it."""

    def __init__(self, store: Store, command: str, name: str) -> None:
        self.wanted = store.behaviour(command, name)
        self.store, self.command, self.name = store, command, name

    def before(self) -> None:
        if "gate" in self.wanted:
            gate = self.store.folder / self.wanted["gate"]
            while not gate.exists():
                self.store.life.sleep(0.01)
        self.store.life.sleep(self.wanted.get("slow", 0.0))
        if self.wanted.get("crash") == "before":
            self.store.life.die()
        if "fail" in self.wanted and not self.wanted.get("made"):
            self._fail(None)

    def after(self, found: sdk.Object | None) -> None:
        if self.wanted.get("crash") == "after":
            self.store.life.die()
        if "fail" in self.wanted and self.wanted.get("made"):
            self._fail(found)

    def answer(self, found: sdk.Object) -> sdk.Object:
        """Return what is to be answered: the object, with the attributes that the test gives."""
        given = self.wanted.get("answers")
        return found if given is None else sdk.Object(found.identity, {**found.attributes, **given}, found.private)

    def _fail(self, found: sdk.Object | None) -> None:
        detail = f"told to fail with {self.wanted['fail']} at {self.command} of {self.name}"
        raise ERRORS[self.wanted["fail"]]("Told to fail", detail, object=found, retry_after=self.wanted.get("retry"))
