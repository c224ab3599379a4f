"""The ways into a namespace that take no key, and the one through port 443: typed as a user would, both planes real."""

from __future__ import annotations

import pytest

from providers.servicebus.tests.conftest import Folder
from providers.servicebus.tests.harness import add
from providers.servicebus.tests.recorded_in import change
from tests.services.azure.entra import SECRET

pytestmark = pytest.mark.timeout(400)  # many commands one after the other, on a machine that may be busy

QUEUES = ["Orders_cdc_events", "Persons_cdc_events"]
NAMES = {
    "managed": ["IDENTITY_ENDPOINT", "IDENTITY_HEADER"],
    "principal": ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"],
}


def sign_in(folder: Folder, how: str, more: str = "") -> None:
    """Write the task with the name of the namespace alone, and give the commands an identity."""
    at = f"127.0.0.1:{folder.bus.server.port}"
    folder.write(f'namespace = "{at}"\n      custom_endpoint = "{at}"\n      {more}')
    text = (folder.path / "dstream.hcl").read_text()
    names = ", ".join(f'"{name}"' for name in NAMES[how])
    text = text.replace('connection_string = env("ASB_CONNECTION")', "")
    text = text.replace('provider = "asb"', f'provider = "asb"\n    env      = [{names}]')
    (folder.path / "dstream.hcl").write_text(text)
    folder.environment |= folder.bus.entra.managed if how == "managed" else folder.bus.entra.principal


@pytest.mark.parametrize("how", ["managed", "principal"])
def test_entra_id_signs_in_for_queues_and_for_messages(folder: Folder, how: str) -> None:
    sign_in(folder, how)
    folder.bus.entra.given.clear()
    folder.apply()
    assert folder.bus.queues == QUEUES
    assert (how, "https://servicebus.azure.net") in folder.bus.entra.given
    folder.record(*(change("Orders", n, n=n) for n in range(30)))
    folder.run()
    assert [each["data"]["n"] for each in folder.bodies("Orders_cdc_events")] == list(range(30))
    gone = folder.dstream("destroy", "-auto-approve", "-allow-data-loss")
    assert gone.code == 0, gone.said
    assert folder.bus.queues == []
    assert {by for by, _ in folder.bus.entra.given} == {how}
    assert all(call.headers["authorization"].startswith("Bearer ") for call in folder.bus.server.requests("PUT"))


def test_a_token_that_the_namespace_does_not_take_is_told(folder: Folder) -> None:
    sign_in(folder, "managed", "retry_timeout = 90")
    folder.apply()
    folder.record(change("Orders", 1, n=1))
    folder.bus.entra.revoked = True
    try:
        ran = folder.dstream("run", "copy", "-until-idle")
        planned = folder.dstream("plan")
    finally:
        folder.bus.entra.revoked = False
    assert ran.code == 1 and "Access denied" in ran.said, ran.said
    assert planned.code == 1 and "Access denied" in planned.said, planned.said
    assert folder.bodies("Orders_cdc_events") == []


def test_a_wrong_secret_is_told_and_not_shown(folder: Folder) -> None:
    sign_in(folder, "principal")
    folder.environment["AZURE_CLIENT_SECRET"] = f"not-{SECRET}"
    planned = folder.dstream("apply", "-auto-approve")
    assert planned.code == 1 and "AADSTS7000215" in planned.said, planned.said
    assert SECRET not in planned.said
    assert folder.bus.queues == []


@pytest.mark.parametrize("how", ["key", "managed"])
def test_messages_pass_through_web_sockets_both_ways(folder: Folder, how: str) -> None:
    at = f"127.0.0.1:{folder.bus.server.port}"
    if how == "key":
        folder.write(f'transport = "websockets"\n      custom_endpoint = "{at}"')
    else:
        sign_in(folder, how, 'transport = "websockets"')
    folder.apply()
    folder.record(*(change("Orders", n, n=n) for n in range(300)))
    before = folder.bus.server.web_sockets
    folder.run()
    assert [each["data"]["n"] for each in folder.bodies("Orders_cdc_events")] == list(range(300))
    assert folder.bus.server.web_sockets == before + 1, "one for the queue that was sent to"
    add(folder.bus, "copied")
    (folder.path / "dstream.hcl").write_text(
        f"""
task "back" {{
  input {{
    provider = "asb"
    config {{
      connection_string = env("ASB_CONNECTION")
      queue             = "Orders_cdc_events"
      transport         = "websockets"
      custom_endpoint   = "{at}"
    }}
  }}
  output {{
    provider = "jsonl"
    config {{ path = "{folder.path}/back.jsonl" }}
  }}
}}
"""
    )
    ended = folder.dstream("run", "back", "-until-idle", "-unapplied")
    assert ended.code == 0, ended.said
    assert len((folder.path / "back.jsonl").read_text().splitlines()) == 300
    assert folder.bus.server.web_sockets > before + 1
