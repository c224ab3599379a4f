"""What is special about Azure Blob Storage.

Settings, ways to sign in, what the service says when it says no.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlencode

import pytest
import trustme
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import BlobClient, ContainerClient

from dstream_state import ObjectState, Put, SettingsError, StateUnavailable, View, open_backend
from dstream_state.azure.blob import AzureStorage
from dstream_state.azure.service import BlobService
from dstream_state.azure.settings import open_storage
from dstream_state.backend_impl import StoredBackend
from tests.services.azure.entra import Entra
from tests.services.azurite import ACCOUNT, KEY, Azurite, azurite_server

NOWHERE = "http://127.0.0.1:9"


def sas(container: str) -> str:
    """Return a shared access signature for a container (service SAS, version 2020-12-06)."""
    fields = {"sp": "racwdl", "se": "2099-01-01T00:00:00Z", "sv": "2020-12-06", "sr": "c", "spr": "https,http"}
    resource = f"/blob/{ACCOUNT}/{container}"
    lines = [fields["sp"], "", fields["se"], resource, "", "", fields["spr"], fields["sv"], fields["sr"]]
    text = "\n".join(lines + [""] * 7)
    digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    return urlencode(fields | {"sig": base64.b64encode(digest).decode()})


def works(settings: Mapping[str, object]) -> None:
    backend = open_backend("azurerm", settings, root=Path())
    with backend.lock("apply") as held:
        held.append([Put("a", ObjectState("p", "t", "k"))])
        held.finish()
    snapshot = backend.read().snapshot
    assert snapshot is not None
    assert list(snapshot.resources) == ["a"]
    backend.close()


def test_it_works_with_the_accounts_key(azure: Azurite, azure_settings: dict[str, str]) -> None:
    del azure_settings["connection_string"]
    works(azure_settings | {"storage_account_name": ACCOUNT, "access_key": KEY, "endpoint": azure.endpoint})


def test_it_works_with_a_shared_access_signature(azure: Azurite, azure_settings: dict[str, str]) -> None:
    token = sas(azure_settings["container_name"])
    text = f"BlobEndpoint={azure.endpoint};SharedAccessSignature={token}"
    works(azure_settings | {"connection_string": text})
    del azure_settings["connection_string"]
    works(azure_settings | {"key": "other", "sas_token": f"?{token}", "endpoint": azure.endpoint})


@pytest.mark.parametrize("key", ["a b/é+%41.dsstate", "env:odd", "x&y=z?#"])
def test_odd_names_are_no_trouble(azure_settings: dict[str, str], key: str) -> None:
    works(azure_settings | {"key": key})
    backend = open_backend("azurerm", azure_settings | {"key": key}, "blue", root=Path())
    backend.lock("apply").release()
    assert backend.workspaces() == ["blue", "default"]


def test_the_environment_stands_in_for_arguments(
    azure: Azurite, azure_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = azure_settings.pop("connection_string")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    works(azure_settings)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "nonsense")
    monkeypatch.setenv("ARM_ACCESS_KEY", "bm9uc2Vuc2U=")
    works(azure_settings | {"connection_string": text, "key": "other"})


def test_the_state_is_the_blob_that_key_names(azure: Azurite, azure_settings: dict[str, str]) -> None:
    works(azure_settings)
    with BlobClient.from_connection_string(
        azure_settings["connection_string"], azure_settings["container_name"], azure_settings["key"]
    ) as blob:
        assert blob.download_blob().readall().startswith(b'{"format_version":1,')


def test_another_client_sees_what_is_held_and_what_is_sealed(azure_settings: dict[str, str]) -> None:
    works(azure_settings)
    container = ContainerClient.from_connection_string(
        azure_settings["connection_string"], azure_settings["container_name"]
    )
    storage = open_storage(azure_settings, "default", {})
    storage.create_log("journal/a", b"{}\n")
    storage.seal("journal/a")
    with StoredBackend(storage).lock("apply") as held:
        state = container.get_blob_client(azure_settings["key"]).get_blob_properties()
        assert (state.lease.state, state.lease.status, state.lease.duration) == ("leased", "locked", "fixed")
        assert held.holder.id in state.metadata["holder"]
        journal = container.get_blob_client(f"{azure_settings['key']}.d/journal/a.log").get_blob_properties()
        assert journal.is_append_blob_sealed
    assert container.get_blob_client(azure_settings["key"]).get_blob_properties().lease.state == "available"
    container.close()


def test_a_missing_container_is_named_and_prepare_makes_it(azure: Azurite, azure_settings: dict[str, str]) -> None:
    backend = open_backend("azurerm", azure_settings | {"container_name": "not-there-yet"}, root=Path())
    for use in (backend.read, lambda: backend.lock("apply")):
        with pytest.raises(StateUnavailable, match=r"container 'not-there-yet' does not exist.*dstream init"):
            use()
    backend.prepare()
    backend.prepare()
    assert backend.read() == View(None)


def test_a_wrong_key_is_refused_at_once_with_what_may_be_wrong(azure: Azurite, azure_settings: dict[str, str]) -> None:
    del azure_settings["connection_string"]
    wrong = {"storage_account_name": ACCOUNT, "access_key": "bm9uc2Vuc2U=", "endpoint": azure.endpoint}
    started = time.monotonic()
    with pytest.raises(StateUnavailable, match=r"403 .*firewall.*emulator reports a wrong access key"):
        open_backend("azurerm", azure_settings | wrong, root=Path()).read()
    assert time.monotonic() - started < 20


def test_a_service_that_is_away_is_named_after_some_trying() -> None:
    with pytest.raises(StateUnavailable, match=f"{NOWHERE} does not answer"):
        StoredBackend(AzureStorage(service(NOWHERE), "k")).read()


class Clock:
    """A time that passes while somebody sleeps, and not otherwise."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Return the seconds that were slept."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def test_who_never_answered_is_given_up_on_sooner_than_who_did(
    azure: Azurite, azure_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("dstream_state.azure.retries.time", clock)
    open_backend("azurerm", azure_settings, root=Path()).prepare()
    unknown = BlobService(NOWHERE, "c", lambda: AzureNamedKeyCredential(ACCOUNT, KEY))
    known = BlobService(azure.endpoint, azure_settings["container_name"], lambda: AzureNamedKeyCredential(ACCOUNT, KEY))
    known.call(known.blob("some").exists)
    with pytest.raises(StateUnavailable, match="does not answer"):
        unknown.call(unknown.blob("some").exists)
    assert clock.now <= 10
    clock.now = 0.0
    with pytest.raises(StateUnavailable, match="does not answer"):
        known.call(unknown.blob("some").exists)
    assert 32 < clock.now <= 40  # the last pause, of up to 7.5 s, may not fit in


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"container_name": "con"}, "requires the argument 'key'"),
        ({"key": "k"}, "requires the argument 'container_name'"),
        ({"key": "k", "container_name": "con", "bucket": "b"}, "no argument 'bucket'"),
        ({"key": "k", "container_name": "con", "access_key": "a2V5"}, "needs the argument 'storage_account_name'"),
        ({"key": "k", "container_name": "con", "storage_account_name": "a", "access_key": "é"}, "not base64"),
        ({"key": "k", "container_name": "My_State"}, "lower-case"),
        ({"key": "/k", "container_name": "con"}, "slash"),
        ({"key": "k", "container_name": "con", "connection_string": "AccountName=a"}, "AccountKey"),
        ({"key": "k", "container_name": "con", "storage_account_name": "a", "environment": "mars"}, "usgovernment"),
        ({"key": "k", "container_name": "con", "endpoint": "a.b"}, "expected an address"),
        ({"key": "k", "container_name": "con", "endpoint": "http://a.b", "use_azuread_auth": "true"}, "needs https"),
    ],
)
def test_mistakes_in_settings_are_named(settings: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        open_storage(settings, "default", {})


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"storage_account_name": "acc", "access_key": "a2V5"}, "https://acc.blob.core.windows.net/con/k"),
        (
            {"storage_account_name": "acc", "sas_token": "a=b", "environment": "china"},
            "https://acc.blob.core.chinacloudapi.cn/con/k",
        ),
        ({"storage_account_name": "acc", "use_azuread_auth": "true"}, "https://acc.blob.core.windows.net/con/k"),
        (
            {"storage_account_name": "acc", "resource_group_name": "rg", "subscription_id": "s"},
            "https://acc.blob.core.windows.net/con/k",
        ),
        ({"connection_string": "AccountName=x;AccountKey=a2V5;EndpointSuffix=e.test"}, "https://x.blob.e.test/con/k"),
        ({"connection_string": "UseDevelopmentStorage=true"}, "http://127.0.0.1:10000/devstoreaccount1/con/k"),
    ],
)
def test_settings_lead_to_an_address(settings: dict[str, str], address: str) -> None:
    storage = open_storage(settings | {"container_name": "con", "key": "k"}, "default", {})
    assert storage.describe() == address
    assert storage.at("blue").describe() == f"{address}env:blue"


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 and its key; whoever made it is trusted."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    return tmp_path / "cert.pem", tmp_path / "key.pem"


