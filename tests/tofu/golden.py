"""The results of OpenTofu as files, a file for each seed, with the steps that they belong to."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from tests.tofu.results import Event, Result
from tests.tofu.steps import Step

FOLDER = Path(__file__).parent / "golden"
SEEDS = (3, 7, 14, 21, 23, 25, 33, 100)


def write(seed: int, steps: list[Step], results: list[Result]) -> None:
    """Write the file of a seed."""
    FOLDER.mkdir(exist_ok=True)
    form = [{"step": asdict(step), "result": asdict(result)} for step, result in zip(steps, results, strict=True)]
    (FOLDER / f"{seed}.json").write_text(json.dumps(form, indent=1, sort_keys=True) + "\n")


def read(seed: int) -> tuple[list[Step], list[Result]]:
    """Return the steps of a seed, and the results of OpenTofu for them."""
    steps, results = [], []
    for each in json.loads((FOLDER / f"{seed}.json").read_text()):
        step = {name: tuple(value) if isinstance(value, list) else value for name, value in each["step"].items()}
        steps.append(Step(**step))
        result = Result(**each["result"])
        result.events = [Event(**event) for event in each["result"]["events"]]
        results.append(result)
    return steps, results
