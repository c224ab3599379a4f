"""The conformance kit holds the PostgreSQL provider against the rules, on a server of its own."""

from pathlib import Path

import pytest

from dstream.plugins import ProviderSource, resolve
from dstream.plugins.conformance import run_kit


@pytest.mark.parametrize("role", ["input", "output"])
def test_the_postgresql_provider_keeps_the_rules(postgres, role):
    name = f"conformance_{role}"
    postgres.create_database(name)
    config = {"connection_string": postgres.dsn(name)}
    if role == "input":
        rows = "INSERT INTO t SELECT generate_series(1, 50)"
        postgres.execute(f"CREATE TABLE t (id int PRIMARY KEY); {rows}", dbname=name)
        config |= {"tables": ["t"], "snapshot": "initial"}
    else:
        config |= {"create_tables": True}
    results = run_kit(resolve(ProviderSource("name", "postgres"), Path.cwd(), role), config)
    assert [result for result in results if result.outcome == "failed"] == []
    passed = {result.rule for result in results if result.outcome == "passed"}
    expected = {"R2", "R21", "R23", "R24", "R25", "R28", "R44", "R45"} if role == "input" else {"R31", "R34", "R37"}
    assert expected <= passed
    left = postgres.execute("SELECT pubname FROM pg_publication", dbname=name)
    assert left == [], "the kit takes away what it has made"
    slots = "SELECT slot_name FROM pg_replication_slots WHERE database = %s"
    assert postgres.execute(slots, (name,)) == []
