"""plan, apply, drift and destroy on the demo's configuration, with the state in Azurite, typed as commands."""

import json
import os
import signal
import time

import pytest

from tests.events import PATIENCE, until


def test_plan_exits_with_2_before_apply_and_with_0_after_on_azure_blob_storage(remote_shop):
    before = remote_shop.dstream("plan", "-detailed-exitcode")
    assert before.code == 2, before.said
    assert remote_shop.replication() == ([], [])
    applied = remote_shop.dstream("apply", "-auto-approve")
    assert applied.code == 0, applied.said
    publications, slots = remote_shop.replication()
    assert (len(publications), len(slots)) == (1, 1)
    after = remote_shop.dstream("plan", "-detailed-exitcode")
    assert after.code == 0, after.said
    assert "No changes" in after.out
    destroyed = remote_shop.dstream("destroy", "-auto-approve", "-allow-data-loss")
    assert destroyed.code == 0, destroyed.said
    assert remote_shop.replication() == ([], [])


def test_plan_reads_the_state_without_a_lock_and_writes_nothing(shop):
    assert shop.dstream("apply", "-auto-approve").code == 0
    state = {path: path.read_bytes() for path in (shop.folder / ".dstream" / "state").rglob("*") if path.is_file()}
    assert state
    assert shop.dstream("plan").code == 0
    assert shop.dstream("drift").code == 0
    assert {path: path.read_bytes() for path in state} == state


def test_a_publication_that_is_gone_is_found_by_drift_and_put_back_by_apply(remote_shop):
    shop = remote_shop
    assert shop.dstream("apply", "-auto-approve").code == 0
    publications, slots = shop.replication()
    shop.sql(f"DROP PUBLICATION {publications[0]}")
    found = shop.dstream("drift", "-json")
    assert found.code == 2, found.said
    assert "missing" in found.out
    json.loads(found.out)
    assert shop.dstream("plan", "-detailed-exitcode").code == 2
    assert shop.dstream("apply", "-auto-approve").code == 0
    assert shop.replication() == (publications, slots)
    assert shop.dstream("drift").code == 0


def test_two_tasks_list_what_they_need_in_the_state(shop):
    assert shop.dstream("apply", "-auto-approve").code == 0
    listed = shop.dstream("state", "list")
    assert listed.code == 0, listed.said
    addresses = listed.out.split()
    assert any("postgres_publication" in address for address in addresses)
    shown = shop.dstream("state", "show", addresses[0])
    assert shown.code == 0, shown.said


def hold_the_slot_creation(shop):
    """Make the creation of a replication slot wait, as a transaction in progress does; returns what ends it."""
    import psycopg2

    connection = psycopg2.connect(shop.environment["DATABASE_URL"])
    cursor = connection.cursor()
    cursor.execute("SELECT txid_current()")
    return connection


def under_way(shop):
    """Whether an apply has begun to create: the slot waits for the open transaction."""
    return bool(shop.replication()[1])


@pytest.mark.parametrize("where", ["shop", "remote_shop"])
def test_of_two_applies_one_proceeds_and_the_other_waits_and_then_says_who_holds_the_lock(where, request):
    shop = request.getfixturevalue(where)
    holding = hold_the_slot_creation(shop)
    first = shop.start("apply", "-auto-approve")
    try:
        until(lambda: under_way(shop), "the first apply to create the slot")
        began = time.monotonic()
        second = shop.dstream("apply", "-auto-approve", "-lock-timeout=2s")
        assert second.code == 1, second.said
        assert time.monotonic() - began >= 2
        assert f"{first.pid}" in second.said
        assert "apply" in second.err
        assert "force-unlock" in second.err
    finally:
        holding.close()
        out, err = first.communicate(timeout=PATIENCE)
    assert first.returncode == 0, out + err
    assert shop.dstream("plan", "-detailed-exitcode").code == 0


@pytest.mark.parametrize("where", ["shop", "remote_shop"])
def test_an_apply_that_waits_long_enough_proceeds_after_the_other(where, request):
    shop = request.getfixturevalue(where)
    holding = hold_the_slot_creation(shop)
    first = shop.start("apply", "-auto-approve")
    try:
        until(lambda: under_way(shop), "the first apply to create the slot")
        second = shop.start("apply", "-auto-approve", "-lock-timeout=60s")
        lines = iter(second.stdout.readline, "")
        assert any(line.startswith("Waiting for the state lock") for line in lines)
        assert second.poll() is None
    finally:
        holding.close()
    for process in (first, second):
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, out + err
    assert "No changes" in out


