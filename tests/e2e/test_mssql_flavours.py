"""Azure SQL Database and Managed Instance, from init to destroy, typed as a user would type it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.commands import dstream
from tests.services.mssql.flavours import AZURE, MANAGED, Flavour
from tests.services.mssql.server import SqlServer

CONFIGURATION = """
task "orders-to-file" {
  input {
    provider = "mssql"
    config {
      connection_string = env("DATABASE_CONNECTION_STRING")
      tables            = ["Orders"]
      poll_interval     = "50ms"
      retention         = "RETENTION"
    }
  }
  output {
    provider = "jsonl"
    config { path = "changes/{table}.jsonl" }
  }
}
"""


@pytest.mark.parametrize("flavour", [AZURE, MANAGED], ids=lambda one: one.name)
def test_each_flavour_goes_from_init_to_destroy_with_a_retention(flavour: Flavour, tmp_path: Path):
    with SqlServer(flavour=flavour) as server:
        shop = server.create_database("shop", cdc=False)
        shop.create_table("Orders", "Id int primary key, Total decimal(10, 2)")
        env = {"DATABASE_CONNECTION_STRING": server.connection_string("shop")}
        path = tmp_path / "dstream.hcl"
        path.write_text(CONFIGURATION.replace("RETENTION", "2d"))
        for command in ("init", "plan", "apply -auto-approve"):
            done = dstream(tmp_path, *command.split(), env=env)
            assert done.code == 0, done.said
        assert shop.cdc.retention == 2880
        assert dstream(tmp_path, "plan", "-detailed-exitcode", env=env).code == 0
        with shop.transaction() as t:
            t.insert("Orders", Id=1, Total="9.90")
            t.update("Orders", {"Id": 1}, Total="10.00")
        ran = dstream(tmp_path, "run", "orders-to-file", "--until-idle", env=env)
        assert ran.code == 0, ran.said
        lines = (tmp_path / "changes" / "Orders.jsonl").read_text().splitlines()
        assert [json.loads(line)["metadata"]["OperationType"] for line in lines] == ["Insert", "Update"]
        path.write_text(CONFIGURATION.replace("RETENTION", "5d"))
        changed = dstream(tmp_path, "apply", "-auto-approve", env=env)
        assert changed.code == 0, changed.said
        assert shop.cdc.retention == 7200
        destroyed = dstream(tmp_path, "destroy", "-auto-approve", "-allow-data-loss", env=env)
        assert destroyed.code == 0, destroyed.said
        assert not shop.cdc.enabled
        assert shop.properties == {}
