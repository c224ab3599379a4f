"""The results of OpenTofu: its program, run in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.opentofu import program
from tests.tofu.results import Event, Result, anonymous, changes, kept
from tests.tofu.steps import Step

_ENVIRONMENT = {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull}


def installed() -> Path | None:
    """Return the program that TOFU names, or the one that was built on this machine; None if there is none."""
    found = Path(os.environ.get("TOFU") or program())
    return found if found.exists() else None


class OpenTofu:
    """One folder with a configuration and its state."""

    def __init__(self, folder: Path, executable: Path) -> None:
        self._folder, self._executable = folder, executable
        folder.mkdir(parents=True, exist_ok=True)

    def step(self, step: Step) -> Result:
        """Carry out one step."""
        (self._folder / "main.tf").write_text(step.text)
        before = self._ids()
        for address in step.taint:
            if address in before:
                self._run("taint", address)
        before = self._ids()
        found = Result()
        options = [f"-target={each}" for each in step.targets] + [f"-exclude={each}" for each in step.exclude]
        options += [f"-replace={each}" for each in step.replace] + (["-destroy"] if step.destroy else [])
        lines = self._json("plan", "-out=made.plan", *options)
        found.refused = _errors(lines)
        if not found.refused:
            form = self._show()
            found.plan = changes(form.get("resource_changes", []))
            outputs = form.get("output_changes", {})
            found.outputs = {name: each["actions"] for name, each in outputs.items() if each["actions"] != ["no-op"]}
            lines = self._json("apply", "made.plan")
            found.failed, found.events = _errors(lines), _events(lines)
        found.state, found.kept = self._objects(), kept(before, self._ids())
        found.again_refused = _errors(self._json("plan", "-out=made.plan"))
        if not found.again_refused:
            found.again = changes(self._show().get("resource_changes", []))
        return found

    def _show(self) -> Any:
        return json.loads(self._run("show", "-json", "made.plan"))

    def _json(self, command: str, *options: str) -> list[dict[str, Any]]:
        lines = self._run(command, "-json", "-input=false", *options).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(self._executable), *arguments],
            cwd=self._folder, env={**os.environ, **_ENVIRONMENT}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode and not done.stdout:
            raise AssertionError(f"tofu {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def _instances(self) -> list[tuple[str, dict[str, Any]]]:
        path = self._folder / "terraform.tfstate"
        if not path.exists():
            return []
        found = []
        for resource in json.loads(path.read_text())["resources"]:
            for each in resource["instances"]:
                key = f"[{json.dumps(each['index_key'])}]" if "index_key" in each else ""
                deposed = "#deposed" if "deposed" in each else ""
                found.append((f"{resource['type']}.{resource['name']}{key}{deposed}", each))
        return found

    def _ids(self) -> dict[str, str]:
        return {address: each["attributes"]["id"] for address, each in self._instances()}

    def _objects(self) -> dict[str, dict[str, Any]]:
        found = {}
        for address, each in self._instances():
            values = {name: anonymous(_value(value)) for name, value in each["attributes"].items() if value is not None}
            found[address] = {"values": values, **({"tainted": True} if each.get("status") == "tainted" else {})}
        return dict(sorted(found.items()))


def _value(value: Any) -> Any:
    """Return the value of a dynamic attribute, which the state has with its type."""
    return value["value"] if isinstance(value, dict) and set(value) == {"value", "type"} else value


def _errors(lines: list[dict[str, Any]]) -> list[str]:
    found = (line["diagnostic"] for line in lines if line["type"] == "diagnostic")
    return sorted({each["summary"] for each in found if each["severity"] == "error"})


def _events(lines: list[dict[str, Any]]) -> list[Event]:
    kinds = {"apply_start": "start", "apply_complete": "end", "apply_errored": "end"}
    return [
        Event(kinds[line["type"]], line["hook"]["action"], line["hook"]["resource"]["addr"])
        for line in lines
        if line["type"] in kinds
    ]
