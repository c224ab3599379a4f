"""The facts of OpenTofu: one plan for many expressions, each an output (for its type) and an object (for its marks)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any

from tests.tofu.language import inputs
from tests.tofu.language.fact import UNKNOWN, Fact

BATCH = 500
_FILE = re.compile(r"e(\d+)\.tf$")
_VALUE = re.compile(r'(?:terraform_data\.v|output value "v)(\d+)')
"""In an error without a place: infinity cannot be written to a plan."""


def facts(expressions: Sequence[str], program: Path) -> list[Fact | None]:
    """Return what OpenTofu gives each expression; None if it gives one value here and another there."""
    found: list[Fact | None] = []
    for first in range(0, len(expressions), BATCH):
        with tempfile.TemporaryDirectory(prefix="tofu-language-") as folder:
            found += _batch(expressions[first : first + BATCH], program, Path(folder))
    return found


def _batch(expressions: Sequence[str], program: Path, folder: Path) -> list[Fact | None]:
    inputs.write_files(folder)
    (folder / "inputs.tf").write_text(inputs.configuration(), "utf-8")
    for index, each in enumerate(expressions):
        block = f'output "v{index}" {{\n  sensitive = true\n  value = {each}\n}}\n'
        block += f'resource "terraform_data" "v{index}" {{\n  input = {each}\n}}\n'
        (folder / f"e{index}.tf").write_text(block, "utf-8")
    failed: set[int] = set()
    ready = False
    while True:
        if not ready:
            wrong = _errors(_run(program, folder, "init", "-json"))
            ready = not wrong
        if ready:
            wrong = _errors(_run(program, folder, "plan", "-json", "-out=plan.bin", "-lock=false"))
        if not wrong:
            break
        for index in wrong:
            failed.add(index)
            (folder / f"e{index}.tf").unlink(missing_ok=True)
    form = json.loads(_run(program, folder, "show", "-json", "plan.bin"), parse_float=Decimal)
    outputs = form["planned_values"].get("outputs", {})
    changes = {each["name"]: each["change"] for each in form["resource_changes"]}
    return [
        Fact(error=True) if index in failed else _fact(outputs[f"v{index}"], changes[f"v{index}"])
        for index in range(len(expressions))
    ]


def _run(program: Path, folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "TF_CLI_CONFIG_FILE": "/dev/null", "CHECKPOINT_DISABLE": "1", "TZ": "UTC"}
    done = subprocess.run(
        [program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout


def _errors(output: str) -> set[int]:
    """Return the indexes of the expressions with errors; raise RuntimeError for errors elsewhere."""
    found = set()
    for line in output.splitlines():
        form = json.loads(line) if line.startswith("{") else {}
        diagnostic = form.get("diagnostic", {})
        if diagnostic.get("severity") == "error":
            indexes = _FILE.findall(diagnostic.get("range", {}).get("filename", "")) or _VALUE.findall(
                diagnostic["summary"] + diagnostic["detail"]
            )
            if not indexes:
                raise RuntimeError(f"OpenTofu: {diagnostic}")
            found |= set(map(int, indexes))
    return found


def _fact(output: dict[str, Any], change: dict[str, Any]) -> Fact | None:
    value = _with_unknown(change["after"].get("input"), change["after_unknown"].get("input", False))
    if ("type" in output) == _has_unknown(value):
        return None  # members of an object are compared in any order, and the first unknown one ends it
    sensitive = change["after_sensitive"]
    paths = _paths(sensitive.get("input", False) if isinstance(sensitive, dict) else sensitive, "")
    return Fact(value=value, type=output.get("type"), sensitive=tuple(sorted(paths)))


def _has_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return value == UNKNOWN or any(map(_has_unknown, value.values()))
    return any(map(_has_unknown, value)) if isinstance(value, list) else False


def _with_unknown(value: Any, unknown: Any) -> Any:
    if unknown is True:
        return UNKNOWN
    if isinstance(unknown, dict):
        names = {**(value or {}), **unknown}
        return {name: _with_unknown((value or {}).get(name), unknown.get(name, False)) for name in names}
    if isinstance(unknown, list) and isinstance(value, list):
        return [_with_unknown(each, mark) for each, mark in zip_longest(value, unknown[: len(value)], fillvalue=False)]
    return value


def _paths(marks: Any, here: str) -> list[str]:
    if marks is True:
        return [here or "."]
    if isinstance(marks, dict):
        return [path for name, inner in marks.items() for path in _paths(inner, f"{here}.{name}")]
    if isinstance(marks, list):
        return [path for index, inner in enumerate(marks) for path in _paths(inner, f"{here}[{index}]")]
    return []
