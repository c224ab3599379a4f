"""The language gives what OpenTofu's gives, save for the differences in docs/coming-from-terraform.md.

The quick tests hold dstream to the recorded facts of OpenTofu. The soak asks OpenTofu itself about all cases and about
random expressions; LANGUAGE_SEEDS says how many seeds it takes (100), LANGUAGE_FIRST the first of them.
"""

from __future__ import annotations

import os

import pytest

from benchmarks.opentofu import build_opentofu
from tests.tofu.language import engine, opentofu, table
from tests.tofu.language.cases import cases, selected
from tests.tofu.language.compare import differences
from tests.tofu.language.fact import UNKNOWN, Fact, read
from tests.tofu.language.grammar import expressions
from tests.tofu.opentofu import installed

FIRST = int(os.environ.get("LANGUAGE_FIRST", "0"))
SEEDS = int(os.environ.get("LANGUAGE_SEEDS", "100"))
BATCH = 10


def test_expressions_give_what_they_give_in_opentofu():
    recorded = table.recorded()
    names = [expression for expression, _ in recorded]
    assert len(names) >= 1_500
    found, excluded = differences(names, engine.facts(names), [fact for _, fact in recorded])
    assert found == [], "\n".join(found)
    assert sum(excluded.values()) <= len(names) // 12, excluded


def test_the_table_has_the_selected_cases():
    missing = set(selected()) - {expression for expression, _ in table.recorded()}
    assert len(missing) < 10, missing  # those for which OpenTofu has no steady answer


@pytest.mark.parametrize(
    "wrong",
    [
        Fact(value=6, type="number"),
        Fact(value="5", type="string"),
        Fact(value=5, type="number", sensitive=(".",)),
        Fact(value=UNKNOWN),
        Fact(error=True),
    ],
)
def test_a_difference_is_found(wrong):
    [ours] = engine.facts(["2 + 3"])
    assert differences(["2 + 3"], [ours], [Fact(value=5, type="number")]) == ([], {})
    [found], _ = differences(["2 + 3"], [ours], [wrong])
    assert found.startswith("2 + 3\n")


def test_facts_are_read_as_they_were_written():
    for expression, fact in table.recorded()[::25]:
        assert read(fact.text()).text() == fact.text(), expression


@pytest.mark.soak
@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, BATCH))
def test_random_expressions_give_what_they_give_in_opentofu(first: int):
    _compare([each for seed in range(first, min(first + BATCH, FIRST + SEEDS)) for each in expressions(seed)])


@pytest.mark.soak
def test_all_cases_give_what_they_give_in_opentofu():
    _compare(list(cases()))


def _compare(names: list[str]) -> None:
    program = installed() or build_opentofu()
    if program is None:
        pytest.skip("there is no Go to build OpenTofu with")
    found, _ = differences(names, engine.facts(names), opentofu.facts(names, program))
    assert found == [], "\n".join(found)
