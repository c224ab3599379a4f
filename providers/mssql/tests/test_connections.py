"""Connections: logins, TLS, tokens of Azure, errors without secrets, and connections that break."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from providers.mssql.tests.harness import InputRun, config_of, plan, read, refusal
from tests.services.mssql.model import Database, Login
from tests.services.mssql.server import SqlServer


def insert(shop: Database, number: int) -> None:
    with shop.transaction() as t:
        t.insert("Orders", Id=number)


@pytest.mark.parametrize(
    ("breaks", "after_rows"), [("fn_cdc_get_max_lsn", 0), ("dbo_Orders_CT", 0), ("dbo_Orders_CT", 3)]
)
def test_a_connection_that_breaks_is_made_again_and_nothing_is_lost_or_repeated(
    server: SqlServer, shop: Database, breaks: str, after_rows: int
):
    run = InputRun(config_of(server, "Orders"), until=None)
    insert(shop, 0)
    run.wait_for(lambda one: len(one.envelopes) == 1)
    server.drop(breaks, after_rows=after_rows, times=2)
    for number in range(1, 8):
        insert(shop, number)
    run.wait_for(lambda one: len(one.envelopes) == 8 and "reconnected" in one.said)
    assert [data["Id"] for _, data in run.told] == list(range(8))
    run.stop()
    assert run.ended


@pytest.mark.parametrize("after_rows", [1, 20, 65, 66, 67, 68, 69, 70, 120])
def test_a_connection_that_breaks_within_a_row_leaves_nothing_behind(
    server: SqlServer, shop: Database, after_rows: int
):
    """Half a row that came before the break must not be taken for the beginning of what comes after it."""
    shop.create_table("Wide", "Id int primary key, Body nvarchar(2000)")
    shop.cdc.enable_table("Wide")
    with shop.transaction() as t:
        t.insert_rows("Wide", [(number, chr(65 + number % 26) * 1900) for number in range(200)])
    server.drop("dbo_Wide_CT", after_rows=after_rows)
    run = InputRun(config_of(server, "Wide"), until=None)
    run.wait_for(lambda one: len(one.envelopes) >= 200)
    run.stop()
    assert [(data["Id"], data["Body"][0]) for _, data in run.told] == [(n, chr(65 + n % 26)) for n in range(200)]


def test_a_server_that_is_away_for_a_while_is_waited_for(server: SqlServer, shop: Database):
    run = InputRun(config_of(server, "Orders"), until=None)
    insert(shop, 1)
    run.wait_for(lambda one: len(one.envelopes) == 1)
    server.stop()
    insert(shop, 2)
    run.wait_for(lambda one: "retrying" in one.said)
    server.start()
    run.wait_for(lambda one: len(one.envelopes) == 2)
    run.stop()
    assert run.ended


def test_a_server_that_stays_away_ends_the_session_after_the_time_that_is_set(server: SqlServer, shop: Database):
    run = InputRun(config_of(server, "Orders", reconnect_timeout="500ms"), until=None)
    insert(shop, 1)
    run.wait_for(lambda one: len(one.envelopes) == 1)
    server.stop()
    run.finish()
    assert run.process.returncode == 1
    assert "Secret-1" not in run.said
    server.start()
    insert(shop, 2)
    assert [data["Id"] for _, data in read(config_of(server, "Orders"), run.checkpoint).told][-1] == 2


def test_a_deadlock_and_a_throttled_request_are_tried_again(server: SqlServer, shop: Database):
    server.fail("dbo_Orders_CT", 1205, "Transaction was deadlocked on lock resources", severity=13)
    server.fail("dbo_Orders_CT", 40501, "The service is currently busy", severity=20)
    insert(shop, 1)
    run = InputRun(config_of(server, "Orders"), until=None)
    run.wait_for(lambda one: len(one.envelopes) == 1)
    run.stop()


def test_a_server_that_does_not_answer_does_not_keep_a_session_from_stopping(server: SqlServer, shop: Database):
    run = InputRun(config_of(server, "Orders"), until=None)
    insert(shop, 1)
    run.wait_for(lambda one: len(one.envelopes) == 1 and one.covered == 1)
    asked, free = threading.Event(), threading.Event()

    def hang(text: str) -> None:
        if "dbo_Orders_CT" in text:
            asked.set()
            free.wait(60)

    server.before = hang
    insert(shop, 2)
    assert asked.wait(30)
    run.stop()
    free.set()
    assert run.ended
    assert len(run.envelopes) == 1
    server.before = None
    assert [data["Id"] for _, data in read(config_of(server, "Orders"), run.checkpoint).told] == [2]


def test_a_throttled_look_at_the_database_is_tried_again(server: SqlServer, shop: Database):
    run = InputRun(config_of(server, "Orders"), until=None)
    insert(shop, 1)
    run.wait_for(lambda one: len(one.envelopes) == 1)
    server.fail("fn_cdc_get_max_lsn", 40501, "The service is currently busy", severity=17, times=2)
    insert(shop, 2)
    run.wait_for(lambda one: len(one.envelopes) == 2 and "busy" in one.said)
    run.stop()


def test_wrong_credentials_and_databases_are_errors_without_the_password(server: SqlServer, shop: Database):
    good = server.connection_string("shop")
    for wrong, words in (
        (good.replace("Secret-1", "Wrong-2"), "Login failed"),
        (good.replace("Database=shop", "Database=nowhere"), "Cannot open database"),
        (good.replace(str(server.port), "1"), "127.0.0.1"),
    ):
        found = refusal({"connection_string": wrong, "tables": ["Orders"]})
        assert found["summary"] == "Could not connect to SQL Server"
        assert words in found["detail"]
        assert "Wrong-2" not in found["detail"]
        assert "Secret-1" not in found["detail"]
    [answer] = plan({"connection_string": good.replace("Secret-1", "Wrong-2"), "tables": ["Orders"]})
    assert answer["status"] == "error"


@pytest.fixture
def encrypted() -> Iterator[SqlServer]:
    with SqlServer(encrypt=True) as running:
        database = running.create_database("shop")
        database.create_table("Orders", "Id int primary key, Name nvarchar(max)")
        database.cdc.enable_table("Orders")
        with database.transaction() as t:
            t.insert("Orders", Id=1, Name="x" * 100_000)
        yield running


def test_over_tls_with_a_certificate_of_an_authority_that_is_named(encrypted: SqlServer):
    [(_, data)] = read(config_of(encrypted, "Orders")).told
    assert len(data["Name"]) == 100_000


def test_a_certificate_that_nobody_vouches_for_is_refused_unless_it_is_trusted(encrypted: SqlServer):
    plain = encrypted.connection_string("shop").partition(";ServerCertificateAuthority")[0]
    found = refusal({"connection_string": plain, "tables": ["Orders"]})
    assert "TrustServerCertificate" in found["detail"]
    trusting = {"connection_string": plain + ";TrustServerCertificate=yes", "tables": ["Orders"]}
    assert len(read(trusting).told) == 1


def test_a_certificate_for_another_host_is_refused_unless_that_host_is_named(encrypted: SqlServer):
    other = encrypted.connection_string("shop").replace("127.0.0.1", "127.0.0.2")
    elsewhere = {"connection_string": encrypted.connection_string("shop") + ";HostNameInCertificate=db.example.com"}
    assert "TLS" in refusal({**elsewhere, "tables": ["Orders"]})["detail"]
    assert "127.0.0.2" in refusal({"connection_string": other, "tables": ["Orders"]})["detail"]


def test_where_the_server_demands_tls_encrypt_no_still_encrypts(encrypted: SqlServer):
    plain = encrypted.connection_string("shop").replace("Encrypt=yes", "Encrypt=no")
    assert len(read({"connection_string": plain, "tables": ["Orders"]}).told) == 1


def test_where_only_the_login_is_encrypted_the_rest_is_clear():
    with SqlServer(encrypt=True, login_only=True) as server:
        database = server.create_database("shop")
        database.create_table("Orders", "Id int primary key")
        database.cdc.enable_table("Orders")
        with database.transaction() as t:
            t.insert("Orders", Id=1)
        plain = server.connection_string("shop").replace("Encrypt=yes", "Encrypt=no")
        assert len(read({"connection_string": plain, "tables": ["Orders"]}).told) == 1
        assert server.seen.clear_logins == 0


def test_a_server_without_tls_is_refused_where_tls_is_wanted(server: SqlServer, shop: Database):
    wanted = server.connection_string("shop").replace("Encrypt=no", "Encrypt=yes")
    assert "encryption" in refusal({"connection_string": wanted, "tables": ["Orders"]})["detail"]


class Identity(BaseHTTPRequestHandler):
    """The endpoint that gives tokens to what runs in Azure (App Service's form)."""

    tokens: Any = None

    def do_GET(self) -> None:
        expires = int(time.time()) + 3600
        payload = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
        body = json.dumps({"access_token": f"e30.{payload}.sig", "expires_on": str(expires), "token_type": "Bearer"})
        type(self).tokens.append((self.path, f"e30.{payload}.sig"))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None: ...


class Given(dict[str, Login]):
    """Whatever token the endpoint gave is let in."""

    def get(self, token: str, default: Any = None) -> Any:
        given = {one for _, one in Identity.tokens}
        return Login("app", sysadmin=True) if token in given else default


def test_with_a_managed_identity_a_token_of_azure_logs_in(server: SqlServer, shop: Database):
    insert(shop, 1)
    Identity.tokens = []
    endpoint = ThreadingHTTPServer(("127.0.0.1", 0), Identity)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()

    server.tokens = Given()
    text = f"Server=127.0.0.1,{server.port};Database=shop;Encrypt=no;Authentication=Active Directory Managed Identity"
    environment = {
        "IDENTITY_ENDPOINT": f"http://127.0.0.1:{endpoint.server_address[1]}/token",
        "IDENTITY_HEADER": "secret-header",
    }
    run = InputRun({"connection_string": text, "tables": ["Orders"]}, env=environment).finish()
    endpoint.shutdown()
    assert run.ended, (run.status, run.said)
    assert len(run.told) == 1
    assert "resource=https://database.windows.net" in Identity.tokens[0][0]


def test_without_a_token_the_login_is_refused_with_the_reason(server: SqlServer, shop: Database):
    text = f"Server=127.0.0.1,{server.port};Database=shop;Encrypt=no;Authentication=ActiveDirectoryServicePrincipal"
    text += ";User ID=app;Password=hidden-secret"
    found = refusal({"connection_string": text, "tables": ["Orders"]})
    assert "tenant" in found["detail"]
    assert "hidden-secret" not in found["detail"]


def test_keys_of_the_older_provider_are_taken_and_their_lack_of_effect_is_said(server: SqlServer, shop: Database):
    insert(shop, 1)
    config = {
        "db_connection_string": server.connection_string("shop") + ";MultiSubnetFailover=yes",
        "tables": ["Orders"],
        "poll_interval": "5s",
        "max_poll_interval": "2m",
        "lock_config": {"type": "azure_blob", "connection_string": "AccountKey=abc", "container_name": "locks"},
    }
    run = read(config)
    assert len(run.told) == 1
    assert "lock_config (connection_string, container_name, type) has no effect" in run.said
    assert "AccountKey" not in run.said
    assert "MultiSubnetFailover" in run.said
