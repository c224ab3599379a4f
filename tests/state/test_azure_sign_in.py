"""Signing in to Azure: which settings choose which credential, in which cloud, and what is said when it fails."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import azure.identity
import pytest

from dstream_state import SettingsError
from dstream_state.azure.identity import CLOUDS, LateCredential
from dstream_state.azure.refusals import refusal
from dstream_state.azure.settings import open_storage
from dstream_state.azure.sign_in_errors import condensed

CLIENT = {"tenant_id": "ten", "client_id": "cli"}
PLACE = {"container_name": "con", "key": "k", "storage_account_name": "acc"}


class Made:
    """Stands in for a credential of azure-identity, and keeps what it was made with."""

    def __init__(self, kind: str, found: list[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> None:
        self.kind, self.found = kind, found

    def __call__(self, *given: Any, **named: Any) -> Made:
        self.found.append((self.kind, given, named))
        return self

    def get_token(self, *_scopes: str) -> str:
        return "token"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    found: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
    for name in dir(azure.identity):
        if name.endswith("Credential"):
            monkeypatch.setattr(azure.identity, name, Made(name, found))
    return found


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({**CLIENT, "client_secret": "s"}, "ClientSecretCredential"),
        ({**CLIENT, "client_certificate_path": "c.pem"}, "CertificateCredential"),
        ({**CLIENT, "client_certificate": base64.b64encode(b"pfx").decode()}, "CertificateCredential"),
        ({**CLIENT, "use_oidc": "true", "oidc_token": "t"}, "ClientAssertionCredential"),
        ({**CLIENT, "use_oidc": "true", "oidc_token_file_path": "f"}, "ClientAssertionCredential"),
        (
            {**CLIENT, "use_oidc": "true", "oidc_request_url": "https://x", "oidc_request_token": "t"},
            "ClientAssertionCredential",
        ),
        (
            {**CLIENT, "use_oidc": "1", "ado_pipeline_service_connection_id": "i", "oidc_request_token": "t"},
            "AzurePipelinesCredential",
        ),
        ({"use_aks_workload_identity": "true"}, "WorkloadIdentityCredential"),
        ({"use_msi": "true", "client_id": "cli"}, "ManagedIdentityCredential"),
        ({"use_cli": "true"}, "AzureCliCredential"),
        ({}, "DefaultAzureCredential"),
        ({"use_oidc": "false", "use_msi": "false"}, "DefaultAzureCredential"),
    ],
)
def test_settings_choose_the_credential(
    made: list[tuple[str, tuple[Any, ...], dict[str, Any]]], settings: dict[str, str], kind: str
) -> None:
    credential = LateCredential({"environment": "usgovernment", **settings})
    assert made == []
    credential.get_token("scope")
    credential.get_token("scope")
    ((found, _, named),) = made
    assert found == kind
    if kind not in ("ManagedIdentityCredential", "AzureCliCredential"):  # They know the cloud themselves.
        assert named["authority"] == "login.microsoftonline.us"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"use_oidc": "true", **CLIENT}, "ACTIONS_ID_TOKEN_REQUEST_URL"),
        ({"use_oidc": "true", "oidc_token": "t"}, r"tenant_id \(ARM_TENANT_ID\), client_id \(ARM_CLIENT_ID\)"),
        ({"client_certificate_path": "x", "tenant_id": "t"}, "client_id"),
        ({"environment": "mars"}, "usgovernment"),
    ],
)
def test_what_a_way_to_sign_in_lacks_is_named_before_anything_is_sent(settings: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        LateCredential(settings)


@pytest.mark.parametrize("name", ["msi_endpoint", "metadata_host", "lookup_blob_endpoint"])
def test_arguments_of_terraform_that_are_not_supported_are_refused_by_name(name: str) -> None:
    with pytest.raises(SettingsError, match=f"does not support the argument '{name}' of Terraform"):
        open_storage({**PLACE, name: "x"}, "default", {})


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_cloud_sets_suffix_authority_and_audience_together(
    made: list[tuple[str, tuple[Any, ...], dict[str, Any]]], cloud: str
) -> None:
    secret = {"ARM_TENANT_ID": "t", "ARM_CLIENT_ID": "c", "ARM_CLIENT_SECRET": "s", "ARM_ENVIRONMENT": cloud}
    storage = open_storage({**PLACE, "use_azuread_auth": "true"}, "default", secret)
    address = f"https://acc.blob.{CLOUDS[cloud].suffix}"
    assert storage.describe() == f"{address}/con/k"
    service = storage._service
    assert service._options == ({} if cloud == "public" else {"audience": address})
    credential: Any = service._credential()
    credential.get_token("scope")
    assert made[0][2]["authority"] == CLOUDS[cloud].authority


CONNECTION = "AccountName=other;AccountKey=a2V5"


@pytest.mark.parametrize(
    ("text", "account"),
    [
        (CONNECTION, "other"),
        ("BlobEndpoint=https://third.blob.core.windows.net;SharedAccessSignature=x", "third"),
    ],
)
def test_a_connection_string_of_another_account_is_refused(text: str, account: str) -> None:
    for settings, environment in (
        (PLACE, {"AZURE_STORAGE_CONNECTION_STRING": text}),
        (PLACE | {"connection_string": text}, {}),
    ):
        with pytest.raises(SettingsError, match=f"'acc', and the connection string is of the account '{account}'"):
            open_storage(settings, "default", environment)
    named = PLACE | {"storage_account_name": account}
    assert account in open_storage(named | {"connection_string": text}, "default", {}).describe()


def test_what_the_configuration_chooses_goes_before_the_environment() -> None:
    storage = open_storage({**PLACE, "use_msi": "true"}, "default", {"AZURE_STORAGE_CONNECTION_STRING": CONNECTION})
    assert storage.describe() == "https://acc.blob.core.windows.net/con/k"


@pytest.fixture
def tokens() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """The address of a service that gives tokens to jobs, as GitHub Actions does, and the requests it got."""
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            content = json.dumps({"value": "signed"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/token?run=1", asked
        server.shutdown()


def test_a_job_of_github_actions_signs_in_with_the_token_that_it_requests(
    made: list[tuple[str, tuple[Any, ...], dict[str, Any]]],
    tokens: tuple[str, list[tuple[str, str | None]]],
    tmp_path: Path,
) -> None:
    environment = {
        "ARM_USE_OIDC": "true",
        "ARM_TENANT_ID": "ten",
        "ARM_CLIENT_ID": "cli",
        "ACTIONS_ID_TOKEN_REQUEST_URL": tokens[0],
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "job",
    }
    credential: Any = open_storage(PLACE, "default", environment)._service._credential()
    credential.get_token("scope")
    ((_, given, _),) = made
    assert given[:2] == ("ten", "cli")
    assert given[2]() == "signed"
    assert tokens[1] == [("/token?run=1&audience=api://AzureADTokenExchange", "Bearer job")]
    file = tmp_path / "token"
    file.write_text("from a file\n")
    LateCredential({**CLIENT, "use_oidc": "true", "oidc_token_file_path": str(file)}).get_token("scope")
    assert made[1][1][2]() == "from a file"


CHAIN = """DefaultAzureCredential failed to retrieve a token from the included credentials.
Attempted credentials:
\tEnvironmentCredential: EnvironmentCredential authentication unavailable. Variables are not configured.
Visit https://aka.ms/azsdk/python/identity/environmentcredential/troubleshoot to troubleshoot this issue.
\tManagedIdentityCredential: ManagedIdentityCredential authentication unavailable, no response from the IMDS endpoint.
\tSharedTokenCacheCredential: SharedTokenCacheCredential authentication unavailable. No accounts found.
\tAzureCliCredential: {cli}
\tAzurePowerShellCredential: PowerShell is not installed
To mitigate this issue, please refer to the troubleshooting guidelines here at https://aka.ms/azsdk/python/identity."""