def test_an_engine_killed_in_the_middle_of_an_apply_is_recovered_from_by_the_next(shop):
    holding = hold_the_slot_creation(shop)
    first = shop.start("apply", "-auto-approve")
    try:
        until(lambda: under_way(shop), "the apply to create the slot")
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate(timeout=PATIENCE)
    finally:
        holding.close()
    second = shop.dstream("apply", "-auto-approve", "-lock-timeout=30s")
    assert second.code == 0, second.said
    publications, slots = shop.replication()
    assert (len(publications), len(slots)) == (1, 1)
    recorded = shop.dstream("state", "list").out
    assert recorded.count("postgres_publication") == recorded.count("postgres_replication_slot") == 1
    assert shop.dstream("plan", "-detailed-exitcode").code == 0
    assert shop.dstream("destroy", "-auto-approve", "-allow-data-loss").code == 0
    assert shop.replication() == ([], [])


def test_a_saved_plan_is_carried_out_once_on_azure_blob_storage(remote_shop):
    shop = remote_shop
    assert shop.dstream("plan", "-out", "p.plan").code == 0
    applied = shop.dstream("apply", "p.plan")
    assert applied.code == 0, applied.said
    assert all(len(found) == 1 for found in shop.replication())
    assert shop.dstream("plan", "-detailed-exitcode").code == 0
    again = shop.dstream("apply", "p.plan")
    assert again.code == 1
    assert "a state has been created since" in " ".join(again.err.replace("│", "").split())
    assert shop.dstream("plan", "-destroy", "-out", "p.plan").code == 0
    assert "-allow-data-loss" in shop.dstream("apply", "p.plan").err
    assert shop.dstream("apply", "p.plan", "-allow-data-loss").code == 0
    assert shop.replication() == ([], [])


def test_a_saved_plan_carries_out_what_a_provider_of_version_1_does(tmp_path):
    from tests.e2e.commands import dstream

    output = tmp_path / "old.sh"
    output.write_text(
        '#!/bin/sh\nIFS= read -r line\necho "$line" >> told\necho \'{"status":"success","message":"fine"}\'\n'
    )
    output.chmod(0o755)
    (tmp_path / "dstream.hcl").write_text(
        'task "old" {\n  input {\n    provider = "counter"\n  }\n  output {\n    provider_path = "./old.sh"\n'
        '    config {\n      password = env("SECRET")\n    }\n  }\n}\n'
    )
    assert dstream(tmp_path, "plan", "-out", "p.plan", env={"SECRET": "planted"}).code == 0
    assert b"planted" not in (tmp_path / "p.plan").read_bytes()
    assert "Stale saved plan" in dstream(tmp_path, "apply", "p.plan", env={"SECRET": "another"}).err
    done = dstream(tmp_path, "apply", "p.plan", env={"SECRET": "planted"})
    assert done.code == 0, done.said
    [told] = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines() if '"init"' in line]
    assert told["config"]["password"] == "planted"
    assert dstream(tmp_path, "plan", "-detailed-exitcode", env={"SECRET": "planted"}).code == 0


def test_a_replica_identity_is_set_watched_and_put_back_as_it_was(shop):
    identities = (
        "SELECT relname::text || relreplident::text FROM pg_class WHERE relname IN ('customers', 'orders') ORDER BY 1"
    )

    def found():
        return [name for (name,) in shop.sql(identities)]

    shop.sql("ALTER TABLE orders REPLICA IDENTITY NOTHING")
    path = shop.folder / "dstream.hcl"
    path.write_text(
        path.read_text().replace("tables            = local", 'replica_identity = "full"\n tables = local', 1)
    )
    assert shop.dstream("apply", "-auto-approve").code == 0
    assert found() == ["customersf", "ordersf"]
    assert shop.dstream("plan", "-detailed-exitcode").code == 0
    shop.sql("ALTER TABLE customers REPLICA IDENTITY DEFAULT")
    assert shop.dstream("drift").code == 2
    assert shop.dstream("apply", "-auto-approve").code == 0
    assert found() == ["customersf", "ordersf"]
    assert shop.dstream("destroy", "-auto-approve", "-allow-data-loss").code == 0
    assert found() == ["customersd", "ordersn"]
