"""Run seeds: `python -m tests.tofu FIRST [LAST]`; ends with 1 if one of them shows a difference.

`--golden` writes the results of OpenTofu for the seeds of the quick tests. TOFU names the program; without it, one is
built, once.
"""

from __future__ import annotations

import sys

from benchmarks.opentofu import build_opentofu
from tests.tofu import golden
from tests.tofu.opentofu import installed
from tests.tofu.steps import steps_of
from tests.tofu.trial import live, trial


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
    failed = []
    for seed in range(first, last + 1):
        steps = steps_of(seed)
        found = trial(seed, steps, live(steps, program))
        print(found, flush=True)
        if found.differences:
            failed.append(seed)
    print(f"{len(failed)} of {last - first + 1} seeds differ: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
