"""What the input says about each kind of change, read from a real write-ahead log."""

from __future__ import annotations

from typing import Any

from providers.postgres.tests.harness import Database, InputRun


def changes(database: Database, *tables: str, **more: Any) -> list[dict[str, Any]]:
    run = InputRun(database.config(*tables, snapshot="never", **more)).finish()
    assert run.ended, run.said
    return run.envelopes


def test_insert_update_delete_truncate_and_their_order_key_position_and_transaction(database: Database):
    database.execute("CREATE TABLE orders (id bigint PRIMARY KEY, note text)")
    database.prepare("orders")
    database.execute("INSERT INTO orders VALUES (1, 'a'), (2, 'b'); UPDATE orders SET note = 'c' WHERE id = 1")
    database.execute("DELETE FROM orders WHERE id = 2")
    database.execute("TRUNCATE orders")
    found = changes(database, "orders")
    assert [(one["metadata"]["OperationType"], one["data"], one["metadata"].get("Key")) for one in found] == [
        ("Insert", {"id": 1, "note": "a"}, {"id": 1}),
        ("Insert", {"id": 2, "note": "b"}, {"id": 2}),
        ("Update", {"id": 1, "note": "c"}, {"id": 1}),
        ("Delete", {"id": 2}, {"id": 2}),
        ("Truncate", {}, None),
    ]
    assert {one["metadata"]["TableName"] for one in found} == {"public.orders"}
    positions = [one["metadata"]["Position"] for one in found]
    assert positions == sorted(set(positions))
    transactions = [one["metadata"]["TransactionID"] for one in found]
    assert transactions[0] == transactions[1] == transactions[2] < transactions[3] < transactions[4]


def test_a_second_session_from_the_same_checkpoint_says_the_very_same(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    database.prepare("t")
    start = InputRun(database.config("t", snapshot="never")).finish().checkpoint
    database.execute("INSERT INTO t SELECT generate_series(1, 50)")
    database.execute("DELETE FROM t WHERE id % 2 = 0")
    first, second = (
        InputRun(database.config("t", snapshot="never"), start, commit=False).finish().envelopes for _ in range(2)
    )
    assert len(first) == 75
    assert first == second


def test_every_type_arrives_as_json_without_loss(database: Database):
    database.execute(
        "CREATE DOMAIN positive AS numeric(30, 10) CHECK (VALUE > 0); CREATE TYPE mood AS ENUM ('so \"so\"')"
    )
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, i8 bigint, n numeric, d positive, f real, g float8, b bool, x text,"
        " c char(5), v varchar, j json, jb jsonb, u uuid, da date, ts timestamp, tz timestamptz, iv interval,"
        " by bytea, ar int[], ta text[], ip inet, m mood, nothing text)"
    )
    database.prepare("t")
    database.execute(
        "INSERT INTO t VALUES (1, 9223372036854775807, 12345678901234567890.123456789000, 0.1000000001, 1e-7, 1e300,"
        " true, %s, 'ab', E'tab\\tline\\nend', E'{\"a\" :\\n [1, 2.50]}', '{\"k\": null, \"s\": \"x\\ny\"}',"
        " 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2026-02-28', '2026-02-28 12:34:56.789', '2026-02-28 12:00+02',"
        " '1 day 02:03:04', '\\x00ff22', '{1,NULL,3}', ARRAY['a\"b', NULL], '10.0.0.1/8', 'so \"so\"', NULL)",
        ('quote " backslash \\ umlaut ü emoji 🚚 control \x01',),
    )
    database.execute("INSERT INTO t (id, n, f, g, b, i8) VALUES (-2, 'NaN', 'Infinity', '-Infinity', false, -5)")
    first, second = changes(database, "t")
    assert first["data"] == {
        "id": 1, "i8": 9223372036854775807, "n": 12345678901234567890.123456789, "d": 0.1000000001, "f": 1e-7,
        "g": 1e300, "b": True, "x": 'quote " backslash \\ umlaut ü emoji 🚚 control \x01', "c": "ab   ",
        "v": "tab\tline\nend", "j": {"a": [1, 2.5]}, "jb": {"k": None, "s": "x\ny"},
        "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "da": "2026-02-28", "ts": "2026-02-28 12:34:56.789",
        "tz": "2026-02-28 10:00:00+00", "iv": "1 day 02:03:04", "by": "\\x00ff22", "ar": "{1,NULL,3}",
        "ta": '{"a\\"b",NULL}', "ip": "10.0.0.1/8", "m": 'so "so"', "nothing": None,
    }  # fmt: skip
    assert {name: second["data"][name] for name in ("id", "n", "f", "g", "b", "i8")} == {
        "id": -2, "n": "NaN", "f": "Infinity", "g": "-Infinity", "b": False, "i8": -5,
    }  # fmt: skip


