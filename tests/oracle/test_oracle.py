"""The oracle's seeds: a few in every run of the tests, as many as wanted in `make soak`.

ORACLE_SEEDS says how many seeds the soak takes (500), ORACLE_FIRST the first of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.oracle.mutants import MUTANTS, WITHIN
from tests.oracle.trial import SETTINGS, trial
from tests.oracle.values import NOT_STORED, OWN_TYPES, SAMPLES, array_of
from tests.oracle.values import literals as literals_of
from tests.services.postgres import EmbeddedPostgres

FEW = (1, 2, 3)
SEEDS = int(os.environ.get("ORACLE_SEEDS", "500"))
FIRST = int(os.environ.get("ORACLE_FIRST", "1000"))
BATCH = 10
TRIALS = 3
"""How often a mutant's seed is tried until it is found; nearly always once is enough."""


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(settings=SETTINGS) as running:
        yield running


def test_every_type_of_the_catalogue_has_values(server: EmbeddedPostgres):
    stored = server.execute(
        "SELECT format_type(oid, -1) FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace"
        " AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A'"
    )
    with server.connect() as connection, connection.cursor() as cursor:
        for statement in OWN_TYPES:
            cursor.execute(statement)
        known = set()
        for name, literals in SAMPLES.items():
            cursor.execute("SELECT format_type(%s::regtype, -1)", (name.partition("(")[0],))
            known.add(cursor.fetchone()[0])
            for literal in literals:
                cursor.execute(
                    f"SELECT %s::{name}", (literal.encode().decode("unicode_escape") if name == '"char"' else literal,)
                )
            for array in literals_of(array_of(name)) if literals else ():
                cursor.execute(f"SELECT %s::{array_of(name)}", (array,))
    assert {name for (name,) in stored} - known - NOT_STORED == set()


@pytest.mark.parametrize("seed", FEW)
def test_dstream_and_native_replication_end_as_the_source_does(server: EmbeddedPostgres, seed: int):
    outcome = trial(server, seed, kills=seed % 2 == 1)
    assert not outcome.problems, str(outcome)


@pytest.mark.soak
@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, BATCH))
def test_many_seeds_end_as_the_source_does(server: EmbeddedPostgres, first: int):
    outcomes = [trial(server, seed) for seed in range(first, min(first + BATCH, FIRST + SEEDS))]
    assert not [str(outcome) for outcome in outcomes if outcome.problems]


@pytest.mark.parametrize("mutant", sorted(MUTANTS))
def test_a_mutant_is_found_by_its_seed(server: EmbeddedPostgres, mutant: str):
    # Which changes share a flush depends on the machine, and with it whether there is anything to find in one trial.
    assert any(trial(server, MUTANTS[mutant].seed, mutant=mutant).problems for _ in range(TRIALS))


@pytest.mark.soak
@pytest.mark.parametrize("mutant", sorted(MUTANTS))
def test_a_mutant_is_found_within_fifty_seeds(server: EmbeddedPostgres, mutant: str):
    # "Any" ends with the first seed that finds it.
    assert any(trial(server, seed, mutant=mutant).problems for seed in range(FIRST, FIRST + WITHIN))
