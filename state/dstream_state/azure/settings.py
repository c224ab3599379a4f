"""Settings of `backend "azurerm"`.

Terraform's argument names and environment variables, made into a storage.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from dstream_state.azure.blob import AzureStorage
from dstream_state.azure.identity import CLOUDS, IDENTITY_ARGUMENTS, LateCredential, cloud_of, with_environment
from dstream_state.azure.service import BlobService
from dstream_state.errors import SettingsError

if TYPE_CHECKING:
    from dstream_state.azure.service import Credential

ARGUMENTS: Mapping[str, str] = {
    "storage_account_name": "",
    "container_name": "",
    "key": "",
    "access_key": "ARM_ACCESS_KEY",
    "sas_token": "ARM_SAS_TOKEN",
    "connection_string": "AZURE_STORAGE_CONNECTION_STRING",
    "use_azuread_auth": "ARM_USE_AZUREAD",
    "endpoint": "",
    **IDENTITY_ARGUMENTS,
}
"""Each argument with the environment variable that stands in for it."""

IGNORED = frozenset({"resource_group_name", "subscription_id", "snapshot"})
"""Arguments of Terraform that are accepted and have no effect: the account is addressed directly."""

REFUSED: Mapping[str, str] = {
    "msi_endpoint": "The endpoint of managed identities is found automatically. Remove it.",
    "metadata_host": "Set environment, and endpoint for a private cloud.",
    "lookup_blob_endpoint": "Set endpoint to the address of the blob service.",
    "client_id_file_path": "Set client_id.",
    "client_secret_file_path": "Set ARM_CLIENT_SECRET.",
}
"""Arguments of Terraform that would change where the state is or who signs in, and are not supported."""

_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*|\$root|\$web")
"""Source: https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata."""
_EMULATOR = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1"
)


def open_storage(
    settings: Mapping[str, str], workspace: str, environment: Mapping[str, str] = os.environ
) -> AzureStorage:
    """Return the storage that `settings` describe; nothing is sent. Raises SettingsError."""
    for name in settings.keys() & REFUSED.keys():
        raise SettingsError(f'backend "azurerm" does not support the argument {name!r} of Terraform. {REFUSED[name]}')
    if unknown := sorted(settings.keys() - ARGUMENTS.keys() - IGNORED):
        names = ", ".join(sorted(ARGUMENTS))
        raise SettingsError(f'backend "azurerm" has no argument {unknown[0]!r}. Its arguments are: {names}.')
    found = with_environment(settings, ARGUMENTS, environment)
    for name in ("container_name", "key"):
        if not found[name]:
            raise SettingsError(f'backend "azurerm" requires the argument {name!r}.')
    if found["key"].startswith("/") or found["key"].endswith("/"):
        raise SettingsError(f"key = {found['key']!r}: a blob name must not start or end with a slash.")
    if not _CONTAINER.fullmatch(found["container_name"]):
        raise SettingsError(
            f"container_name = {found['container_name']!r}: a container name has 3 to 63 lower-case letters, "
            "digits and single hyphens, and starts and ends with a letter or digit."
        )
    access = _access(found, settings)
    service = BlobService(access.endpoint, found["container_name"], access.credential, **access.client)
    return AzureStorage(service, found["key"], workspace)


class Access(Struct, frozen=True):
    """Where the account is, and what makes the credential: that takes an import, so it waits for the first request."""

    endpoint: str
    credential: Callable[[], Credential]
    client: Mapping[str, Any] = field(default_factory=dict)
    """Further options of the client."""


_IDENTITIES = ("use_azuread_auth", "use_oidc", "use_aks_workload_identity", "use_msi", "use_cli")


def _access(found: Mapping[str, str], settings: Mapping[str, str]) -> Access:
    # The configuration takes precedence over the environment.
    ways: dict[str, Callable[[Mapping[str, str]], Access]] = {
        "connection_string": _by_connection_string,
        "access_key": _by_key,
        "sas_token": _by_sas,
        **dict.fromkeys(_IDENTITIES, _by_identity),
    }
    for given in (settings, found):
        for name, way in ways.items():
            if given.get(name, "").lower() not in ("", "false"):
                return way(found)
    return _by_identity(found)


def _by_connection_string(found: Mapping[str, str]) -> Access:
    text = found["connection_string"]
    parts = dict(part.partition("=")[::2] for part in text.split(";") if "=" in part)
    if parts.get("UseDevelopmentStorage", "").lower() == "true":
        return _by_connection_string({**found, "connection_string": _EMULATOR})
    account = parts.get("AccountName", "")
    _same_account(found["storage_account_name"], account or _account_in(parts.get("BlobEndpoint", "")))
    endpoint = parts.get("BlobEndpoint") or (
        f"{parts.get('DefaultEndpointsProtocol', 'https')}://{account}.blob."
        f"{parts.get('EndpointSuffix', 'core.windows.net')}"
    )
    if "AccountKey" in parts and account:
        return Access(endpoint, _key(account, parts["AccountKey"]))
    if "SharedAccessSignature" in parts and (account or "BlobEndpoint" in parts):
        return Access(endpoint, _sas(parts["SharedAccessSignature"]))
    raise SettingsError(
        "connection_string has neither AccountName and AccountKey, nor a SharedAccessSignature. Copy the complete "
        "string from 'Access keys' of the storage account."
    )


def _same_account(named: str, account: str) -> None:
    """Raise SettingsError if the connection string is that of another account than the one that is named."""
    if named and account and named.lower() != account.lower():
        raise SettingsError(
            f"storage_account_name is {named!r}, and the connection string is of the account {account!r}. Remove "
            "connection_string (AZURE_STORAGE_CONNECTION_STRING in the environment), or use that of the named account."
        )


def _account_in(endpoint: str) -> str:
    """Return the account that an address such as https://NAME.blob.core.windows.net belongs to, empty if unknown."""
    found = re.match(r"https?://([a-z0-9]{3,24})(?:-secondary)?\.blob\.", endpoint)
    return found[1] if found else ""