def test_all_digits_of_a_numeric_are_on_the_wire_in_stream_and_snapshot(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, n numeric, c char(4), by bytea, b bool)")
    database.prepare("t")
    database.execute("INSERT INTO t VALUES (1, 12345678901234567890.123456789000, 'x', '\\x0a', false)")
    streamed = InputRun(database.config("t", snapshot="never")).finish().lines
    read = InputRun(database.config("t")).finish().lines
    wanted = b'{"id":1,"n":12345678901234567890.123456789000,"c":"x   ","by":"\\\\x0a","b":false}'
    assert sum(wanted in line for line in streamed) == 1
    assert sum(wanted in line and b'"Read"' in line for line in read) == 1


def test_unchanged_toast_values_are_named_and_left_out(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, small text, big text)")
    database.execute("ALTER TABLE t ALTER big SET STORAGE EXTERNAL")
    database.prepare("t")
    database.execute("INSERT INTO t VALUES (1, 'a', repeat('x', 9000))")
    database.execute("UPDATE t SET small = 'b'")
    database.execute("UPDATE t SET big = 'short'")
    _, kept, sent = changes(database, "t")
    assert kept["data"] == {"id": 1, "small": "b"}
    assert kept["metadata"]["Unchanged"] == ["big"]
    assert sent["data"] == {"id": 1, "small": "b", "big": "short"}
    assert "Unchanged" not in sent["metadata"]


def test_a_changed_primary_key_carries_the_old_one(database: Database):
    database.execute("CREATE TABLE t (a int, b text, note text, PRIMARY KEY (a, b))")
    database.prepare("t")
    database.execute("INSERT INTO t VALUES (1, 'x', 'n'); UPDATE t SET b = 'y'")
    _, moved = changes(database, "t")
    assert moved["metadata"]["Key"] == {"a": 1, "b": "y"}
    assert moved["metadata"]["OldKey"] == {"a": 1, "b": "x"}


def test_replica_identity_full_gives_old_rows_and_fills_unchanged_values_and_keys_stay_the_primary_key(
    database: Database,
):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, small text, big text)")
    database.execute("ALTER TABLE t ALTER big SET STORAGE EXTERNAL, REPLICA IDENTITY FULL")
    database.execute("CREATE TABLE bare (a int, b text)")
    database.execute("ALTER TABLE bare REPLICA IDENTITY FULL")
    database.prepare("t", "bare")
    database.execute("INSERT INTO t VALUES (1, 'a', repeat('x', 9000)); UPDATE t SET small = 'b', id = 2")
    database.execute("DELETE FROM t")
    database.execute("INSERT INTO bare VALUES (1, NULL); UPDATE bare SET b = 'x'; DELETE FROM bare")
    insert, update, delete, bare_insert, bare_update, bare_delete = changes(database, "t", "bare")
    assert insert["metadata"]["Key"] == {"id": 1}
    assert update["data"] == {"id": 2, "small": "b", "big": "x" * 9000}
    assert (update["metadata"]["OldKey"], update["metadata"]["Key"]) == ({"id": 1}, {"id": 2})
    assert delete["data"] == {"id": 2, "small": "b", "big": "x" * 9000}
    assert delete["metadata"]["Key"] == {"id": 2}
    assert bare_insert["metadata"]["Key"] == {"a": 1, "b": None}
    assert bare_update["metadata"]["OldKey"] == {"a": 1, "b": None}
    assert bare_delete["metadata"]["Key"] == {"a": 1, "b": "x"}


