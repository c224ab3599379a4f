"""Run seeds: `python -m tests.oracle FIRST [LAST]`; ends with 1 if one of them shows a difference."""

from __future__ import annotations

import sys
import time

from tests.oracle.trial import SETTINGS, trial
from tests.services.postgres import EmbeddedPostgres


def main(arguments: list[str]) -> int:
    """Run the seeds that the arguments name."""
    first = int(arguments[0])
    last = int(arguments[1]) if len(arguments) > 1 else first
    failed = []
    with EmbeddedPostgres(settings=SETTINGS) as server:
        for seed in range(first, last + 1):
            began = time.monotonic()
            try:
                outcome = trial(server, seed)
            except Exception as problem:  # noqa: BLE001 - one seed's failure leaves the others to be run
                print(f"seed {seed}: {type(problem).__name__}: {problem}", flush=True)
                failed.append(seed)
                continue
            print(f"{outcome} ({time.monotonic() - began:.1f} s)", flush=True)
            for sample in outcome.counts.samples:
                print(f"    refused by the source: {sample}", flush=True)
            if outcome.problems:
                failed.append(seed)
    print(f"{len(failed)} of {last - first + 1} seeds failed: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
