"""Trial: the steps of one seed, carried out by both, up to the first difference."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.tofu.compare import (
    kept_by_one,
    outcome_differences,
    plan_differences,
    planned_otherwise,
    refused_by_opentofu,
    state_differences,
)
from tests.tofu.engine import Dstream
from tests.tofu.opentofu import OpenTofu
from tests.tofu.ordering import violations
from tests.tofu.results import Result
from tests.tofu.steps import Step


@dataclass
class Trial:
    """What the steps of a seed have shown."""

    seed: int
    steps: list[Step]
    theirs: list[Result] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    ended: str = ""
    """The rule that ended the trial before its last step."""

    def __str__(self) -> str:
        number = len(self.theirs)
        if not self.differences:
            ended = f", ended by the rule {self.ended}" if self.ended else ""
            return f"seed {self.seed}: {number} of {len(self.steps)} steps, no difference{ended}"
        step = self.steps[number - 1]
        options = {
            name: value
            for name, value in vars(step).items()
            if value and name not in ("text", "needs", "needs_entirely", "needs_recorded")
        }
        before = self.steps[number - 2].text if number > 1 else ""
        return "\n".join(
            [
                f"seed {self.seed}, step {number}: DIFFERENT, options {options}",
                *(f"  {each}" for each in self.differences),
                "  -- before", before, "  -- now", step.text,
            ]
        )  # fmt: skip


def trial(seed: int, steps: list[Step], theirs: Iterable[Result]) -> Trial:
    """Carry out steps with dstream, and compare with the results of OpenTofu, which may be made meanwhile."""
    found = Trial(seed, steps)
    folder = Path(tempfile.mkdtemp(prefix="tofu-"))
    try:
        ours = Dstream(folder)
        earlier: Step | None = None
        for step, their in zip(steps, theirs, strict=False):
            found.theirs.append(their)
            found.ended = refused_by_opentofu(their)
            if found.ended:
                break
            our = ours.step(step)
            found.ended = planned_otherwise(step, our, their)
            if not found.ended:
                found.differences = plan_differences(step, our, their)
                found.ended, apart = kept_by_one(step, earlier, our, their)
                found.differences += (
                    state_differences(our, their, apart) if found.ended else outcome_differences(our, their)
                )
            found.differences += [f"order of dstream: {each}" for each in violations(step, earlier, our)]
            found.differences += [
                f"order of OpenTofu: {each}" for each in violations(step, earlier, their, direct=True)
            ]
            if found.differences or found.ended:
                break
            earlier = step
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def live(steps: Iterable[Step], program: Path) -> Iterable[Result]:
    """Yield the results of OpenTofu for steps."""
    with tempfile.TemporaryDirectory(prefix="tofu-") as folder:
        tofu = OpenTofu(Path(folder), program)
        for step in steps:
            yield tofu.step(step)
