"""Run seeds: `python -m tests.tofu FIRST [LAST]`; ends with 1 if one of them shows a difference.

`--golden` writes the results of OpenTofu for the seeds of the quick tests. TOFU names the program; without it, one is
built, once. TOFU_WORKERS says how many processes share the seeds (1).
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.opentofu import build_opentofu
from tests.tofu import golden
from tests.tofu.opentofu import installed
from tests.tofu.steps import steps_of
from tests.tofu.trial import Trial, live, trial


def main(arguments: list[str]) -> int:
    """Run the seeds that the arguments name."""
    program = installed() or build_opentofu()
    if program is None:
        return 1
    if arguments[:1] == ["--golden"]:
        for seed in golden.SEEDS:
            steps = steps_of(seed)
            golden.write(seed, steps, list(live(steps, program)))
        return 0
    first, last = int(arguments[0]), int(arguments[-1])
    failed, ended = [], Counter[str]()
    with ProcessPoolExecutor(int(os.environ.get("TOFU_WORKERS", "1"))) as workers:
        for found in workers.map(partial(_trial, program), range(first, last + 1)):
            print(found, flush=True)
            if found.differences:
                failed.append(found.seed)
            elif found.ended:
                ended[found.ended] += 1
    print(f"{sum(ended.values())} of {last - first + 1} seeds end early by a rule: {dict(ended)}")
    print(f"{len(failed)} of {last - first + 1} seeds differ: {failed}")
    return 1 if failed else 0


def _trial(program: Path, seed: int) -> Trial:
    steps = steps_of(seed)
    return trial(seed, steps, live(steps, program))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
