"""dstream and OpenTofu do the same, save for the differences in docs/coming-from-terraform.md.

The seeds of the quick tests run against OpenTofu where it was built (`python -m tests.tofu` builds it), otherwise
against its recorded results. TOFU_SEEDS says how many seeds the soak takes (300), TOFU_FIRST the first of them.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from benchmarks.opentofu import build_opentofu
from tests.tofu import golden
from tests.tofu.configuration import Block, Configuration, From, Literally
from tests.tofu.opentofu import installed
from tests.tofu.ordering import violations
from tests.tofu.results import Event, Result
from tests.tofu.steps import Step, steps_of
from tests.tofu.trial import live, trial

SEEDS = int(os.environ.get("TOFU_SEEDS", "300"))
FIRST = int(os.environ.get("TOFU_FIRST", "1000"))
BATCH = 10


@pytest.mark.parametrize("seed", golden.SEEDS)
def test_dstream_does_what_opentofu_does(seed: int):
    steps, recorded = golden.read(seed)
    program = installed()
    found = trial(seed, steps, recorded if program is None else live(steps, program))
    assert not found.differences, str(found)


def test_a_difference_is_found():
    steps, recorded = golden.read(golden.SEEDS[0])
    address = next(iter(recorded[0].plan))
    changed = {**recorded[0].plan, address: {**recorded[0].plan[address], "actions": "update"}}
    assert trial(0, steps, [replace(recorded[0], plan=changed), *recorded[1:]]).differences


def test_a_broken_order_is_found():
    config = Configuration({"a": Block("a", input=Literally(1)), "b": Block("b", input=From("a", "output"))})
    step = Step(config.text(), needs={"a": (), "b": ("a",)})
    names = [("start", "b"), ("start", "a"), ("end", "a"), ("end", "b")]
    events = [Event(kind, "create", f"terraform_data.{name}") for kind, name in names]
    expected = "create or update of terraform_data.b starts before create or update of terraform_data.a ends"
    assert violations(step, None, Result(events=events)) == [expected]
    assert violations(step, None, Result(events=[*events[1:3], events[0], events[3]])) == []


@pytest.mark.soak
@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, BATCH))
def test_many_seeds_show_no_difference(first: int):
    program = installed() or build_opentofu()
    if program is None:
        pytest.skip("there is no Go to build OpenTofu with")
    trials = []
    for seed in range(first, min(first + BATCH, FIRST + SEEDS)):
        steps = steps_of(seed)
        trials.append(trial(seed, steps, live(steps, program)))
    assert not [str(each) for each in trials if each.differences]
