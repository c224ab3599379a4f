"""The output: rows and checkpoint in one transaction, and what each kind of change does to a table."""

from __future__ import annotations

from typing import Any

import pytest

from dstream_postgres.output import ROWS
from dstream_sdk.testing import Failed, ProviderProcess
from providers.postgres.tests.harness import Database, OutputRun, program


def change(operation: str, data: dict[str, Any], table: str = "public.t", **metadata: Any) -> dict[str, Any]:
    key = {"id": data["id"]} if "id" in data else {}
    named = {"TableName": table, "OperationType": operation, **({"Key": key} if key else {}), **metadata}
    return {"data": data, "metadata": named}


def config(database: Database, **more: Any) -> dict[str, Any]:
    return {"connection_string": database.dsn, **more}


def rows(database: Database, table: str = "t") -> list[tuple[Any, ...]]:
    return database.execute(f"SELECT * FROM {table} ORDER BY 1")


def test_changes_are_applied_by_key_and_committed_with_the_checkpoint(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    output = OutputRun(config(database))
    assert output.ready == {"status": "ready", "protocol": 2, "checkpoint": None}
    output.write(change("Read", {"id": 1, "v": "a"}), change("Insert", {"id": 2, "v": "b"}))
    output.write(
        change("Update", {"id": 1, "v": "c"}), change("Delete", {"id": 2}), change("Insert", {"id": 3, "v": None})
    )
    assert rows(database) == []
    output.checkpoint({"lsn": "0/1"})
    assert rows(database) == [(1, "c"), (3, None)]
    output.end()
    again = OutputRun(config(database))
    assert again.ready["checkpoint"] == {"lsn": "0/1"}
    again.end()


def test_what_no_checkpoint_covers_is_rolled_back_when_the_data_breaks_off(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    output = OutputRun(config(database))
    output.write(change("Insert", {"id": 1}))
    output.checkpoint({"n": 1})
    output.write(*(change("Insert", {"id": number}) for number in range(2, 30_000)))
    output.close()
    assert rows(database) == [(1,)]
    again = OutputRun(config(database))
    assert again.ready["checkpoint"] == {"n": 1}
    again.end()


def test_values_of_every_type_arrive_as_they_were(database: Database):
    database.execute(
        "CREATE TABLE t (id bigint PRIMARY KEY, n numeric, f float8, b bool, x text, c char(4), j json, jb jsonb,"
        " u uuid, tz timestamptz, by bytea, ar int[], iv interval)"
    )
    output = OutputRun(config(database))
    line = (
        b'{"data":{"id":9223372036854775807,"n":12345678901234567890.1234500,"f":"NaN","b":true,"x":"q\\"\\u00fc\\n",'
        b'"c":"ab  ","j":{"a":1.50},"jb":[1,null],"u":"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",'
        b'"tz":"2026-02-28 10:00:00+00","by":"\\\\x00ff","ar":"{1,NULL}","iv":"1 day 02:00:00"},'
        b'"metadata":{"TableName":"public.t","OperationType":"Insert","Key":{"id":9223372036854775807}}}'
    )
    output.write(line)
    output.checkpoint({})
    assert output.rejects == []
    ((row,),) = database.execute("SELECT t::text FROM t")
    assert row == (
        '(9223372036854775807,12345678901234567890.1234500,NaN,t,"q""ü\n","ab  ","{""a"":1.50}","[1, null]",'
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,"2026-02-28 10:00:00+00","\\\\x00ff","{1,NULL}","1 day 02:00:00")'
    )
    output.end()


def test_columns_that_were_not_sent_keep_their_values(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text, big text NOT NULL)")
    output = OutputRun(config(database))
    output.write(
        change("Insert", {"id": 1, "v": "a", "big": "kept"}), change("Insert", {"id": 2, "v": "a", "big": "b"})
    )
    output.write(change("Update", {"id": 1, "v": "b"}, Unchanged=["big"]))
    output.write(change("Update", {"id": 1, "v": "c"}, Unchanged=["big"]))
    output.write(change("Update", {"id": 2, "big": "new"}, Unchanged=["v"]))
    output.write(change("Update", {"id": 7, "v": "nobody"}, Unchanged=["big"]))
    output.checkpoint({})
    assert rows(database) == [(1, "c", "kept"), (2, "a", "new")]
    output.end()


def test_a_row_moves_to_its_new_key_with_all_it_has(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text, big text)")
    output = OutputRun(config(database))
    output.write(
        change("Insert", {"id": 1, "v": "a", "big": "kept"}), change("Insert", {"id": 5, "v": "x", "big": "y"})
    )
    moved = change("Update", {"id": 2, "v": "b"}, OldKey={"id": 1}, Unchanged=["big"])
    output.write(moved, change("Update", {"id": 6, "v": "x", "big": "z"}, OldKey={"id": 5}))
    output.checkpoint({})
    wanted = [(2, "b", "kept"), (6, "x", "z")]
    assert rows(database) == wanted
    # The same again, as after a restart: nothing is lost or doubled.
    output.write(moved, change("Update", {"id": 6, "v": "x", "big": "z"}, OldKey={"id": 5}))
    output.checkpoint({})
    assert rows(database) == wanted
    # Two rows change places by way of a third key.
    for old, new in ((2, 9), (6, 2), (9, 6)):
        output.write(change("Update", {"id": new, "v": f"was {old}", "big": None}, OldKey={"id": old}))
    output.checkpoint({})
    assert rows(database) == [(2, "was 6", None), (6, "was 9", None)]
    output.end()


def test_truncate_empties_the_table_at_its_place_in_the_order(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (99)")
    output = OutputRun(config(database))
    output.write(change("Insert", {"id": 1}), change("Truncate", {}), change("Insert", {"id": 2}))
    output.checkpoint({})
    assert rows(database) == [(2,)]
    output.end()


def test_deletes_can_be_ignored(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    output = OutputRun(config(database, deletes="ignore"))
    output.write(change("Insert", {"id": 1}), change("Delete", {"id": 1}), change("Truncate", {}))
    output.checkpoint({})
    assert rows(database) == [(1,)]
    output.end()


def test_rows_that_the_table_refuses_are_rejected_one_by_one_and_the_others_stay(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v int CHECK (v < 100), x text)")
    output = OutputRun(config(database))
    output.write(
        change("Insert", {"id": 1, "v": 1, "x": "a"}),
        change("Insert", {"id": 2, "v": 500, "x": "b"}),
        change("Insert", {"id": 3, "v": "many", "x": "c"}),
        change("Insert", {"id": 4, "v": 4, "x": "nul \u0000"}),
        change("Insert", {"id": 5, "v": 5, "x": "e"}),
        b'{"data":{"id":6},"metadata":{"TableName":"public.t","OperationType":"Merge?"}}',
    )
    output.checkpoint({})
    assert [row[0] for row in rows(database)] == [1, 5]
    assert [one["envelope"]["data"]["id"] for one in output.rejects] == [6, 2, 3, 4]
    assert "check constraint" in output.rejects[1]["reason"]
    output.end()


def test_a_target_without_a_unique_key_is_written_by_key_all_the_same(database: Database):
    database.execute("CREATE TABLE t (id int, part text, v int)")
    output = OutputRun(config(database))
    for number in (1, 2):
        for part in ("a", None):
            key = {"id": 1, "part": part}
            output.write(change("Update", {**key, "v": number}, Key=key))
    output.checkpoint({})
    assert sorted(rows(database), key=str) == [(1, "a", 2), (1, None, 2)]
    output.write(change("Delete", {"id": 1, "part": None}, Key={"id": 1, "part": None}))
    output.checkpoint({})
    assert rows(database) == [(1, "a", 2)]
    output.end()


def test_envelopes_of_other_inputs_go_where_the_settings_say(database: Database):
    database.execute('CREATE SCHEMA s; CREATE TABLE s."Orders" (id int PRIMARY KEY); CREATE TABLE counted (n int)')
    output = OutputRun(
        config(database, schema="s", tables={"weird name.x": "public.t"}, table="public.counted", create_tables=True)
    )
    output.write(change("Insert", {"id": 1}, "Orders"), change("Insert", {"id": 2}, "dbo.Orders"))
    output.write(change("Insert", {"id": 3, "v": {"a": [1]}, "n": 1.5, "x": None}, "weird name.x"))
    output.checkpoint({})
    assert rows(database, 's."Orders"') == [(1,), (2,)]
    assert rows(database) == [(3, {"a": [1]}, 1.5, None)]
    output.end()
    plain = OutputRun(config(database, table="counted"))
    plain.write({"data": {"n": 1}, "metadata": {}}, {"data": {"n": 1}})
    plain.checkpoint({})
    assert rows(database, "counted") == [(1,), (1,)]
    plain.end()


def test_missing_tables_and_columns_are_created_from_the_schema_or_the_rows_if_asked(database: Database):
    schema = {
        "properties": {
            "id": {"type": "integer"},
            "at": {"type": ["null", "string"], "format": "date-time"},
            "w": {"type": "number"},
        }
    }
    streams = [{"name": "public.t", "key": ["id"], "schema": schema}]
    output = OutputRun(config(database, create_tables=True), streams=streams)
    output.write(change("Insert", {"id": 1, "at": "2026-01-01T00:00:00Z", "w": 1}, Key=None))
    output.write(change("Insert", {"id": 1, "at": None, "w": 2, "more": True}, Key=None))
    output.checkpoint({})
    kinds = database.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 't' ORDER BY ordinal_position"
    )
    assert kinds == [
        ("id", "bigint"), ("at", "timestamp with time zone"), ("w", "numeric"), ("more", "boolean"),
    ]  # fmt: skip
    assert rows(database) == [(1, None, 2, True)]
    output.end()


def test_a_missing_table_or_column_is_an_error_that_says_what_to_do(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    for table, wanted in (("nowhere", "create_tables"), ("t", "no column extra")):
        output = OutputRun(config(database))
        output.write(change("Insert", {"id": 1, "extra": 2}, f"public.{table}"))
        with pytest.raises(Failed, match=wanted):
            output.checkpoint({})
        assert output.close() == 1


def test_a_long_transaction_that_only_the_commit_refuses_is_told_from_wrong_settings(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    long = [{"id": number, "n": number // 2} for number in range(6 * ROWS)]
    cases = [(long, "fatal"), ([{"id": 1, "n": 1, "x": 1}], "invalid")]
    for found, error_class in cases:
        output = OutputRun(config(database))
        output.write(*(change("Insert", row, "public.t") for row in found), b'{"checkpoint":{},"n":1}')
        (told,) = output.process.read()["diagnostics"]
        assert told["class"] == error_class, told
        assert output.close() == 1


def test_deferrable_foreign_keys_hold_and_others_are_explained(database: Database):
    database.execute("CREATE TABLE parent (id int PRIMARY KEY)")
    database.execute("CREATE TABLE t (id int PRIMARY KEY, p int REFERENCES parent DEFERRABLE)")
    output = OutputRun(config(database))
    output.write(change("Insert", {"id": 1, "p": 7}), change("Insert", {"id": 7}, "public.parent"))
    output.checkpoint({})
    assert rows(database) == [(1, 7)]
    output.end()
    database.execute("ALTER TABLE t ALTER CONSTRAINT t_p_fkey NOT DEFERRABLE")
    output = OutputRun(config(database))
    output.write(change("Insert", {"id": 2, "p": 8}), change("Insert", {"id": 8}, "public.parent"))
    output.checkpoint({})
    assert rows(database) == [(1, 7), (2, 8)]
    output.write(change("Insert", {"id": 3, "p": 9}))
    with pytest.raises(AssertionError, match="DEFERRABLE"):
        output.checkpoint({})


def test_a_session_that_was_taken_for_dead_writes_nothing_any_more(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    zombie = OutputRun(config(database))
    zombie.write(change("Insert", {"id": 1, "v": "first"}))
    zombie.checkpoint({"n": 1})
    # It holds a lock on a row in an open transaction, and then the next session starts.
    zombie.write(*(change("Update", {"id": 1, "v": "zombie"}) for _ in range(30_000)))
    successor = OutputRun(config(database))
    assert successor.ready["checkpoint"] == {"n": 1}
    successor.write(change("Update", {"id": 1, "v": "successor"}))
    successor.checkpoint({"n": 2})
    zombie.write(b'{"checkpoint":{"n":9},"n":2}')
    assert zombie.close() == 1
    assert "Traceback" not in zombie.process.stderr()
    assert rows(database) == [(1, "successor")]
    assert database.execute("SELECT checkpoint FROM dstream_checkpoint") == [({"n": 2},)]
    successor.end()


def test_what_cannot_be_committed_with_its_checkpoint_is_not_committed(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    output = OutputRun(config(database))
    database.execute("UPDATE dstream_checkpoint SET epoch = gen_random_uuid()")  # as a later session does
    output.write(change("Insert", {"id": 1}))
    with pytest.raises(AssertionError, match="Another session took over"):
        output.checkpoint({"n": 1})
    assert rows(database) == []
    assert database.execute("SELECT checkpoint FROM dstream_checkpoint") == [(None,)]


def test_two_tasks_keep_their_checkpoints_apart_even_when_they_start_at_once(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    runs = [OutputRun(config(database), task=name) for name in ("one", "two")]
    for number, run in enumerate(runs):
        run.write(change("Insert", {"id": number}))
        run.checkpoint({"n": number})
    for run in runs:
        run.end()
    assert database.execute("SELECT task, checkpoint ->> 'n' FROM dstream_checkpoint ORDER BY 1") == [
        ("one", "0"),
        ("two", "1"),
    ]


def test_a_version_1_host_is_served_without_checkpoints(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with ProviderProcess(program("out")) as process:
        process.send({"command": "run", "config": config(database)}, change("Insert", {"id": 1}))
        process.close()
        assert process.wait() == 0
    assert rows(database) == [(1,)]
    assert database.execute("SELECT to_regclass('dstream_checkpoint')") == [(None,)]
