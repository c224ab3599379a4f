"""Signing in to Azure with Microsoft Entra ID: one way for storage and for keys, with Terraform's names.

Sources: https://learn.microsoft.com/python/api/azure-identity/ (credentials and authorities),
https://developer.hashicorp.com/terraform/language/backend/azurerm (arguments and their environment variables),
https://docs.github.com/actions/security-for-github-actions/security-hardening-your-deployments (the token request).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from dstream_state.azure.sign_in_errors import condensed
from dstream_state.errors import SettingsError, StateUnavailable

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

IDENTITY_ARGUMENTS: Mapping[str, str] = {
    "tenant_id": "ARM_TENANT_ID",
    "client_id": "ARM_CLIENT_ID",
    "client_secret": "ARM_CLIENT_SECRET",
    "client_certificate": "ARM_CLIENT_CERTIFICATE",
    "client_certificate_path": "ARM_CLIENT_CERTIFICATE_PATH",
    "client_certificate_password": "ARM_CLIENT_CERTIFICATE_PASSWORD",
    "use_oidc": "ARM_USE_OIDC",
    "oidc_token": "ARM_OIDC_TOKEN",
    "oidc_token_file_path": "ARM_OIDC_TOKEN_FILE_PATH",
    "oidc_request_url": "ARM_OIDC_REQUEST_URL ACTIONS_ID_TOKEN_REQUEST_URL SYSTEM_OIDCREQUESTURI",
    "oidc_request_token": "ARM_OIDC_REQUEST_TOKEN ACTIONS_ID_TOKEN_REQUEST_TOKEN SYSTEM_ACCESSTOKEN",
    "ado_pipeline_service_connection_id": (
        "ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID ARM_OIDC_AZURE_SERVICE_CONNECTION_ID"
    ),
    "use_aks_workload_identity": "ARM_USE_AKS_WORKLOAD_IDENTITY",
    "use_msi": "ARM_USE_MSI",
    "use_cli": "ARM_USE_CLI",
    "environment": "ARM_ENVIRONMENT",
}
"""Each argument with the environment variables that stand in for it, the first one that is set."""


class Cloud(Struct, frozen=True):
    """One cloud of Azure: where tokens come from, and the end of the addresses of storage accounts."""

    authority: str
    suffix: str


CLOUDS: Mapping[str, Cloud] = {
    "public": Cloud("login.microsoftonline.com", "core.windows.net"),
    "usgovernment": Cloud("login.microsoftonline.us", "core.usgovcloudapi.net"),
    "china": Cloud("login.chinacloudapi.cn", "core.chinacloudapi.cn"),
}


def with_environment(
    settings: Mapping[str, str], table: Mapping[str, str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Return a value for each argument of `table`, from the settings, else the environment; empty if there is none."""
    return {
        name: settings.get(name) or next((environment[each] for each in names.split() if environment.get(each)), "")
        for name, names in table.items()
    }


def cloud_of(found: Mapping[str, str]) -> Cloud:
    """Return the cloud that `environment` names; raise SettingsError if there is none of that name."""
    name = found.get("environment", "").lower() or "public"
    if name not in CLOUDS:
        raise SettingsError(f"environment = {name!r}: expected one of {', '.join(CLOUDS)}.")
    return CLOUDS[name]


def is_set(found: Mapping[str, str], name: str) -> bool:
    """Tell whether an argument that takes true and false is true."""
    return found.get(name, "").lower() not in ("", "false", "0")


