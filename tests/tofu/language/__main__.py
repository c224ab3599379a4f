"""Compare random expressions: `python -m tests.tofu.language FIRST [LAST]`; ends with 1 if there is a difference.

`--table` renews the table of facts: OpenTofu is asked again about the cases that are selected. `--all` compares all
cases. `-e EXPRESSION` shows what both give. TOFU names the program; without it, one is built, once.
"""

from __future__ import annotations

import sys
from collections import Counter

from benchmarks.opentofu import build_opentofu
from tests.tofu.language import engine, opentofu, table
from tests.tofu.language.cases import cases, selected
from tests.tofu.language.compare import differences
from tests.tofu.language.grammar import expressions
from tests.tofu.opentofu import installed

SEEDS_AT_ONCE = 8


def main(arguments: list[str]) -> int:
    """Run what the arguments name."""
    program = installed() or build_opentofu()
    if program is None:
        return 1
    match arguments:
        case ["--table"]:
            chosen = list(selected())
            found = zip(chosen, opentofu.facts(chosen, program), strict=True)
            table.write((expression, fact) for expression, fact in found if fact is not None)
            return 0
        case ["-e", expression]:
            [ours], [theirs] = engine.facts([expression]), opentofu.facts([expression], program)
            print(f"dstream  {ours.text()}\nOpenTofu {theirs.text() if theirs is not None else 'unsteady'}")
            return 0
        case ["--all"]:
            batches = [list(cases())]
        case _:
            first, last = int(arguments[0]), int(arguments[-1])
            batches = [
                [each for seed in range(start, min(start + SEEDS_AT_ONCE, last + 1)) for each in expressions(seed)]
                for start in range(first, last + 1, SEEDS_AT_ONCE)
            ]
    count, different, excluded = 0, 0, Counter[str]()
    for batch in batches:
        found, rules = differences(batch, engine.facts(batch), opentofu.facts(batch, program))
        count, different = count + len(batch), different + len(found)
        excluded.update(rules)
        print("\n".join([*found, f"{count} expressions so far, {different} differ"]), flush=True)
    print(f"{different} of {count} expressions differ; meant differences by rule: {dict(excluded)}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