def test_replica_identity_by_index_makes_its_columns_the_key(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL UNIQUE, note text)")
    database.execute("ALTER TABLE t REPLICA IDENTITY USING INDEX t_code_key")
    database.prepare("t")
    database.execute("INSERT INTO t VALUES (1, 'c', 'n'); UPDATE t SET code = 'd'; DELETE FROM t")
    insert, update, delete = changes(database, "t")
    assert insert["metadata"]["Key"] == {"code": "c"}
    assert (update["metadata"]["OldKey"], update["metadata"]["Key"]) == ({"code": "c"}, {"code": "d"})
    assert delete["data"] == {"code": "d"}


def test_many_tables_and_schemas_in_one_transaction_and_others_are_ignored(database: Database):
    database.execute('CREATE SCHEMA "Odd schema"')
    database.execute('CREATE TABLE "Odd schema"."Big ""Table""" ("The Id" int PRIMARY KEY, "a.b" int)')
    database.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE ignored (id int PRIMARY KEY)")
    database.prepare('"Odd schema"."Big ""Table"""', "t", "ignored")
    database.execute(
        "INSERT INTO t VALUES (1); INSERT INTO ignored VALUES (1);"
        'INSERT INTO "Odd schema"."Big ""Table""" VALUES (7, 8)'
    )
    one, two = changes(database, "t", '"Odd schema"."Big ""Table"""')
    assert one["metadata"]["TableName"] == "public.t"
    assert two["metadata"]["TableName"] == 'Odd schema.Big "Table"'
    assert (two["data"], two["metadata"]["Key"]) == ({"The Id": 7, "a.b": 8}, {"The Id": 7})


def test_columns_added_dropped_and_renamed_while_it_runs_are_followed(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY, a text)")
    database.prepare("t")
    database.execute("INSERT INTO t VALUES (1, 'x')")
    database.execute("ALTER TABLE t ADD b numeric")
    database.execute("INSERT INTO t VALUES (2, 'y', 1.5)")
    database.execute("ALTER TABLE t DROP a; ALTER TABLE t RENAME b TO c")
    database.execute("INSERT INTO t VALUES (3, 2)")
    assert [one["data"] for one in changes(database, "t")] == [
        {"id": 1, "a": "x"},
        {"id": 2, "a": "y", "b": 1.5},
        {"id": 3, "c": 2},
    ]


def test_partitions_arrive_under_the_name_of_their_table_when_the_publication_says_so(database: Database):
    database.execute("CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)")
    database.execute("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)")
    database.execute("CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)")
    database.execute("CREATE PUBLICATION dstream_t FOR TABLE p WITH (publish_via_partition_root)")
    database.execute(f"SELECT pg_create_logical_replication_slot('dstream_t_{database.name}', 'pgoutput')")
    database.execute("INSERT INTO p VALUES (1, 'a'), (11, 'b'); UPDATE p SET id = 12 WHERE id = 1")
    found = changes(database, "p")
    assert {one["metadata"]["TableName"] for one in found} == {"public.p"}
    assert [one["metadata"]["OperationType"] for one in found] == ["Insert", "Insert", "Delete", "Insert"]


def test_max_records_stops_behind_the_transaction_that_reaches_it(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    database.prepare("t")
    for first in (1, 11, 21):
        database.execute("INSERT INTO t SELECT generate_series(%s, %s)", (first, first + 9))
    config = database.config("t", snapshot="never")
    run = InputRun(config, max_records=15).finish()
    assert run.ended
    assert len(run.envelopes) == 20
    rest = InputRun(config, run.checkpoint).finish()
    assert [one["data"]["id"] for one in rest.envelopes] == list(range(21, 31))


def test_a_rolled_back_transaction_leaves_no_trace(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    database.prepare("t")
    with database.server.connect(database.name, autocommit=False) as connection:
        connection.cursor().execute("INSERT INTO t VALUES (1)")
        connection.rollback()
    with database.server.connect(database.name, autocommit=False) as connection:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO t VALUES (2)")
        cursor.execute("SAVEPOINT s")
        cursor.execute("INSERT INTO t VALUES (3)")
        cursor.execute("ROLLBACK TO s")
        connection.commit()
    assert [one["data"]["id"] for one in changes(database, "t")] == [2]
