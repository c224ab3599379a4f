"""Delivering dead letters: confirmed by a clean exit, and never with a checkpoint."""

import pytest

from dstream.plugins import ProviderInfo
from dstream.plugins.dead_letter_delivery import deliver

pytestmark = pytest.mark.processes

TWO = ProviderInfo(2, "p", "1", frozenset({"output"}), frozenset({"checkpoint", "stores_checkpoint"}))
ONE = ProviderInfo(1, "p", "", frozenset({"output"}))


def test_envelopes_and_end_are_delivered_without_any_checkpoint(shell, tmp_path):
    said = deliver(shell('cat >"$0.got"'), TWO, [b'{"data":{"a":1}}\n', b'{"data":{"a":2}}'], task="t", config_json={})
    got = (tmp_path / "provider.got").read_text().splitlines()
    assert '"acks":false' in got[0]
    assert got[1:] == ['{"data":{"a":1}}', '{"data":{"a":2}}', '{"end":true}']
    assert said.confirmed


def test_version_1_gets_no_control_line(shell, tmp_path):
    assert deliver(shell('cat >"$0.got"'), ONE, [b'{"data":{"a":1}}'], task="t", config_json={}).confirmed
    got = (tmp_path / "provider.got").read_text()
    assert got == '{"command":"run","config":{}}\n{"data":{"a":1}}\n'


@pytest.mark.parametrize("info", [ONE, TWO], ids=["version-1", "version-2"])
def test_a_failure_is_not_a_confirmation(shell, info):
    said = deliver(
        shell("cat >/dev/null; echo no room for hunter2 >&2; exit 1"), info, [b'{"data":{}}'], task="t",
        config_json={}, redact=["hunter2"],
    )  # fmt: skip
    assert not said.confirmed
    assert "no room for (sensitive value)" in said.tail


def test_what_is_refused_again_is_told(shell):
    said = deliver(
        shell("""cat >/dev/null; echo '{"reject":{"envelope":{"data":{"a":1}},"reason":"still"}}'"""),
        TWO, [b'{"data":{"a":1}}'], task="t", config_json={},
    )  # fmt: skip
    assert said.refused == ({"data": {"a": 1}},)
