"""The output: what the source has committed is applied in its order, and nothing is rejected for the order alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dstream_sdk.testing import Failed
from providers.postgres.tests.harness import Database, OutputRun
from providers.postgres.tests.test_output import change, config, rows


def apply(database: Database, *changes: Any, **settings: Any) -> list[Any]:
    """Write changes and a checkpoint in one session; return what was rejected."""
    output = OutputRun(config(database, **settings))
    output.write(*changes)
    output.checkpoint({})
    output.end()
    return list(output.rejects)


def test_a_unique_value_that_passes_from_row_to_row_loses_no_row(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, email text UNIQUE)")
    database.execute("INSERT INTO t VALUES (1, 'e1'), (2, 'e2')")
    changes = [(1, "x"), (2, "y"), (1, "e2")]
    assert apply(database, *(change("Update", {"id": key, "email": text}) for key, text in changes)) == []
    assert rows(database) == [(1, "e2"), (2, "y")]


@pytest.mark.parametrize("size", [2, 10, 500])
def test_rows_rotate_a_unique_value_by_way_of_a_third(database: Database, size: int):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, n int UNIQUE)")
    database.execute(f"INSERT INTO t SELECT i, i FROM generate_series(1, {size}) i")
    changes = [(1, 0), *((key, key - 1) for key in range(2, size + 1)), (1, size)]
    assert apply(database, *(change("Update", {"id": key, "n": value}) for key, value in changes)) == []
    assert rows(database) == [(1, size), *((key, key - 1) for key in range(2, size + 1))]


def test_rows_swap_a_value_that_only_the_source_checks_at_the_end_of_a_statement(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, n int UNIQUE)")
    database.execute("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
    changes = [(1, 2), (2, 3), (3, 1)]
    assert apply(database, *(change("Update", {"id": key, "n": value}) for key, value in changes)) == []
    assert rows(database) == [(1, 2), (2, 3), (3, 1)]


def test_rows_exchange_keys_that_are_checked_at_the_end(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY DEFERRABLE, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    moved = [
        change("Update", {"id": 2, "v": "a"}, OldKey={"id": 1}),
        change("Update", {"id": 1, "v": "b"}, OldKey={"id": 2}),
    ]
    assert apply(database, *moved) == []
    assert rows(database) == [(1, "b"), (2, "a")]


def test_foreign_keys_hold_where_rows_come_in_the_order_of_the_source(database: Database):
    database.execute("CREATE TABLE p (id int PRIMARY KEY)")
    database.execute("CREATE TABLE t (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE, t int REFERENCES t)")
    changes = []
    for number in range(1, 40):
        changes.append(change("Insert", {"id": number}, "public.p"))
        changes.append(change("Insert", {"id": number, "p": number, "t": number - 1 or None}))
    changes.append(change("Delete", {"id": 39}))
    changes.append(change("Delete", {"id": 39}, "public.p"))
    assert apply(database, *changes) == []
    assert len(rows(database)) == len(rows(database, "p")) == 38


def test_a_key_that_others_refer_to_changes_without_deleting_them(database: Database):
    database.execute("CREATE TABLE p (id int PRIMARY KEY, v text)")
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, p int REFERENCES p ON UPDATE CASCADE ON DELETE CASCADE);"
        "INSERT INTO p VALUES (1, 'a'); INSERT INTO t VALUES (7, 1)"
    )
    assert apply(database, change("Update", {"id": 2, "v": "b"}, "public.p", OldKey={"id": 1})) == []
    assert (rows(database, "p"), rows(database)) == ([(2, "b")], [(7, 2)])


def test_rows_of_one_statement_refer_to_each_other(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES t, v int CHECK (v > 0))")
    rejected = apply(
        database,
        change("Insert", {"id": 1, "parent": 2, "v": 1}),
        change("Insert", {"id": 9, "parent": None, "v": -1}),
        change("Insert", {"id": 2, "parent": 1, "v": 1}),
        change("Update", {"id": 1, "parent": 2, "v": 5}),
    )
    assert [each["envelope"]["data"]["id"] for each in rejected] == [9]
    assert rows(database) == [(1, 2, 5), (2, 1, 1)]


def test_tables_that_refer_to_each_other_are_emptied_together(database: Database):
    database.execute("CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY, p int REFERENCES p)")
    database.execute("INSERT INTO p VALUES (1); INSERT INTO t VALUES (1, 1)")
    assert apply(database, change("Truncate", {}, "public.p"), change("Truncate", {})) == []
    assert rows(database) == rows(database, "p") == []


def test_triggers_of_the_target_see_every_change_in_order(database: Database):
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE seen (n serial, what text, id int, v int);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO seen (what, id, v) VALUES (TG_OP, NEW.id, NEW.v); RETURN NEW; END $$;"
        "CREATE TRIGGER note AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()"
    )
    changes = [("Insert", 1, 1), ("Insert", 2, 1), ("Update", 1, 2), ("Update", 1, 3), ("Insert", 3, 1)]
    apply(database, *(change(what, {"id": key, "v": value}) for what, key, value in changes))
    expected = [(what.upper(), key, value) for what, key, value in changes]
    assert database.execute("SELECT what, id, v FROM seen ORDER BY n") == expected
    apply(database, change("Update", {"id": 1, "v": 9}), session_replication_role="replica")
    assert database.execute("SELECT count(*) FROM seen") == [(5,)]


def test_identity_columns_that_are_always_generated_take_the_values_of_the_source(database: Database):
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, v text);"
        "CREATE TABLE k (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)"
    )
    assert apply(database, *(change("Insert", {"id": key, "n": 100 + key, "v": "a"}) for key in range(1, 30))) == []
    updates = [change("Update", {"id": key, "n": 100 + key, "v": "b"}) for key in range(1, 30)]
    assert apply(database, *updates, change("Update", {"id": 3, "n": 500, "v": "c"})) == []
    assert apply(database, change("Update", {"id": 4, "n": 600}, Unchanged=["v"])) == []
    found = rows(database)
    assert found[:4] == [(1, 101, "b"), (2, 102, "b"), (3, 500, "c"), (4, 600, "b")]
    assert found[4:] == [(key, 100 + key, "b") for key in range(5, 30)]
    assert apply(database, change("Insert", {"id": 7, "v": "x"}, "public.k")) == []
    assert apply(database, change("Update", {"id": 8}, "public.k", OldKey={"id": 7}, Unchanged=["v"])) == []
    assert rows(database, "k") == [(8, "x")]


def test_keys_change_where_columns_are_always_generated(database: Database):
    keys = ("PRIMARY KEY (id, part)", "PRIMARY KEY (id, part) DEFERRABLE", "CHECK (true)")
    cases = [(key, fixed) for key in keys for fixed in (("id",), ("part",), ("n",), ("id", "n"))]
    changes = []
    for number, (key, fixed) in enumerate(cases):
        always = {name: "GENERATED ALWAYS AS IDENTITY" if name in fixed else "" for name in ("id", "part", "n")}
        columns = ", ".join(f"{name} int NOT NULL {always[name]}" for name in always)
        database.execute(f"CREATE TABLE t{number} ({columns}, v text, taken int UNIQUE, {key})")
        database.execute(
            f"INSERT INTO t{number} OVERRIDING SYSTEM VALUE"
            " VALUES (1, 10, 100, 'a', 1), (2, 20, 200, 'b', 2), (3, 30, 300, 'c', 3), (4, 40, 400, 'd', 4)"
        )

        def moved(old: tuple[int, int], new: tuple[int, int], table: str = f"public.t{number}", **more: Any) -> Any:
            own = {"Key": {"id": new[0], "part": new[1]}, "OldKey": {"id": old[0], "part": old[1]}}
            unchanged = {} if "v" in more else {"Unchanged": ["v"]}
            return change("Update", {**own["Key"], **more}, table, **own, **unchanged)

        moves = [
            moved((1, 10), (1, 11), n=100, v="A", taken=1),
            moved((2, 20), (5, 20), n=200, taken=2),
            moved((3, 30), (4, 40), n=301, v="C", taken=3),
            moved((4, 40), (3, 30), n=401, v="D", taken=4),
        ]
        changes += moves if "DEFERRABLE" in key else moves[:2]
    assert apply(database, *changes) == []
    kept = [(3, 30, 300, "c", 3), (4, 40, 400, "d", 4)]
    exchanged = [(3, 30, 401, "D", 4), (4, 40, 301, "C", 3)]
    for number, (key, _) in enumerate(cases):
        rest = exchanged if "DEFERRABLE" in key else kept
        assert rows(database, f"t{number}") == [(1, 11, 100, "A", 1), *rest, (5, 20, 200, "b", 2)], cases[number]


def test_columns_that_the_target_computes_are_left_to_it(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v int, twice int GENERATED ALWAYS AS (v * 2) STORED)")
    assert apply(database, *(change("Insert", {"id": key, "v": key, "twice": 0}) for key in range(20))) == []
    assert apply(database, change("Update", {"id": 3, "v": 50, "twice": 0})) == []
    assert (3, 50, 100) in rows(database)


def test_signs_of_placeholders_in_names_are_names(database: Database):
    database.execute('CREATE SCHEMA "s%"; CREATE TABLE "s%"."disc%" ("i%s" int PRIMARY KEY, "%(v)s" text)')
    names = [("Insert", 1, "a"), ("Insert", 2, "b"), ("Update", 1, "c"), ("Delete", 2, None)]
    changes = [change(what, {"i%s": key, "%(v)s": text}, "s%.disc%", Key={"i%s": key}) for what, key, text in names]
    assert apply(database, *changes, checkpoint_table='"s%"."check%"') == []
    assert rows(database, '"s%"."disc%"') == [(1, "c")]


def test_an_update_with_columns_that_were_not_sent_is_rejected_where_the_row_is_missing(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text, big text); INSERT INTO t VALUES (1, 'a', 'kept')")
    rejected = apply(
        database,
        change("Update", {"id": 1, "v": "b"}, Unchanged=["big"]),
        change("Update", {"id": 7, "v": "b"}, Unchanged=["big"]),
        change("Update", {"id": 8, "v": "b"}, OldKey={"id": 9}, Unchanged=["big"]),
    )
    assert [each["envelope"]["data"]["id"] for each in rejected] == [7, 8]
    assert "does not have: columns big were not sent" in rejected[0]["reason"]
    assert rows(database) == [(1, "b", "kept")]


def test_equal_rows_without_a_key_stay_as_many_as_they_are(database: Database):
    database.execute("CREATE TABLE t (a int, j json)")
    row, other = {"a": 1, "j": {"x": [1.50]}}, {"a": 1, "j": None}

    def keyless(operation: str, data: Any, **metadata: Any) -> Any:
        return change(operation, data, Key=data, Keyless=True, **metadata)

    written = [keyless("Insert", row)] * 3 + [keyless("Insert", other)] * 2
    assert apply(database, *written, keyless("Delete", row)) == []
    assert apply(database, keyless("Update", {"a": 2, "j": 7}, OldKey=other)) == []
    assert sorted(database.execute("SELECT a, j::text FROM t"), key=str) == [
        (1, '{"x": [1.5]}'), (1, '{"x": [1.5]}'), (1, None), (2, "7"),
    ]  # fmt: skip
    assert apply(database, keyless("Update", {"a": 2, "j": 7})) == []  # with the values that it had
    database.execute("CREATE TABLE k (n int, j jsonb); INSERT INTO k VALUES (1, 'null'), (1, NULL)")
    null = {"n": 1, "j": None}
    assert apply(database, change("Update", null, "public.k", Key=null, Keyless=True, JsonNull=["j"])) == []
    assert apply(database, change("Delete", null, "public.k", Key=null, Keyless=True)) == []
    assert database.execute("SELECT n, j::text FROM k") == [(1, "null")]
    after = {"n": 2, "j": 1}
    assert apply(database, change("Update", after, "public.k", Key=after, OldKey=null, Keyless=True)) == []
    assert database.execute("SELECT n, j::text FROM k") == [(2, "1")]
    rejected = apply(database, keyless("Update", {"a": 3, "j": 7}, OldKey={"a": 99, "j": 1}))
    assert "no row equals it" in rejected[0]["reason"]


def test_values_that_parsers_refuse_arrive_as_postgresql_takes_them(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, n numeric, j json, b jsonb NOT NULL)")
    deep = "[" * 1100 + "]" * 1100
    values = [("1e309", "1e400", "1e400"), ("0", '"\\ud800"', "null"), ("0", deep, deep), ("0", '{"a":"\\u0000"}', "1")]
    lines = [
        f'{{"data":{{"id":{key},"n":{n},"j":{j},"b":{b}}},"metadata":{{"TableName":"public.t",'
        f'"OperationType":"Insert","Key":{{"id":{key}}}}}}}'.encode()
        for key, (n, j, b) in enumerate(values)
    ]
    assert apply(database, *lines) == []
    found = database.execute("SELECT n = 1e309, j::text, b = '1e400' FROM t WHERE id = 0")
    assert found == [(True, "1e400", True)]
    assert database.execute("SELECT j::text, b::text FROM t WHERE id = 1") == [('"\\ud800"', "null")]
    assert database.execute("SELECT j::text, b::text FROM t WHERE id = 2") == [(deep, deep)]
    assert database.execute("SELECT j::text FROM t WHERE id = 3") == [('{"a":"\\u0000"}',)]


def test_the_json_value_null_is_told_from_a_missing_value(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, j jsonb)")
    apply(database, change("Insert", {"id": 1, "j": None}), change("Insert", {"id": 2, "j": None}, JsonNull=["j"]))
    assert database.execute("SELECT id, j::text FROM t ORDER BY 1") == [(1, None), (2, "null")]


def test_arrays_and_records_may_be_json(database: Database):
    database.execute(
        "CREATE TYPE pair AS (a int, b text); CREATE TABLE t (id int PRIMARY KEY, n int[], p pair, x text)"
    )
    apply(
        database, *(change("Insert", {"id": key, "n": [1, None], "p": {"b": "q'"}, "x": {"k": 1}}) for key in range(20))
    )
    apply(database, change("Update", {"id": 1, "n": [2], "p": {"a": 1}, "x": [1]}))
    assert database.execute("SELECT n, p::text FROM t WHERE id < 2 ORDER BY id") == [
        ([1, None], "(,q')"),
        ([2], "(1,)"),
    ]


def test_a_replay_never_goes_back_in_time(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text, n int CHECK (n < 100))")

    def at(position: int, operation: str, key: int, value: str, number: int) -> Any:
        return change(operation, {"id": key, "v": value, "n": number}, Position=f"{position:08}")

    refused = [at(1, "Insert", 1, "a", 500), at(2, "Insert", 2, "a", 500), at(3, "Insert", 3, "a", 500)]
    assert len(apply(database, *refused)) == 3
    apply(database, at(4, "Update", 1, "newest", 7), at(5, "Insert", 3, "x", 1), at(6, "Delete", 3, "x", 1))
    database.execute("ALTER TABLE t DROP CONSTRAINT t_n_check")
    replay = OutputRun(config(database), replay=True)
    replay.write(*refused, at(9, "Insert", 9, "unknown", 1))
    replay.checkpoint({})
    replay.end()
    assert rows(database) == [(1, "newest", 7), (2, "a", 500)]
    assert [each["envelope"]["data"]["id"] for each in replay.rejects] == [1, 3, 9]
    assert "a later change of the same row has been applied (position 00000004)" in replay.rejects[0]["reason"]
    any_order = OutputRun(config(database, replay="any"), replay=True)
    any_order.write(at(9, "Insert", 9, "unknown", 1))
    any_order.checkpoint({})
    any_order.end()
    assert len(rows(database)) == 3


def test_what_is_written_carries_the_origin_of_the_task(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t")
    slot = f"origin_{database.name}"
    database.execute(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    apply(database, change("Insert", {"id": 1}))
    database.execute("INSERT INTO t VALUES (2)")

    def changes(origin: str) -> int:
        found = database.execute(
            "SELECT data FROM pg_logical_slot_peek_binary_changes(%s, NULL, NULL, 'proto_version', '1',"
            " 'publication_names', 'p', 'origin', %s)",
            (slot, origin),
        )
        return sum(bytes(data)[:1] == b"I" for (data,) in found)

    assert (changes("any"), changes("none")) == (2, 1)
    assert (f"dstream_t@{database.name}",) in database.execute("SELECT roname FROM pg_replication_origin")


def test_tasks_of_one_name_that_write_to_two_databases_of_a_server_both_carry_an_origin(
    database: Database, target: Database
):
    running = []
    for each in (database, target):
        each.execute("CREATE TABLE t (id int PRIMARY KEY)")
        running.append(OutputRun(config(each)))
    for run in running:
        run.write(change("Insert", {"id": 1}))
        run.checkpoint({})
    for each, run in zip((database, target), running, strict=True):
        run.end()
        assert "does not carry the replication origin" not in run.process.stderr()
        assert rows(each) == [(1,)]


def test_a_row_that_a_deferred_constraint_refuses_is_rejected_alone(database: Database):
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, n int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO t VALUES (9, 7)"
    )
    changes = [change("Insert", {"id": 1, "n": 1}), change("Insert", {"id": 2, "n": 7})]
    rejected = apply(database, *changes, change("Update", {"id": 1, "n": 2}))
    assert [each["envelope"]["data"]["id"] for each in rejected] == [2]
    assert rows(database) == [(1, 2), (9, 7)]


def test_a_table_is_emptied_while_constraints_of_its_rows_are_still_to_be_checked(database: Database):
    database.execute("CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1)")
    database.execute("CREATE TABLE t (id int PRIMARY KEY, p int REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
    written = [change("Insert", {"id": 1, "p": 1}), change("Truncate", {}), change("Insert", {"id": 2, "p": 1})]
    assert apply(database, *written) == []
    assert rows(database) == [(2, 1)]


def test_a_table_that_policies_hold_for_is_refused(database: Database):
    role = f"writer_{database.name}"
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'hidden')")
    database.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT ALL ON SCHEMA public TO {role}")
    database.execute(f"GRANT ALL ON t TO {role}; ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    database.execute("CREATE POLICY own ON t USING (id > 1)")
    try:
        settings = config(database)
        settings["connection_string"] = database.dsn.replace(
            f"//{database.server.superuser}:{database.server.password}@", f"//{role}:x@"
        )
        output = OutputRun(settings)
        output.write(change("Delete", {"id": 1}))
        with pytest.raises(Failed, match="Row-level security in the target"):
            output.checkpoint({})
        assert rows(database) == [(1, "hidden")]
    finally:
        database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_created_columns_have_the_types_that_the_input_describes_and_become_wider(database: Database):
    def described(*columns: dict[str, Any]) -> bytes:
        stream = {"stream": "public.t", "key": ["id"], "version": "1", "columns": list(columns)}
        return json.dumps({"schema": stream}).encode()

    identity = {"name": "id", "type": "int32", "nullable": False}
    output = OutputRun(config(database, create_tables=True))
    output.write(
        described(
            identity,
            {"name": "price", "type": "decimal", "precision": 8, "scale": 2},
            {"name": "at", "type": "timestamp_tz"},
            {"name": "note", "type": "text", "length": 5, "nullable": False},
            {"name": "tags", "type": "array", "items": "text", "source": "text[]"},
            {"name": "mood", "type": "enum", "values": ["sad"], "source": "shop.mood"},
        ),
        change("Insert", {"id": 1, "price": 5, "at": None, "note": "a", "tags": None, "mood": "sad"}),
        described(
            {**identity, "type": "int64"},
            {"name": "price", "type": "decimal", "precision": 10, "scale": 3},
            {"name": "note", "type": "text"},
            {"name": "added", "type": "uuid"},
        ),
        change("Insert", {"id": 2**40, "price": 5.125, "note": None, "added": None}),
    )
    output.checkpoint({})
    output.end()
    assert output.rejects == []
    kinds = database.execute(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
        " WHERE attrelid = 't'::regclass AND attnum > 0 ORDER BY attnum"
    )
    assert kinds == [
        ("id", "bigint", True), ("price", "numeric(10,3)", False), ("at", "timestamp with time zone", False),
        ("note", "text", False), ("tags", "text[]", False), ("mood", "text", False), ("added", "uuid", False),
    ]  # fmt: skip
    assert [row[0] for row in rows(database)] == [1, 2**40]