class LateCredential:
    """A credential of azure-identity, imported when the first token is needed, since the import is slow."""

    def __init__(self, found: Mapping[str, str]) -> None:
        """Take the values of `IDENTITY_ARGUMENTS`, empty where there is none. Raises SettingsError."""
        self._found = {name: found.get(name, "") for name in IDENTITY_ARGUMENTS}
        self._source: TokenCredential | None = None
        self._way = _way(self._found)

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token, by the way that the settings choose, else by whatever DefaultAzureCredential finds."""
        try:
            if self._source is None:
                self._source = self._way(self._found)
            return self._source.get_token(*scopes, **options)
        except ImportError as error:
            raise StateUnavailable(
                "Signing in to Azure needs the package azure-identity. Install it: pip install azure-identity."
            ) from error
        except Exception as error:  # azure-identity promises no base class
            raise StateUnavailable(f"Signing in to Azure failed: {condensed(str(error))}") from error


Way = Callable[[Mapping[str, str]], "TokenCredential"]


def _way(found: Mapping[str, str]) -> Way:
    """Return what makes the credential; raise SettingsError where something that it takes is missing."""
    cloud_of(found)
    if found["client_certificate"] or found["client_certificate_path"]:
        return _needs(found, _by_certificate, "client_certificate", "tenant_id", "client_id")
    if is_set(found, "use_oidc"):
        if found["ado_pipeline_service_connection_id"]:
            return _needs(found, _by_pipeline, "use_oidc", "tenant_id", "client_id", "oidc_request_token")
        if not (found["oidc_token"] or found["oidc_token_file_path"]):
            names = ("tenant_id", "client_id", "oidc_request_url", "oidc_request_token")
            return _needs(found, _by_federation, "use_oidc", *names)
        return _needs(found, _by_federation, "use_oidc", "tenant_id", "client_id")
    if is_set(found, "use_aks_workload_identity"):
        return _by_workload
    if is_set(found, "use_msi"):
        return _by_machine
    if found["tenant_id"] and found["client_id"] and found["client_secret"]:
        return _by_secret
    if is_set(found, "use_cli"):
        return _by_cli
    return _by_default


def _needs(found: Mapping[str, str], way: Way, chosen: str, *names: str) -> Way:
    missing = [f"{name} ({' or '.join(IDENTITY_ARGUMENTS[name].split())})" for name in names if not found[name]]
    if missing:
        raise SettingsError(f"{chosen} needs {', '.join(missing)}.")
    return way


def _by_secret(found: Mapping[str, str]) -> TokenCredential:
    from azure.identity import ClientSecretCredential

    return ClientSecretCredential(
        found["tenant_id"], found["client_id"], found["client_secret"], authority=cloud_of(found).authority
    )


def _by_certificate(found: Mapping[str, str]) -> TokenCredential:
    import base64

    from azure.identity import CertificateCredential

    data = base64.b64decode(found["client_certificate"]) if found["client_certificate"] else None
    return CertificateCredential(
        found["tenant_id"],
        found["client_id"],
        None if data else found["client_certificate_path"],
        certificate_data=data,
        password=found["client_certificate_password"] or None,
        authority=cloud_of(found).authority,
    )


def _by_federation(found: Mapping[str, str]) -> TokenCredential:
    from azure.identity import ClientAssertionCredential

    def assertion() -> str:
        if found["oidc_token"]:
            return found["oidc_token"]
        if found["oidc_token_file_path"]:
            return Path(found["oidc_token_file_path"]).read_text("utf-8").strip()
        return _requested(found["oidc_request_url"], found["oidc_request_token"])

    return ClientAssertionCredential(
        found["tenant_id"], found["client_id"], assertion, authority=cloud_of(found).authority
    )


def _requested(url: str, token: str) -> str:
    """Return the token that GitHub Actions, or a service like it, gives to a job for Entra ID."""
    from urllib.request import Request, urlopen

    if not url.startswith(("https://", "http://")):
        raise ValueError(f"oidc_request_url = {url!r} is not an address")
    full = f"{url}{'&' if '?' in url else '?'}audience=api://AzureADTokenExchange"
    request = Request(full, headers={"Authorization": f"Bearer {token}", "Accept": "application/json"})  # noqa: S310 - checked above
    with urlopen(request, timeout=30) as answer:  # noqa: S310 - checked above
        return str(json.loads(answer.read())["value"])


def _by_pipeline(found: Mapping[str, str]) -> TokenCredential:
    from azure.identity import AzurePipelinesCredential

    return AzurePipelinesCredential(
        tenant_id=found["tenant_id"],
        client_id=found["client_id"],
        service_connection_id=found["ado_pipeline_service_connection_id"],
        system_access_token=found["oidc_request_token"],
        authority=cloud_of(found).authority,
    )


def _by_workload(found: Mapping[str, str]) -> TokenCredential:
    from azure.identity import WorkloadIdentityCredential

    return WorkloadIdentityCredential(
        tenant_id=found["tenant_id"] or None,
        client_id=found["client_id"] or None,
        token_file_path=found["oidc_token_file_path"] or None,
        authority=cloud_of(found).authority,
    )


def _by_machine(found: Mapping[str, str]) -> TokenCredential:
    from azure.identity import ManagedIdentityCredential

    return ManagedIdentityCredential(client_id=found["client_id"] or None)


def _by_cli(found: Mapping[str, str]) -> TokenCredential:
    from azure.identity import AzureCliCredential

    return AzureCliCredential(tenant_id=found["tenant_id"])


def _by_default(found: Mapping[str, str]) -> TokenCredential:
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(
        managed_identity_client_id=found["client_id"] or None,
        authority=cloud_of(found).authority,
        exclude_cli_credential=found["use_cli"].lower() == "false",
    )
