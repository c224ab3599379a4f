"""Trial: one walk through the stages, what it has made in Azure, and its removal."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from examples.try_azure.checks import Check, Different, Stage
from examples.try_azure.report import Report
from examples.try_azure.resource_manager import Refused, ResourceManager

GROUPS = "2021-04-01"
TAG = {"created-by": "dstream-try-azure"}


Command = Callable[[Path, Sequence[str], Mapping[str, str]], tuple[int, str]]
"""Types a dstream command in a folder with further variables; returns its exit code and what it printed."""


def typed(folder: Path, arguments: Sequence[str], variables: Mapping[str, str]) -> tuple[int, str]:
    """Type a command as a user would; see `Command`."""
    programs = Path(sys.executable).parent
    path = f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    done = subprocess.run(
        [str(programs / "dstream"), *arguments],
        cwd=folder,
        env={**os.environ, **variables, "PATH": path, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


class Trial:
    """What the stages share. Names of resources end in `mark`, which is new each time."""

    def __init__(
        self,
        manager: ResourceManager,
        subscription: str,
        folder: Path,
        report: Report,
        *,
        group: str = "",
        location: str = "westeurope",
        wait: Callable[[float], None] = time.sleep,
        command: Command = typed,
        sql_options: str = "Encrypt=yes",
        sql_port: int = 1433,
        say: Callable[[str], None] = print,
    ) -> None:
        self.manager, self.subscription, self.folder, self.report = manager, subscription, folder, report
        self.mark = secrets.token_hex(4)
        self.own_group = not group
        self.group = group or f"dstream-try-{self.mark}"
        self.location, self.wait, self.say = location, wait, say
        self.command = command
        self.sql_options, self.sql_port = sql_options, sql_port
        self.found: dict[str, Any] = {}
        """What stages leave for those after them."""
        self._made: list[tuple[str, str]] = []
        report.secret(subscription)

    @property
    def group_path(self) -> str:
        """The resource group."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"

    def create(self, path: str, version: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create a resource within the group; it is noted for removal before it is asked for."""
        full = f"{self.group_path}/providers/{path}"
        self._made.append((full, version))
        return self.manager.put(full, version, {"tags": TAG, "location": self.location, **body})

    def action(self, path: str, version: str) -> dict[str, Any]:
        """Return the answer to an action on a resource within the group."""
        return self.manager.post(f"{self.group_path}/providers/{path}", version)

    def walk(self, stages: tuple[Stage, ...]) -> None:
        """Run the stages, and remove what they made, also after a failure or an interruption."""
        stopped = ""
        try:
            for stage in stages:
                stopped = self._stage(stage, stopped)
        finally:
            self.remove()

    def _stage(self, stage: Stage, stopped: str) -> str:
        """Run one stage; return why the following ones cannot run, empty if they can."""
        self.say(f"\n{stage.title} ({stage.cost})")
        try:
            if not stopped:
                stage.prepare(self)
        except KeyboardInterrupt:
            stopped = "interrupted"
        except Exception as problem:  # noqa: BLE001 - whatever it is, it is what the report is for
            why = f"{type(problem).__name__}: {problem}"
            self._add(stage.checks[0], "failed", f"the resources could not be created: {why}")
            for check in stage.checks[1:]:
                self._add(check, "skipped", f"needs the resources of {stage.name}")
            return f"{stage.name} is missing" if stage.name in ("sign-in", "group") else ""
        for check in stage.checks:
            if stopped:
                self._add(check, "skipped", stopped)
                continue
            started = time.monotonic()
            try:
                outcome, found = "ok", check.run(self)
            except Different as problem:
                outcome, found = "different", problem
            except KeyboardInterrupt:
                outcome, found = "skipped", "interrupted"
                stopped = "interrupted"
            except Exception as problem:  # noqa: BLE001 - as above
                outcome, found = "failed", f"{type(problem).__name__}: {problem}"
            self._add(check, outcome, found, time.monotonic() - started)
        return stopped

    def _add(self, check: Check, outcome: str, found: object, seconds: float = 0.0) -> None:
        self.say(self.report.line(self.report.add(check, outcome, found, seconds)))

    def make_group(self) -> None:
        """Create the resource group, unless one was given."""
        if self.own_group:
            self._made.append((self.group_path, GROUPS))
            self.manager.put(self.group_path, GROUPS, {"location": self.location, "tags": TAG})
            self.say(f"Resource group {self.group} created; it is deleted at the end.")

    def remove(self) -> None:
        """Delete the resource group, or what was made in one that was given, newest first; note what is left."""
        made = self._made[:1] if self.own_group else self._made[::-1]
        if made:
            self.say(f"\nDeleting {self.group if self.own_group else f'what was created in {self.group}'} ...")
        for path, version in made:
            name = path.rpartition("/")[2]
            try:
                self.manager.delete(path, version)
            except KeyboardInterrupt:
                self.report.left.append(f"{name}: interrupted; delete it in the portal")
            except (Refused, OSError) as problem:
                self.report.left.append(f"{name}: {self.report.clean(str(problem))}; delete it in the portal")
        self._made = []
        if made and not self.report.left:
            self.report.notes.append("Everything that was created is deleted.")