def test_one_sentence_is_said_of_a_chain_of_credentials() -> None:
    nothing = condensed(CHAIN.format(cli="Azure CLI not found on path"))
    assert nothing.startswith("no credential is configured (tried: EnvironmentCredential, ManagedIdentityCredential")
    assert "az login" in nothing
    assert "\n" not in nothing
    expired = condensed(CHAIN.format(cli="ERROR: AADSTS70043: The refresh token has expired. Trace ID: 1"))
    assert expired == "AzureCliCredential: ERROR: AADSTS70043: The refresh token has expired. Trace ID: 1"
    assert condensed("AADSTS7000215: Invalid client secret.\nTrace ID: 1") == "AADSTS7000215: Invalid client secret."


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (403, "AuthorizationPermissionMismatch", "'Storage Blob Data Contributor'.*'Storage Blob Data Reader'"),
        (403, "AuthorizationFailure", "firewall"),
        (403, "AuthenticationFailed", "access key"),
        (403, "KeyBasedAuthenticationNotPermitted", "use_azuread_auth = true"),
        (401, "InvalidAuthenticationInfo", "tenant_id, and environment"),
        (409, "BlobImmutableDueToPolicy", "immutability policy"),
        (403, "SomethingNew", "access key.*'Storage Blob Data Contributor'"),
    ],
)
def test_a_refusal_tells_role_firewall_and_key_apart(status: int, code: str, says: str) -> None:
    import re

    assert re.search(says, refusal(status, code) or "")


def test_answers_that_the_lock_is_made_of_are_no_refusals() -> None:
    for status, code in ((409, "LeaseAlreadyPresent"), (412, "ConditionNotMet"), (404, "BlobNotFound")):
        assert refusal(status, code) is None
