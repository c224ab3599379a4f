"""The output: what the target changes itself, by a foreign key or a trigger, does not count twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from providers.postgres.tests.harness import Database, InputRun
from providers.postgres.tests.test_output import change, rows
from providers.postgres.tests.test_output_order import apply

_TABLES = """
CREATE TABLE p (id int PRIMARY KEY, v text);
INSERT INTO p VALUES (1, 'x'), (2, 'x'), (3, 'x');
CREATE TABLE c (p int REFERENCES p {}, a text, j jsonb);
ALTER TABLE c REPLICA IDENTITY FULL;
INSERT INTO c VALUES (1, 'a', NULL), (1, 'a', NULL), (2, 'a', NULL), (1, 'b', 'null'), (1, 'b', NULL), (3, 'c', '[1]');
"""
_TOUCHED = (
    "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN NEW.a := NEW.a || '.'; RETURN NEW; END $$;"
    "CREATE TRIGGER touch BEFORE UPDATE ON c FOR EACH ROW EXECUTE FUNCTION touch()"
)
_ON_ITS_OWN = (
    "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN UPDATE c SET a = a || NEW.v WHERE c.p = NEW.id; RETURN NULL; END $$;"
    "CREATE TRIGGER follow AFTER UPDATE ON p FOR EACH ROW EXECUTE FUNCTION follow()"
)
_NESTED = (
    "ALTER TABLE c ADD UNIQUE (p, a, j), ADD UNIQUE (j);"
    "DELETE FROM c; INSERT INTO c VALUES (1, 'a', '1'), (2, 'a', '2');"
    "CREATE TABLE g (j jsonb REFERENCES c (j) ON DELETE SET NULL, n int);"
    "ALTER TABLE g REPLICA IDENTITY FULL; INSERT INTO g VALUES ('1', 1), ('1', 1), ('2', 1)"
)


@dataclass(frozen=True)
class Case:
    """Both databases have the foreign key with its action, and `more`; only the source has `source_only`."""

    workload: str
    action: str = "ON UPDATE CASCADE ON DELETE CASCADE"
    more: str = ""
    source_only: str = "SELECT"


_CASES = {
    "cascade": Case("UPDATE p SET id = 9 WHERE id = 1"),
    "exchange": Case("UPDATE p SET id = 10 - id; UPDATE p SET id = 10 - id WHERE id = 9"),
    "shift": Case(
        "UPDATE p SET id = 4 WHERE id = 3; UPDATE p SET id = id + 1 WHERE id = 2; UPDATE p SET id = 2 WHERE id = 1;"
        "DELETE FROM c WHERE p = 2 AND a = 'b'; DELETE FROM p WHERE id = 3"
    ),
    "into the place of a deleted row": Case(
        "WITH gone AS (DELETE FROM p WHERE id = 2 RETURNING id) UPDATE p SET id = gone.id FROM gone WHERE p.id = 1"
    ),
    "set null": Case(
        "DELETE FROM p WHERE id = 1; UPDATE p SET id = 8 WHERE id = 2", "ON UPDATE SET NULL ON DELETE SET NULL"
    ),
    "set default": Case(
        "DELETE FROM p WHERE id = 1; UPDATE p SET id = 8 WHERE id = 2; INSERT INTO c VALUES (8, 'a', NULL)",
        "ON UPDATE SET DEFAULT ON DELETE SET DEFAULT",
        "ALTER TABLE c ALTER p SET DEFAULT 3",
    ),
    "triggers of the source change more": Case(
        "UPDATE p SET id = 9 WHERE id = 1; UPDATE p SET id = 1 WHERE id = 2", source_only=_TOUCHED
    ),
    "triggers of both": Case(
        "UPDATE p SET v = '!'; UPDATE p SET v = '?' WHERE id < 3; DELETE FROM c WHERE a = 'c!'", "", _ON_ITS_OWN
    ),
    "by way of another table": Case(
        "DELETE FROM p WHERE id = 1; INSERT INTO c VALUES (3, 'n', '1'); INSERT INTO g VALUES ('1', 1), ('1', 1)",
        more=_NESTED,
    ),
    "with a truncate": Case(
        "UPDATE p SET id = 9 WHERE id = 1; TRUNCATE c; INSERT INTO c VALUES (9, 'a', NULL);"
        "UPDATE p SET id = 7 WHERE id = 9"
    ),
}


@pytest.mark.parametrize("name", _CASES)
def test_rows_without_a_key_stay_as_many_as_the_source_has(database: Database, target: Database, name: str):
    case = _CASES[name]
    for each in (database, target):
        each.execute(_TABLES.format(case.action) + case.more)
    database.execute(case.source_only)
    tables = [name for (name,) in database.execute("SELECT relname FROM pg_class WHERE relname IN ('p', 'c', 'g')")]
    database.prepare(*tables)
    database.execute(case.workload)  # one transaction
    read = InputRun(database.config(*tables, snapshot="never")).finish()
    assert apply(target, *read.envelopes) == []
    for table in tables:
        text = f"SELECT t::text FROM {table} t"
        assert Counter(target.execute(text)) == Counter(database.execute(text)), table


def test_a_row_that_was_never_there_is_still_rejected(target: Database):
    target.execute(_TABLES.format(Case.action))
    rejected = apply(
        target,
        change("Update", {"id": 9, "v": "x"}, "public.p", OldKey={"id": 1}),
        _keyless({"p": 9, "a": "a", "j": None}, {"p": 1, "a": "a", "j": None}),
        _keyless({"p": 9, "a": "never"}, {"p": 1, "a": "never"}, j=None),
        _keyless({"p": 9, "a": "a", "j": None}, {"p": 1, "a": "a", "j": None}),
        _keyless({"p": 9, "a": "a", "j": None}, {"p": 1, "a": "a", "j": None}),
    )
    assert [each["envelope"]["data"]["a"] for each in rejected] == ["never", "a"]
    assert all("no row equals it" in each["reason"] for each in rejected)
    assert rows(target, "(SELECT p, a, count(*) FROM c WHERE p = 9 GROUP BY p, a)") == [(9, "a", 2), (9, "b", 2)]


def test_rows_that_the_target_changed_are_left_alone_where_it_is_not_clear_which_they_were(target: Database):
    target.execute(_TABLES.format(Case.action))
    target.execute(
        "CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO c SELECT 9, 'by the trigger' FROM c WHERE c.p = 9; RETURN NULL; END $$;"
        "CREATE TRIGGER more AFTER UPDATE ON p FOR EACH ROW EXECUTE FUNCTION more()"
    )
    rejected = apply(
        target,
        change("Update", {"id": 9, "v": "x"}, "public.p", OldKey={"id": 1}),
        change("Update", {"id": 9, "v": "y"}, "public.p"),
        _keyless({"p": 9, "a": "a.", "j": None}, {"p": 1, "a": "a", "j": None}),
    )
    assert len(rejected) == 1


def _keyless(data: dict[str, Any], old: dict[str, Any], **more: Any) -> dict[str, Any]:
    data, old = {**data, **more}, {**old, **more}
    return change("Update", data, "public.c", Key=data, OldKey=old, Keyless=True)