@pytest.fixture
def entra(monkeypatch: pytest.MonkeyPatch) -> Iterator[Entra]:
    """What gives tokens to this machine."""
    with Entra() as server:
        for name, value in server.managed.items():
            monkeypatch.setenv(name, value)
        yield server


def test_it_works_with_the_identity_of_the_machine(certificate: tuple[Path, Path], entra: Entra) -> None:
    with azurite_server(*certificate) as server:
        settings = {"container_name": "state", "key": "k", "endpoint": server.endpoint, "use_azuread_auth": True}
        open_backend("azurerm", settings, root=Path()).prepare()
        works(settings)
    assert set(entra.given) == {("managed", "https://storage.azure.com")}


def test_a_failed_sign_in_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    settings = {"container_name": "con", "key": "k", "storage_account_name": "a", "use_azuread_auth": True}
    with pytest.raises(StateUnavailable, match=r"(?s)Signing in to Azure failed: .*EnvironmentCredential"):
        open_backend("azurerm", settings, root=Path()).read()


def test_a_proxy_of_the_environment_is_used(azure: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", NOWHERE)
    with pytest.raises(StateUnavailable, match="proxy"):
        AzureStorage(service("https://acc.blob.core.windows.net"), "k").get("x")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("http_proxy", NOWHERE)
    AzureStorage(service(azure.endpoint, "proxied"), "k").prepare()


def service(endpoint: str, container: str = "c") -> BlobService:
    return BlobService(endpoint, container, lambda: AzureNamedKeyCredential(ACCOUNT, KEY), retry_seconds=0.5)
