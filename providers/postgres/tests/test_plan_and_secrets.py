"""What plan answers without a server, and what never shows a password."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from dstream_sdk.testing import ProviderProcess
from providers.postgres.tests.harness import Database, InputRun, OutputRun, ResourceRun, plan, program

CONFIG = {"connection_string": "postgresql://u:hunter2secret@127.0.0.1:1/none", "tables": ["orders", "sales.items"]}


def test_plan_names_publication_slot_and_streams_without_a_server():
    answer = plan("in", CONFIG, task="orders-to-lake")
    assert answer[:4] == [
        {
            "resource": {
                "type": "postgres_publication",
                "key": "dstream_orders_to_lake",
                "attributes": {
                    "name": "dstream_orders_to_lake",
                    "tables": ["public.orders", "sales.items"],
                    "operations": ["insert", "update", "delete", "truncate"],
                },
                "depends_on": [],
                "aliases": [],
            }
        },
        {
            "resource": {
                "type": "postgres_replication_slot",
                "key": "dstream_orders_to_lake",
                "attributes": {"name": "dstream_orders_to_lake"},
                "depends_on": [["postgres_publication", "dstream_orders_to_lake"]],
                "aliases": [],
            }
        },
        {"stream": {"name": "public.orders", "key": []}},
        {"stream": {"name": "sales.items", "key": []}},
    ]
    assert [one["status"] for one in answer[4:]] == ["done"]
    (notice,) = answer[4]["diagnostics"]
    assert (notice["severity"], notice["summary"]) == ("warning", "Source not checked")
    assert "Connection refused" in notice["detail"]


def test_plan_with_replica_identity_keys_and_no_management():
    full = plan("in", {**CONFIG, "replica_identity": "full", "keys": {"orders": ["id"]}})
    identities = [one["resource"] for one in full if one.get("resource", {}).get("type") == "postgres_replica_identity"]
    assert [one["key"] for one in identities] == ["public.orders", "sales.items"]
    publication = next(one["resource"] for one in full if one.get("resource", {}).get("type") == "postgres_publication")
    assert ["postgres_replica_identity", "public.orders"] in publication["depends_on"]
    assert {"stream": {"name": "public.orders", "key": ["id"]}} in full
    assert not [one for one in plan("in", {**CONFIG, "manage": False}) if "resource" in one]


def test_an_unknown_connection_string_does_not_defer_the_plan_and_unknown_tables_do():
    known = plan("in", {"connection_string": {"$unknown": True}, "tables": ["t"]})
    assert known[-1]["status"] == "done"
    assert "not known yet" in known[-1]["diagnostics"][0]["detail"]
    unknown = plan("in", {"connection_string": "x", "tables": {"$unknown": True}})
    assert unknown[-1]["status"] == "deferred"


def test_wrong_settings_are_named():
    for wrong in ({"tables": ["a.b.c"]}, {"tables": []}, {"operations": ["merge"]}, {"keys": {"other": ["id"]}}):
        assert plan("in", {**CONFIG, **wrong})[-1]["status"] == "error"


def test_probe_and_a_plan_that_knows_no_server_do_not_load_the_driver():
    script = (
        "import sys, dstream_postgres.providers as p; i = p.input_provider();"
        "from dstream_sdk import PlanContext, UNKNOWN, decode; from dstream_postgres.settings import InputSettings;"
        "list(i.input.plan(decode(InputSettings, {'connection_string': UNKNOWN, 'tables': ['t']}),"
        " PlanContext('t')));"
        "p.output_provider(); print('psycopg2' in sys.modules, 'orjson' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout == "False False\n"


def test_no_answer_and_no_log_holds_the_password():
    for dsn in (
        CONFIG["connection_string"],
        "host=127.0.0.1 port=1 password=hunter2secret user=u",
        "hunter2secret",  # not a connection string at all: libpq would repeat it
        "postgresql://u:hunter2secret@127.0.0.1:1/none?nonsense=1",
    ):
        for role in ("in", "out"):
            wire_role = {"in": "input", "out": "output"}[role]
            config = {"connection_string": dsn, **({"tables": ["t"]} if role == "in" else {})}
            opening = {"command": "run", "protocol": 2, "role": wire_role, "task": "t", "config": config, "acks": True}
            with ProviderProcess(program(role)) as process:
                process.send({**opening, "checkpoint": None})
                process.close()
                out = process.rest()
                assert json.loads(out[0])["status"] == "error"
                process.wait()
                assert "hunter2secret" not in process.stderr() and not any(b"hunter2secret" in line for line in out)
        session = ResourceRun({"connection_string": dsn})
        answer = session.ask("status", "postgres_publication", key="p", identity={"name": "p"})
        assert answer["status"] == "error"
        assert "hunter2secret" not in json.dumps(answer)
        session.close()


def test_the_password_is_not_among_the_arguments(database: Database):
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    database.prepare("t")
    run = InputRun(database.config("t"), until=None)
    run.wait_for(lambda one: one.status.get("status") == "ready")
    arguments = Path(f"/proc/{run.process.pid}/cmdline").read_text()
    assert "postgres" in arguments and database.server.password not in arguments
    run.stop()


def test_a_wrong_password_is_denied_and_an_absent_server_is_retriable(database: Database):
    wrong = database.dsn.replace(database.server.password, "wrong")
    refused = InputRun({**database.config("t"), "connection_string": wrong}).finish().status["diagnostics"][0]
    assert (refused["class"], "wrong" in refused["detail"].split()) == ("denied", False)
    role = f"role_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'hunter2secret'")
    try:
        weak = database.dsn.replace(f"postgres:{database.server.password}", f"{role}:hunter2secret")
        may_not = InputRun({**database.config("t"), "connection_string": weak}).finish().status["diagnostics"][0]
        assert may_not["class"] == "denied"
        assert "REPLICATION" in may_not["detail"]
    finally:
        database.execute(f"DROP ROLE {role}")
    nowhere = OutputRun({"connection_string": database.dsn.replace(database.name, "nowhere")}).ready["diagnostics"][0]
    assert nowhere["class"] == "invalid"
    absent = OutputRun({"connection_string": CONFIG["connection_string"]}).ready["diagnostics"][0]
    assert absent["class"] == "retriable"
