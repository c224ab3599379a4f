"""Columns that are added to a captured table: the plan says so, makes a second capture instance, lets the first go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from dstream_mssql.capture_instances import instance_name
from dstream_mssql.database import connect, target_of
from dstream_mssql.names import Table
from providers.mssql.tests.harness import Json, ResourceRun, config_of, plan, read
from tests.services.mssql.server import SqlServer

TABLE = "mssql_cdc_table"


class Shop:
    """A database whose tables dstream captures: what `apply` does with a plan is done by `apply`."""

    def __init__(self, server: SqlServer) -> None:
        self.server = server
        self.database = server.create_database("shop", cdc=False)
        self.database.create_table("Orders", "Id int primary key, Total decimal(10, 2)")
        self.session = ResourceRun({"connection_string": server.connection_string("shop")})
        self.made: dict[str, Json] = {}
        self.apply()

    def plan(self, *tables: str, **more: Any) -> Plan:
        return Plan(plan(config_of(self.server, *(tables or ("Orders",)), **more)))

    def apply(self, **more: Any) -> Plan:
        """Make what the plan wants and is not there, and remove what it does not want and we have made."""
        planned = self.plan(**more)
        for key in [key for key in self.made if key not in planned.objects]:
            self.session.ask("destroy", TABLE, identity=self.made.pop(key)["identity"], prior={})
        for number, (key, resource) in enumerate(planned.objects.items()):
            if key not in self.made:
                wanted, kind = resource["attributes"], resource["type"]
                made = self.session.ask("init", kind, key=key, desired=wanted, intent=f"i-{key}-{number}")
                assert made["status"] == "ok", made
                self.made[key] = made
        return planned

    def status(self, key: str) -> Json:
        made = self.made[key]
        answer: Json = self.session.ask("status", TABLE, identity=made["identity"], prior=made["attributes"])
        return answer["attributes"]

    @property
    def instances(self) -> list[str]:
        return sorted(one.name for one in self.database.cdc.instances.values())

    def clean_up(self) -> None:
        """Four days pass, and cleanup removes what is older than three."""
        self.server.clock.travel(days=4)
        with self.database.transaction() as t:
            t.insert("Orders", Id=900 + len(self.database.log))
        self.database.cdc.cleanup()


def execute(server: SqlServer, statement: str) -> None:
    """As an administrator types it."""
    database = connect(target_of(server.connection_string("shop")))
    database.run("do it", statement)
    database.close()


class Plan:
    """The answer of a plan."""

    def __init__(self, lines: list[Json]) -> None:
        *found, self.end = lines
        assert self.end["status"] == "done", self.end
        self.objects = {one["resource"]["key"]: one["resource"] for one in found if "resource" in one}
        self.instances = {key: one["attributes"].get("capture_instance") for key, one in self.objects.items()}
        self.instances.pop("shop", None)
        self.released = [key for _, key in self.end.get("released", [])]
        self.warnings = [one["detail"] for one in self.end.get("diagnostics", [])]

    @property
    def warning(self) -> str:
        (found,) = self.warnings
        return found

    @property
    def statement(self) -> str:
        """What the warning says is to be typed."""
        found = re.search(r"EXEC [^;]+", self.warning)
        assert found is not None, self.warning
        return found[0]


@pytest.fixture
def shop(server: SqlServer) -> Iterator[Shop]:
    found = Shop(server)
    yield found
    found.session.close()


def test_a_new_column_is_one_more_object_and_the_plan_says_which_and_why(shop: Shop):
    assert shop.plan().warnings == []
    assert shop.status("Orders").get("uncaptured_columns") is None
    shop.database.add_column("Orders", "Note nvarchar(100)")
    shop.database.add_column("Orders", "Extra int")
    planned = shop.plan(role_name="readers")
    assert planned.instances == {"Orders": "dbo_Orders", "Orders/2": "dbo_Orders_2"}
    assert planned.objects["Orders/2"]["attributes"]["role_name"] == "readers"
    assert planned.objects["Orders/2"]["depends_on"] == [["mssql_cdc_database", "shop"]]
    assert "dbo.Orders: the capture instance dbo_Orders does not capture the columns Note, Extra" in planned.warning
    assert "This plan creates a second capture instance, dbo_Orders_2" in planned.warning
    assert planned.end["diagnostics"][0]["severity"] == "warning"
    assert planned.released == []
    assert shop.status("Orders")["uncaptured_columns"] == ["Note", "Extra"], "which is what drift shows"
    shop.apply()
    assert [column.name for column in shop.database.cdc.instances["dbo_orders_2"].columns][2:] == ["Note", "Extra"]
    again = shop.plan()
    assert (again.instances, again.warnings, again.released) == (shop.apply().instances, [], [])
    assert [shop.status(key).get("uncaptured_columns") for key in ("Orders", "Orders/2")] == [None, None]


def test_the_first_is_let_go_when_it_reaches_back_no_farther_than_the_second(shop: Shop):
    with shop.database.transaction() as t:
        t.insert("Orders", Id=1)
    shop.database.add_column("Orders", "Note nvarchar(100)")
    shop.apply()
    with shop.database.transaction() as t:
        t.insert("Orders", Id=2, Note="b")
    # A task that has read everything: whoever else reads the first instance is not known.
    behind = read(config_of(shop.server, "Orders")).checkpoint
    for _ in range(2):
        assert shop.apply().released == []
    shop.server.clock.travel(days=2)
    shop.database.cdc.idle_entry()
    shop.database.cdc.cleanup()
    assert shop.plan().released == [], "cleanup has not come to what the first has alone"
    with shop.database.transaction() as t:
        t.insert("Orders", Id=3, Note="c")
    shop.clean_up()
    planned = shop.apply()
    assert (planned.instances, planned.released, planned.warnings) == ({"Orders/2": "dbo_Orders_2"}, ["Orders"], [])
    assert shop.instances == ["dbo_Orders_2"]
    assert shop.plan().released == []
    assert list(shop.database.properties) == [("", "", "dstream_cdc"), ("dbo", "Orders", "dstream_cdc:dbo_orders_2")]
    assert behind is not None and behind["tables"]["dbo.Orders"]["instance"] == "dbo_Orders_2"
    # The next columns take the name that has become free.
    shop.database.add_column("Orders", "More int")
    assert shop.apply().instances == {"Orders": "dbo_Orders", "Orders/2": "dbo_Orders_2"}
    shop.clean_up()
    assert shop.apply().released == ["Orders/2"]
    assert shop.instances == ["dbo_Orders"]


def test_more_columns_while_there_are_two_wait_until_the_first_may_go(shop: Shop):
    shop.database.add_column("Orders", "Note nvarchar(100)")
    shop.apply()
    shop.database.add_column("Orders", "More int")
    waits = shop.apply()
    assert waits.instances == {"Orders": "dbo_Orders", "Orders/2": "dbo_Orders_2"}
    assert "dbo_Orders_2 does not capture the column More" in waits.warning
    assert "dbo_Orders still holds changes that dbo_Orders_2 does not" in waits.warning
    shop.clean_up()
    removes = shop.apply()
    assert removes.released == ["Orders"]
    assert (
        "This plan removes dbo_Orders, whose changes are all in dbo_Orders_2: apply it and plan again"
        in removes.warning
    )
    assert shop.apply().instances == {"Orders": "dbo_Orders", "Orders/2": "dbo_Orders_2"}
    assert "More" in [column.name for column in shop.database.cdc.instances["dbo_orders"].columns]
    assert shop.plan().warnings == []


def test_who_need_not_wait_types_what_the_plan_says(shop: Shop):
    shop.database.add_column("Orders", "Note nvarchar(100)")
    shop.apply()
    shop.database.add_column("Orders", "More int")
    execute(shop.server, shop.plan().statement)
    assert shop.instances == ["dbo_Orders_2"]
    assert shop.plan().instances == {"Orders": "dbo_Orders", "Orders/2": "dbo_Orders_2"}


def test_what_brings_no_value_is_not_missed(shop: Shop):
    shop.database.add_column("Orders", "Twice as int")
    shop.database.add_column("Orders", "Rest xml column_set for all_sparse_columns")
    shop.database.drop_column("Orders", "Total")
    shop.database.alter_column("Orders", "Id", "bigint")
    planned = shop.plan()
    assert (planned.instances, planned.warnings) == ({"Orders": "dbo_Orders"}, [])


def test_a_column_that_was_dropped_and_came_again_is_another_one(shop: Shop):
    shop.database.drop_column("Orders", "Total")
    shop.database.add_column("Orders", "Total decimal(12, 4)")
    planned = shop.apply()
    assert "does not capture the column Total" in planned.warning
    with shop.database.transaction() as t:
        t.insert("Orders", Id=1, Total=5)
    assert read(config_of(shop.server, "Orders")).told[-1][1]["Total"] == 5


def test_new_columns_are_ignored_where_the_user_says_so(shop: Shop):
    shop.database.add_column("Orders", "Note nvarchar(100)")
    planned = shop.plan(new_columns="ignore")
    assert (planned.instances, planned.warnings) == ({"Orders": "dbo_Orders"}, [])
    assert read(config_of(shop.server, "Orders", new_columns="ignore")).said.count("does not capture") == 0
    [refused] = plan(config_of(shop.server, "Orders", new_columns="perhaps"))
    assert "new_columns" in refused["diagnostics"][0]["detail"]


def test_what_the_second_has_already_is_let_go_with_it_even_if_columns_were_ignored_meanwhile(shop: Shop):
    shop.database.add_column("Orders", "Note nvarchar(100)")
    shop.apply()
    shop.clean_up()
    assert shop.apply(new_columns="ignore").released == ["Orders"]


def test_of_what_others_made_the_plan_tells_the_statement_and_touches_nothing(server: SqlServer):
    database = server.create_database("shop")
    database.create_table("Orders", "Id int primary key, Total decimal(10, 2)")
    database.cdc.enable_table("Orders", instance="by_the_dba", role="readers")
    database.add_column("Orders", "Note nvarchar(100)")
    config = config_of(server, "Orders")
    planned = Plan(plan(config))
    assert planned.instances == {}
    assert "by_the_dba does not capture the column Note" in planned.warning
    assert planned.statement == (
        "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'Orders',"
        " @capture_instance = N'dbo_Orders', @role_name = N'readers', @supports_net_changes = 0"
    )
    execute(server, planned.statement)
    done = Plan(plan(config))
    assert (done.instances, done.warnings, done.released) == ({}, [], [])
    # It is somebody else's, and stays as long as it likes; a third one cannot be made.
    server.clock.travel(days=4)
    with database.transaction() as t:
        t.insert("Orders", Id=1)
    database.cdc.cleanup()
    database.add_column("Orders", "More int")
    full = Plan(plan(config))
    assert (full.instances, full.released) == ({}, [])
    assert "If nothing reads by_the_dba any more: EXEC sys.sp_cdc_disable_table" in full.warning
    execute(server, full.statement)
    assert sorted(database.cdc.instances) == ["dbo_orders"]


def test_a_table_that_is_not_managed_is_told_the_statement(shop: Shop):
    shop.database.add_column("Orders", "Note nvarchar(100)")
    planned = shop.plan(manage=False)
    assert planned.objects == {}
    assert "@capture_instance = N'dbo_Orders_2'" in planned.statement


def test_columns_that_an_administrator_left_out_are_not_missed_until_the_table_is_altered(server: SqlServer):
    database = server.create_database("shop")
    database.create_table("Orders", "Id int primary key, Total decimal(10, 2), Photo varbinary(max)")
    database.cdc.enable_table("Orders", columns=["Id", "Total"])
    assert Plan(plan(config_of(server, "Orders"))).warnings == []
    database.add_column("Orders", "Note nvarchar(100)")
    assert "Note" in Plan(plan(config_of(server, "Orders"))).warning


def test_ours_beside_somebody_elses_newer_one_stays(shop: Shop):
    shop.database.add_column("Orders", "Note nvarchar(100)")
    shop.database.cdc.enable_table("Orders", instance="by_the_dba")
    shop.clean_up()
    planned = shop.plan()
    assert (planned.instances, planned.warnings, planned.released) == ({"Orders": "dbo_Orders"}, [], [])


def test_a_declared_capture_instance_with_a_list_of_columns_misses_none(shop: Shop):
    shop.database.create_table("Items", "Id int primary key, A int, B int")
    wanted = {"table": "Items", "capture_instance": "few", "columns": ["Id", "A"]}
    made = shop.session.ask("init", TABLE, key="i", desired=wanted, intent="i")
    assert made["attributes"].get("uncaptured_columns") is None
    shop.database.add_column("Items", "C int")
    again = shop.session.ask("status", TABLE, identity=made["identity"], prior=made["attributes"])
    assert again["attributes"].get("uncaptured_columns") is None
    everything = {"table": "Items", "capture_instance": "all"}
    made = shop.session.ask("init", TABLE, key="j", desired=everything, intent="j")
    shop.database.add_column("Items", "D int")
    again = shop.session.ask("status", TABLE, identity=made["identity"], prior=made["attributes"])
    assert again["attributes"]["uncaptured_columns"] == ["D"]


def test_names_that_another_table_has_or_would_get_are_left_to_it(shop: Shop):
    shop.database.create_table("Orders_2", "Id int primary key")
    shop.database.add_column("Orders", "Note nvarchar(100)")
    assert shop.plan().instances == {"Orders": "dbo_Orders", "Orders/3": "dbo_Orders_3"}
    planned = shop.plan("Orders", "Orders_2")
    assert planned.instances == {"Orders": "dbo_Orders", "Orders/3": "dbo_Orders_3", "Orders_2": "dbo_Orders_2"}
    shop.apply()
    shop.database.create_table("Orders_3", "Id int primary key")
    assert shop.plan("Orders_3").instances == {"Orders_3/2": "dbo_Orders_3_2"}


def test_the_name_of_a_capture_instance_fits_and_is_another_one_for_each_number_and_table():
    long, longer = Table("dbo", "T" * 120), Table("dbo", "T" * 121)
    names = [instance_name(table, number) for table in (long, longer, Table("dbo", "T")) for number in (1, 2, 13)]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) == 100
    assert names[-3:] == ["dbo_T", "dbo_T_2", "dbo_T_13"]
