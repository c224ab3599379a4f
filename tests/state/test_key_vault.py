"""Keys of an encrypted state in Azure Key Vault: the real client, and a vault that stands in for the service."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dstream_state import (
    Encryption,
    KeyUnavailable,
    ObjectState,
    Put,
    SettingsError,
    StateError,
    WrongKey,
    open_backend,
    open_encryption,
)
from dstream_state import passphrase as passphrases
from dstream_state.azure.identity import LateCredential
from dstream_state.azure.key_vault import AzureKeyVault, VaultKey
from dstream_state.azure.key_vault_errors import unusable
from dstream_state.backend import Backend
from tests.services.azure.key_vault import Key, KeyVault, key_vault

PHRASE = "a passphrase that is long"


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyVault]:
    with key_vault() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(passphrases, "SCRYPT_N", 2**14)
        yield running


@pytest.fixture
def key(vault: KeyVault) -> Key:
    return vault.server.add_key("shop", "state")


def source(key_id: str, retry_seconds: float = 30.0, read_seconds: float = 30.0) -> AzureKeyVault:
    parsed = VaultKey.parse(key_id)
    assert parsed is not None
    found = {"tenant_id": "", "client_id": "", "client_secret": ""}
    return AzureKeyVault(
        parsed, lambda: LateCredential(found), retry_seconds=retry_seconds, first_pause=0.01, read_seconds=read_seconds
    )


def sealer(*key_ids: str, retry_seconds: float = 30.0) -> Encryption:
    return Encryption([source(each, retry_seconds) for each in key_ids])


def aged(form: dict[str, object], age: timedelta) -> dict[str, object]:
    """The form as if it had been made a while ago."""
    made = (datetime.now(UTC) - age).isoformat(timespec="seconds")
    return form | {"key": {**form["key"], "made": made}}  # type: ignore[dict-item]  # it is an object


def test_what_was_sealed_is_opened_by_another_process_with_one_request(vault: KeyVault, key: Key) -> None:
    first = sealer(key.id)
    forms = [first.seal(f"data {number}".encode(), b"here") for number in range(20)]
    assert forms[0]["key"]["vault_key"] == key.identifier(key.newest)
    assert (len(vault.server.asked("wrapkey")), len(vault.server.asked("get"))) == (1, 1)
    before = len(vault.server.asked("unwrapkey"))
    other = sealer(key.id)
    assert [other.open(form, b"here") for form in forms] == [f"data {number}".encode() for number in range(20)]
    other.seal(b"more", b"here")
    assert len(vault.server.asked("unwrapkey")) == before + 1
    assert (len(vault.server.asked("wrapkey")), len(vault.server.asked("get"))) == (1, 1)


def test_the_token_is_for_the_vault_and_nothing_is_sent_before_there_is_one(vault: KeyVault, key: Key) -> None:
    sealer(key.id).seal(b"", b"")
    assert vault.entra.given == [("managed", "https://vault.azure.net")]
    assert not [call for call in vault.server.calls if "authorization" not in call.headers and call.body]


def test_the_key_itself_is_in_no_form(vault: KeyVault, key: Key) -> None:
    form, secret = source(key.id).make()
    text = str(form)
    assert len(secret) == 32
    for spelling in (secret.hex(), base64.b64encode(secret).decode(), base64.urlsafe_b64encode(secret).decode()):
        assert spelling.rstrip("=") not in text


@pytest.mark.parametrize(
    ("kind", "domain", "algorithm"),
    [
        ("RSA", "vault.azure.net", "RSA-OAEP-256"),
        ("RSA-HSM", "vault.azure.net", "RSA-OAEP-256"),
        ("oct-HSM", "managedhsm.azure.net", "A256KW"),
    ],
)
def test_keys_of_these_types_wrap(vault: KeyVault, kind: str, domain: str, algorithm: str) -> None:
    found = vault.server.add_key("other", "k", kind, domain)
    form = sealer(found.id).seal(b"data", b"")
    assert form["key"]["algorithm"] == algorithm
    assert sealer(found.id).open(form, b"") == b"data"


def test_a_key_that_cannot_wrap_is_refused_before_anything_is_written(vault: KeyVault, key: Key) -> None:
    curve = vault.server.add_key("shop", "curve", "EC")
    with pytest.raises(KeyUnavailable, match="the type EC"):
        sealer(curve.id).seal(b"", b"")
    key.newest.operations = ["wrapKey"]
    with pytest.raises(KeyUnavailable, match="does not allow unwrapKey"):
        sealer(key.id).seal(b"", b"")
    key.newest.operations = ["wrapKey", "unwrapKey"]
    key.newest.enabled = False
    with pytest.raises(KeyUnavailable, match="is disabled"):
        sealer(key.id).seal(b"", b"")
    key.newest.enabled = True
    key.newest.expires = int(time.time()) - 10
    with pytest.raises(KeyUnavailable, match="has expired"):
        sealer(key.id).seal(b"", b"")
    assert not vault.server.asked("wrapkey")


def test_a_key_before_its_time_is_refused() -> None:
    attributes = {"enabled": True, "nbf": datetime.now(UTC).timestamp() + 3600}
    why = unusable("RSA", ["wrapKey", "unwrapKey"], attributes, ["RSA"], datetime.now(UTC))
    assert "in the future" in why
    assert not unusable("RSA", ["wrapKey", "unwrapKey"], {"nbf": 1, "exp": None}, ["RSA"], datetime.now(UTC))


def test_a_journal_that_a_killed_process_left_is_recovered_after_a_rotation(
    vault: KeyVault, key: Key, tmp_path: Path
) -> None:
    with open_backend("local", {}, root=tmp_path, encryption=sealer(key.id)).lock("apply") as held:
        held.append([Put("a", ObjectState("p", "t", "k"))])  # and never finish
    key.rotate()
    with open_backend("local", {}, root=tmp_path, encryption=sealer(key.id)).lock("apply") as held:
        assert list(held.snapshot.resources) == ["a"]


def test_a_wrapped_secret_of_another_length_is_no_key(vault: KeyVault, key: Key) -> None:
    form = sealer(key.id).seal(b"data", b"")
    short = base64.urlsafe_b64encode(key.newest.wrap("RSA-OAEP-256", b"x" * 16)).rstrip(b"=").decode()
    with pytest.raises(WrongKey, match="did not unwrap to a key of 256 bits"):
        sealer(key.id).open(form | {"key": form["key"] | {"wrapped": short}}, b"")


def test_nothing_is_written_that_who_wrote_it_could_not_read(vault: KeyVault, key: Key) -> None:
    vault.server.permissions.remove("unwrapKey")
    with pytest.raises(KeyUnavailable, match=r"unwrapKey returned 403 .*Key Vault Crypto User"):
        sealer(key.id).seal(b"", b"")


def test_after_the_vaults_key_was_rotated_all_is_read_and_the_new_version_is_used_within_a_day(
    vault: KeyVault, key: Key
) -> None:
    old = sealer(key.id).seal(b"data", b"")
    key.rotate()
    soon = sealer(key.id)
    assert soon.open(old, b"") == b"data"
    assert soon.seal(b"more", b"")["key"]["vault_key"] == key.identifier(key.versions[0])
    later = sealer(key.id)
    assert later.open(aged(old, timedelta(hours=25)), b"") == b"data"
    new = later.seal(b"more", b"")
    assert new["key"]["vault_key"] == key.identifier(key.newest)
    assert new["key"]["wrapped"] != old["key"]["wrapped"]
    reader = sealer(key.id)
    assert (reader.open(old, b""), reader.open(new, b"")) == (b"data", b"more")


def test_a_pinned_version_is_used_for_ever_and_reads_what_other_versions_wrapped(vault: KeyVault, key: Key) -> None:
    old = sealer(key.id).seal(b"data", b"")
    key.rotate()
    pinned = key.identifier(key.newest)
    moved = sealer(pinned)
    assert moved.open(old, b"") == b"data"
    new = moved.seal(b"more", b"")
    assert new["key"]["vault_key"] == pinned
    key.rotate()
    later = sealer(pinned)
    assert later.open(aged(new, timedelta(days=400)), b"") == b"more"
    assert later.seal(b"", b"")["key"]["wrapped"] == new["key"]["wrapped"]


def test_an_expired_key_still_reads(vault: KeyVault, key: Key) -> None:
    form = sealer(key.id).seal(b"data", b"")
    key.newest.expires = int(time.time()) - 10
    assert sealer(key.id).open(form, b"") == b"data"


def test_sources_are_changed_for_one_another_with_the_earlier_as_fallback(vault: KeyVault, key: Key) -> None:
    second = vault.server.add_key("other", "state")
    phrase = {"passphrase": PHRASE}
    one = {"azure_key_vault": [{"key_id": key.id}]}
    two = {"azure_key_vault": [{"key_id": second.id}]}
    for before, after, fallback in (
        (phrase, one, {"fallback_passphrases": [PHRASE]}),
        (one, phrase, {"fallback_azure_key_vault": [{"key_id": key.id}]}),
        (one, two, {"fallback_azure_key_vault": [{"key_id": key.id}]}),
    ):
        old = open_encryption(before).seal(b"data", b"")
        with pytest.raises(WrongKey, match="fallback_"):
            open_encryption(after).open(old, b"")
        both = open_encryption(after | fallback)
        assert both.open(old, b"") == b"data"
        new = both.seal(b"more", b"")
        assert open_encryption(after).open(new, b"") == b"more"
        with pytest.raises(WrongKey):
            open_encryption(before).open(new, b"")


def test_a_document_does_not_lead_to_another_vault(vault: KeyVault, key: Key) -> None:
    elsewhere = vault.server.add_key("elsewhere", "state")
    form = sealer(elsewhere.id).seal(b"forged", b"")
    vault.server.calls.clear()
    with pytest.raises(WrongKey, match=r"https://elsewhere\.vault\.azure\.net/keys/state/"):
        sealer(key.id).open(form, b"")
    assert not vault.server.calls


REFUSED = {
    "denied": r"403 ForbiddenByRbac.*'Key Vault Crypto User'.*Nothing was written.*Caller: appid=1;oid=2",
    "firewall": r"403 ForbiddenByFirewall.*firewall",
    "disabled": r"403 KeyDisabled.*az keyvault key set-attributes --id \S+ --enabled true",
    "deleted": r"404 KeyNotFound.*az keyvault key recover --id https://shop.vault.azure.net/deletedkeys/state",
    "foreign": r"401 Unauthorized.*tenant",
    "deleting": r"409 ObjectIsBeingDeleted.*deleted or recovered",
    "throttled": r"returned 429 .*run the operation again",
    "nobody": r"does not answer.*Check the name of the vault and the network",
    "another domain": r"requests a token for another domain",
    "not a vault": r"returned 405.*Check that key_id is the address of a key in a vault",
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_refusal_says_why_and_what_to_do_and_changes_nothing(
    vault: KeyVault, key: Key, tmp_path: Path, why: str
) -> None:
    def opened() -> Backend:
        return open_backend("local", {}, root=tmp_path, encryption=sealer(key.id, retry_seconds=0.3))

    with open_backend("local", {}, root=tmp_path, encryption=sealer(key.id)).lock("apply") as held:
        held.append([Put("a", ObjectState("p", "t", "k"))])
        held.finish()
    server = vault.server
    if why == "denied":
        server.permissions.remove("unwrapKey")
    server.firewall = why == "firewall"
    key.newest.enabled = why != "disabled"
    key.deleted = why == "deleted"
    server.foreign = why == "foreign"
    if why == "deleting":
        server.fault("POST .*/unwrapkey", status=409, code="ObjectIsBeingDeleted", times=99)
    if why == "throttled":
        server.fault("POST .*/unwrapkey", status=429, times=999)
    if why == "nobody":
        server.hosts.clear()
    if why == "another domain":
        from azure.keyvault.keys._shared.http_challenge_cache import clear

        clear()  # What an earlier request of this process was told.
        server.challenge_resource = "https://elsewhere.example"
    if why == "not a vault":
        server.fault("POST .*", status=405, code="MethodNotAllowed", times=99)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    for act in (lambda: opened().read(), lambda: opened().lock("apply")):
        with pytest.raises(KeyUnavailable, match=f"(?s){REFUSED[why]}"):
            act()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before


def test_throttling_lost_answers_and_broken_connections_are_waited_out(vault: KeyVault, key: Key) -> None:
    form = sealer(key.id).seal(b"data", b"")
    vault.server.fault("POST .*/unwrapkey", status=429, headers={"Retry-After": "1"})
    vault.server.fault("POST .*/unwrapkey", status=503)
    vault.server.fault("POST .*/unwrapkey", lost=True)
    began = time.monotonic()
    assert sealer(key.id).open(form, b"") == b"data"
    assert time.monotonic() - began >= 1


def test_an_answer_that_does_not_come_is_not_waited_for_without_end(vault: KeyVault, key: Key) -> None:
    form = sealer(key.id).seal(b"data", b"")
    vault.server.fault("POST .*/unwrapkey", delay=8.0, times=9)
    with pytest.raises(KeyUnavailable, match="does not answer"):
        Encryption([source(key.id, retry_seconds=0.1, read_seconds=0.5)]).open(form, b"")


def test_a_damaged_form_is_told_from_a_wrong_key(vault: KeyVault, key: Key) -> None:
    form = sealer(key.id).seal(b"data", b"")
    for odd in (
        {"wrapped": "AAAA"},
        {"wrapped": "not base64 !"},
        {"algorithm": "RSA1_5"},
        {"vault_key": "https://shop.vault.azure.net/secrets/state"},
        {"kind": "something newer"},
        {"id": "another"},
    ):
        with pytest.raises(WrongKey):
            sealer(key.id).open(form | {"key": form["key"] | odd}, b"")
    with pytest.raises(WrongKey, match="damaged"):
        sealer(key.id).open(form | {"key": {"kind": "azure_key_vault"}}, b"")


def test_a_failed_sign_in_is_explained(vault: KeyVault, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    with pytest.raises(KeyUnavailable, match=r"(?s)Signing in to Azure failed: .*EnvironmentCredential"):
        sealer(key.id).seal(b"", b"")


def test_a_missing_library_is_named(key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "azure.keyvault.keys", None)
    with pytest.raises(SettingsError, match=r"pip install 'dstream-cli\[keyvault\]'"):
        sealer(key.id).seal(b"", b"")


KEY_ID = "https://shop.vault.azure.net/keys/state"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"azure_key_vault": [{}]}, "key_id = ''"),
        ({"azure_key_vault": [{"key_id": "http://shop.vault.azure.net/keys/state"}]}, "az keyvault key show"),
        ({"azure_key_vault": [{"key_id": "https://shop.vault.azure.net/secrets/state"}]}, "expected https://VAULT"),
        ({"azure_key_vault": [{"key_id": "/subscriptions/1/resourceGroups/r"}]}, "expected https://VAULT"),
        ({"azure_key_vault": [{"key_id": 1}]}, "key_id .* must be a string"),
        ({"azure_key_vault": [{"key_id": KEY_ID, "vault": "x"}]}, "no argument 'vault'"),
        ({"azure_key_vault": KEY_ID}, "must be a block"),
        ({"azure_key_vault": [{"key_id": KEY_ID}] * 2}, "more than one"),
        ({"azure_key_vault": [{"key_id": KEY_ID}], "passphrase": PHRASE}, "both"),
        ({"fallback_azure_key_vault": [{"key_id": KEY_ID}]}, "requires a passphrase"),
        ({"passphrase": PHRASE, "fallback_passphrases": PHRASE}, "list of strings"),
        ({"passphrase": 7}, "must be a string"),
        ({"passphrase": PHRASE, "enforced": "maybe"}, "true or false"),
    ],
)
def test_mistakes_in_the_block_are_named(settings: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        open_encryption(settings)


def test_opening_the_settings_imports_and_sends_nothing() -> None:
    import subprocess
    import sys

    program = (
        "import sys; from dstream_state import open_encryption; "
        f"open_encryption({{'azure_key_vault': [{{'key_id': '{KEY_ID}'}}]}}); "
        "sys.exit(any(name.startswith('azure.') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_errors_of_the_vault_are_errors_of_the_state() -> None:
    assert issubclass(KeyUnavailable, StateError)
    assert KeyUnavailable("x").summary == "Unusable state key"