def _by_key(found: Mapping[str, str]) -> Access:
    return Access(_endpoint(found), _key(_account(found), found["access_key"]))


def _by_sas(found: Mapping[str, str]) -> Access:
    return Access(_endpoint(found), _sas(found["sas_token"]))


def _by_identity(found: Mapping[str, str]) -> Access:
    endpoint = _endpoint(found)
    if not endpoint.startswith("https://"):
        raise SettingsError(f"endpoint = {endpoint!r}: signing in with Microsoft Entra ID (Azure AD) needs https.")
    credential = LateCredential(found)
    # In other clouds than the public one, tokens are for the account: authority, audience and suffix go together.
    client = {} if cloud_of(found) is CLOUDS["public"] else {"audience": endpoint}
    return Access(endpoint, lambda: credential, client)


def _key(account: str, key: str) -> Callable[[], Credential]:
    try:
        base64.b64decode(key, validate=True)
    except ValueError:
        raise SettingsError(
            "The access key is not base64. Copy the complete key from 'Access keys' of the storage account."
        ) from None

    def make() -> Credential:
        from azure.core.credentials import AzureNamedKeyCredential

        return AzureNamedKeyCredential(account, key)

    return make


def _sas(token: str) -> Callable[[], Credential]:
    def make() -> Credential:
        from azure.core.credentials import AzureSasCredential

        return AzureSasCredential(token.strip().removeprefix("?"))

    return make


def _account(found: Mapping[str, str]) -> str:
    if not found["storage_account_name"]:
        raise SettingsError("backend \"azurerm\" needs the argument 'storage_account_name'.")
    return found["storage_account_name"]


def _endpoint(found: Mapping[str, str]) -> str:
    if found["endpoint"]:
        if not found["endpoint"].startswith(("https://", "http://")):
            raise SettingsError(
                f"endpoint = {found['endpoint']!r}: expected an address such as https://NAME.blob.core.windows.net."
            )
        return found["endpoint"]
    return f"https://{_account(found)}.blob.{cloud_of(found).suffix}"
